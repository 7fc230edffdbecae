//! Properties over generated input: splits, encoding and decoding, hints.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fuzzing::feed::{Ask, Setup, Split, feed};
use crate::fuzzing::pair::Pair;
use crate::fuzzing::said::Said;
use crate::keep_alive::{KeepAlive, LONGEST, keep_alive};
use crate::{BodyLength, Config, Event, Field, Limits, RequestLine, fuzzing, parse};

/// A request that we may send.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    target: String,
    fields: Vec<(String, String)>,
    is_counted: bool,
    content: Vec<Vec<u8>>,
}

fn requests() -> impl Strategy<Value = Request> {
    let method = select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT]);
    let field = (
        "x-[!#$%&'*+.^_`|~0-9A-Za-z-]{0,12}",
        "([!-~\u{e9}]([ \t!-~]{0,20}[!-~])?)?",
    );
    (
        method,
        "/[!$-~]{0,30}",
        vec(field, 0..8),
        any::<bool>(),
        vec(vec(any::<u8>(), 0..40), 0..4),
    )
        .prop_map(|(method, target, fields, is_counted, content)| Request {
            method,
            target,
            fields,
            is_counted,
            content,
        })
}

impl Request {
    fn content(&self) -> Vec<u8> {
        self.content.concat()
    }

    fn send(&self, pair: &mut Pair) {
        let mut fields = vec![Field::new(b"host", b"a").unwrap()];
        for (name, value) in &self.fields {
            fields.push(Field::new(name.as_bytes(), value.as_bytes()).unwrap());
        }
        let length = if self.is_counted {
            BodyLength::Known(self.content().len() as u64)
        } else {
            BodyLength::Unknown
        };
        let line = RequestLine::new(&self.method, self.target.as_bytes());
        pair.client.request(line, &fields, length).unwrap();
        for piece in &self.content {
            pair.client.data(piece).unwrap();
        }
        pair.client.end(None).unwrap();
    }

    /// What a server reads of it, framing fields left out.
    fn said(&self) -> Vec<Said> {
        let mut fields = vec![(b"host".to_vec(), b"a".to_vec())];
        for (name, value) in &self.fields {
            fields.push((name.clone().into_bytes(), value.clone().into_bytes()));
        }
        let mut said = vec![Said::Request {
            method: self.method.to_string(),
            target: self.target.clone().into_bytes(),
            version: http::Version::HTTP_11,
            fields,
        }];
        if !self.content().is_empty() {
            said.push(Said::Data(self.content()));
        }
        said.push(Said::End(None));
        said
    }
}

proptest! {
    #[test]
    fn what_is_sent_is_what_arrives(
        requests in vec(requests(), 1..4),
        sizes in vec(any::<u8>(), 1..6),
    ) {
        let mut pair = Pair::new(Config::default());
        for request in &requests {
            request.send(&mut pair);
            pair.client.connection.pipeline().unwrap();
        }
        let setup = Setup::server(Config::default());
        let mut outcome = feed(&setup, &pair.client.output, Split::Sizes(&sizes));
        for said in &mut outcome.said {
            if let Said::Request { fields, .. } = said {
                *fields = Said::without_framing(fields);
            }
        }
        let expected: Vec<_> = requests.iter().flat_map(Request::said).collect();
        prop_assert_eq!(outcome.said, expected);
    }

    #[test]
    fn splits_do_not_matter(
        first in any::<u8>(),
        wire in vec(select(super::corpus::PIECES.to_vec()), 0..12),
        sizes in vec(any::<u8>(), 1..6),
        eof in any::<bool>(),
    ) {
        let mut setup = if first & 0x80 == 0 {
            Setup::server(fuzzing::config(first))
        } else {
            Setup::client(fuzzing::config(first), vec![Ask::nth(first >> 5), Ask::nth(0)])
        };
        setup.agrees_to_switch = first & 0x40 != 0;
        setup.hurries = first & 0x20 != 0;
        setup.eof = eof;
        let wire = wire.concat();
        fuzzing::same_however_split(&setup, wire.as_bytes(), &sizes);
    }

    #[test]
    fn hints_are_read_in_any_spelling(
        timeouts in vec(0..=u64::MAX, 0..3),
        maxima in vec(0..=u64::MAX, 0..3),
        order in any::<u64>(),
        styles in vec(any::<u8>(), 6),
    ) {
        let mut parameters: Vec<(&str, u64)> = Vec::new();
        parameters.extend(timeouts.iter().map(|&number| ("timeout", number)));
        parameters.extend(maxima.iter().map(|&number| ("max", number)));
        let turn = order as usize % parameters.len().max(1);
        parameters.rotate_left(turn);
        let text: Vec<_> = parameters
            .iter()
            .zip(&styles)
            .map(|(&(name, number), &style)| spelling(name, number, style))
            .collect();
        let hint = hint(&text.join(","));
        let shortest = timeouts.iter().min().map(|&x| Duration::from_secs(x).min(LONGEST));
        prop_assert_eq!(hint, KeepAlive { timeout: shortest, max: maxima.iter().min().copied() });
    }

    #[test]
    fn any_value_is_a_hint_or_none(value in "[ -~]{0,40}") {
        let hint = hint(&value);
        prop_assert!(hint.timeout.is_none_or(|timeout| timeout <= LONGEST));
        if !value.contains('=') {
            prop_assert_eq!(hint, KeepAlive::default());
        }
    }

    #[test]
    fn arbitrary_operations_hold_the_invariants(data in vec(any::<u8>(), 0..200)) {
        fuzzing::connection_ops(&data);
    }
}

fn spelling(name: &str, number: u64, style: u8) -> String {
    let name = if style & 1 == 0 {
        name.to_owned()
    } else {
        name.to_uppercase()
    };
    let space = if style & 2 == 0 { "" } else { " \t" };
    let quote = if style & 4 == 0 { "" } else { "\"" };
    format!("{space}{name}{space}={space}{quote}{number}{quote}{space}")
}

fn hint(value: &str) -> KeepAlive {
    let section = Bytes::from(format!("keep-alive: {value}\r\n\r\n"));
    keep_alive(&parse::trailers(section, &Limits::default()).unwrap())
}

#[test]
fn a_pair_agrees_after_an_answer_of_each_length() {
    for length in [0_usize, 1, 15, 16, 17, 255, 256, 4096, 65_536] {
        let mut pair = Pair::new(Config::default());
        let line = RequestLine::new(&Method::PUT, b"/");
        let host = [Field::new(b"host", b"a").unwrap()];
        pair.client
            .request(line, &host, BodyLength::Unknown)
            .unwrap();
        pair.client.data(&vec![b'x'; length]).unwrap();
        pair.client.end(None).unwrap();
        let received: usize = pair
            .server_receives_all(Split::Whole)
            .iter()
            .map(|event| match event {
                Event::Data(data) => data.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(received, length);
    }
}
