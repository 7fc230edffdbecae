//! What is no request is answered and logged as one, as far as it could be read: with nginx's page, or
//! with what `error_page` has for its status.

use std::sync::Arc;

use bytes::BytesMut;
use keepline::Error;
use keepline::proto::{Connection, Event, Received, RequestHead};
use keepline::server::{HangUp, Refusal, Refused};

use super::content::Content;
use super::{Gate, Serving};
use crate::answer::Answer;

/// The request line that came, whole or not.
fn request_line(received: &[u8]) -> &[u8] {
    let begins = received.iter().position(|byte| !b"\r\n".contains(byte));
    let line = received.get(begins.unwrap_or(received.len())..);
    let line = line.unwrap_or_default().split(|&byte| byte == b'\n').next();
    line.unwrap_or_default().trim_ascii_end()
}

/// A head that stands for one that could not be read: with its request line, if that can be.
fn head_instead(line: &[u8]) -> Option<RequestHead> {
    let lines = [line, b"GET / HTTP/1.0"];
    lines.into_iter().find_map(|line| {
        // Nothing is known of its fields; no line but the first may be taken for one of them.
        let is_one_line = !line.iter().any(|byte| b"\r\n".contains(byte));
        let mut bytes = BytesMut::from(is_one_line.then_some(line)?);
        bytes.extend_from_slice(b"\r\nHost:\r\n\r\n");
        match Connection::server(Arc::default()).receive(&mut bytes) {
            Ok(Received::Event(Event::Request(head))) => Some(head),
            _ => None,
        }
    })
}

/// nginx's status for what is no request.
fn answer_to(why: Refusal) -> Answer {
    match (why, why.status().as_u16()) {
        // Nobody is left, or waits: nginx says nothing either.
        (Refusal::Timeout | Refusal::Failed, status) => Answer::Abandoned(status),
        // Too large a head: 400 to the client, with a page of its own.
        (_, 431) => Answer::Status(494),
        (_, status) => Answer::Status(status),
    }
}

impl Gate {
    pub(super) async fn answer_refused(&mut self, refused: &mut Refused<'_>) -> Result<(), Error> {
        let live = self.shared.live_of(&self.address);
        let line: Box<[u8]> = request_line(refused.received()).into();
        let (Some(endpoint), Some(head)) =
            (live.endpoints.get(&*self.address), head_instead(&line))
        else {
            refused.hang_up(HangUp::Fin);
            return Ok(());
        };
        let received = refused.received().len() as u64;
        let answer = answer_to(refused.why());
        let mut exchange = refused.exchange(head);
        let timers = (&mut self.patience, &mut self.pause);
        let (mut serving, _) = Serving::begin(&live, endpoint, &mut exchange, timers);
        serving.held = Some(Content::None);
        serving.request.line = Some(line);
        serving.request.received = received;
        let ended = serving.run(Some(answer)).await;
        serving.log_access();
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_of_a_request_line_is_kept() {
        for (received, line, target) in [
            (
                &b"GET /a?b HTTP/1.1\r\n\r\n"[..],
                &b"GET /a?b HTTP/1.1"[..],
                &b"/a?b"[..],
            ),
            (b"\r\n\nPUT /x HTTP/1.0\nA b\n\n", b"PUT /x HTTP/1.0", b"/x"),
            (b"GET /half", b"GET /half", b"/"),
            (b"GET /a\rb HTTP/1.1\r\n", b"GET /a\rb HTTP/1.1", b"/"),
            (b"\x16\x03\x01", b"\x16\x03\x01", b"/"),
            (b"", b"", b"/"),
        ] {
            assert_eq!(request_line(received), line);
            assert_eq!(head_instead(line).unwrap().target(), target, "{line:?}");
        }
    }
}
