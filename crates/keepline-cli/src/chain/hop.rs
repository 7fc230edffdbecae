//! A hop as it is typed: `curl`, `alb:idle=60s`, `http://127.0.0.1:3000/`,
//! `nginx:client=30s@http://127.0.0.1:8080/`.

use crate::values;

use super::products::{self, Evidence, Known, Product};
use super::timeout::Timeout;

/// One stop on the way of a request.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) name: String,
    pub(crate) product: Option<&'static Product>,
    /// The product is what its `Server` field says, which may be that of a server behind it.
    pub(crate) is_guessed: bool,
    /// Where it can be measured.
    pub(crate) url: Option<String>,
    /// As a server and as a client.
    pub(crate) server: Option<Side>,
    pub(crate) client: Option<Side>,
}

/// A timeout, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) timeout: Timeout,
    pub(crate) evidence: Evidence,
}

impl Side {
    /// What is known of a product, if it has a default.
    pub(crate) fn of(known: Known) -> Option<Self> {
        Some(Self {
            timeout: known.timeout?,
            evidence: known.evidence,
        })
    }
}

impl Hop {
    /// Takes it for the product that its `Server` field names, unless it was given one.
    pub(crate) fn guess(&mut self, server_field: Option<&str>) {
        let named = server_field.and_then(products::of_server_field);
        if self.product.is_none()
            && let Some(product) = named
        {
            self.product = Some(product);
            self.is_guessed = true;
            self.client = self.client.or_else(|| product.client.and_then(Side::of));
        }
    }
}

const FORM: &str = "write a URL to measure, the name of a product, or NAME:idle=60s, \
    NAME:server=75s,client=60s; NAME@URL measures a product that is known";

/// Reads a hop.
pub(crate) fn parse(text: &str) -> Result<Hop, String> {
    let (described, url) = split_url(text);
    let (name, times) = match described.split_once(':') {
        Some((name, times)) => (name, Some(times)),
        None => (described, None),
    };
    if name.is_empty() && (url.is_none() || times.is_some()) {
        return Err(format!("it has no name: {FORM}"));
    }
    let product = products::named(name);
    let mut hop = Hop {
        name: if name.is_empty() { text } else { name }.to_owned(),
        product,
        is_guessed: false,
        url: url.map(str::to_owned),
        server: product
            .and_then(|product| product.server)
            .and_then(Side::of),
        client: product
            .and_then(|product| product.client)
            .and_then(Side::of),
    };
    for time in times.into_iter().flat_map(|times| times.split(',')) {
        give(&mut hop, time)?;
    }
    if product.is_none() && times.is_none() && url.is_none() {
        let names: Vec<_> = products::PRODUCTS.iter().map(|known| known.name).collect();
        return Err(format!(
            "'{name}' is not known: {FORM}. Known are {}",
            names.join(", ")
        ));
    }
    Ok(hop)
}

/// What stands before the URL, if there is one, and the URL.
fn split_url(text: &str) -> (&str, Option<&str>) {
    for scheme in ["http://", "https://"] {
        if text.starts_with(scheme) {
            return ("", Some(text));
        }
        if let Some(at) = text.find(&format!("@{scheme}")) {
            return (&text[..at], Some(&text[at + 1..]));
        }
    }
    (text, None)
}

fn give(hop: &mut Hop, text: &str) -> Result<(), String> {
    let (side, time) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' is no timeout: {FORM}"))?;
    let timeout = match time {
        "never" => Timeout::Never,
        time => Timeout::After(values::some_time(time)?),
    };
    let given = Some(Side {
        timeout,
        evidence: Evidence::Given,
    });
    match side {
        "idle" => (hop.server, hop.client) = (given, given),
        "server" => hop.server = given,
        "client" => hop.client = given,
        other => return Err(format!("'{other}' is not idle, server or client: {FORM}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn times(text: &str) -> (Option<Timeout>, Option<Timeout>) {
        let hop = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (
            hop.server.map(|side| side.timeout),
            hop.client.map(|side| side.timeout),
        )
    }

    #[test]
    fn hops_are_read() {
        let s = |seconds| Some(Timeout::After(Duration::from_secs(seconds)));
        for (text, server, client) in [
            ("nginx", s(75), s(60)),
            ("curl", None, s(118)),
            ("alb:idle=30s", s(30), s(30)),
            ("mine:server=5s", s(5), None),
            ("nginx:client=10s", s(75), s(10)),
            ("mine:server=5s,client=never", s(5), Some(Timeout::Never)),
            ("http://127.0.0.1:3000/", None, None),
            ("nginx:client=1m@http://127.0.0.1:3000/", s(75), s(60)),
        ] {
            assert_eq!(times(text), (server, client), "{text}");
        }
        let hop = parse("nginx@https://x.example/a:b").expect("it is one");
        assert_eq!(
            (hop.name.as_str(), hop.url.as_deref()),
            ("nginx", Some("https://x.example/a:b"))
        );
        assert_eq!(parse("http://h/").expect("it is one").name, "http://h/");
    }

    #[test]
    fn a_hop_without_a_name_is_what_its_server_field_says() {
        let mut hop = parse("http://h/").expect("it is one");
        hop.guess(Some("something"));
        assert!(hop.product.is_none() && !hop.is_guessed);
        hop.guess(Some("nginx/1.31.3"));
        assert_eq!(hop.product.map(|product| product.name), Some("nginx"));
        assert!(hop.is_guessed && hop.client.is_some());
        let mut named = parse("haproxy@http://h/").expect("it is one");
        named.guess(Some("gunicorn"));
        assert_eq!(named.product.map(|product| product.name), Some("haproxy"));
    }

    #[test]
    fn what_is_no_hop_is_told_with_the_form() {
        for text in [
            "",
            ":idle=5s",
            "nothing-known",
            "nginx:5s",
            "nginx:idle=5",
            "nginx:idle=0",
            "nginx:wait=5s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("ngin").unwrap_err().contains("Known are curl,"));
    }
}
