//! Which fields an intermediary passes on: RFC 9110 §7.6.1 as a pure function.

use crate::field::list;
use crate::{Field, Fields};

/// Whether a field goes to the next hop, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// It is end-to-end.
    Yes,
    /// It belongs to this connection by definition.
    ConnectionSpecific,
    /// It frames this message on this connection; the next hop frames it anew.
    Framing,
    /// A Connection field of the same message names it.
    NamedByConnection,
}

/// Whether an intermediary forwards `field`, which stands in `section`.
///
/// "Intermediaries MUST parse a received Connection header field before a message is forwarded
/// and, for each connection-option in this field, remove any header or trailer field(s) from the
/// message with the same name as the connection-option" and "SHOULD remove or replace fields
/// known to require removal before forwarding, whether or not they appear as a
/// connection-option: Proxy-Connection, Keep-Alive, TE, Transfer-Encoding, Upgrade".
#[must_use]
pub fn forwardable(field: Field<'_>, section: &Fields) -> Forward {
    match field.name().len() {
        10 if field.is("connection") || field.is("keep-alive") => Forward::ConnectionSpecific,
        2 if field.is("te") => Forward::ConnectionSpecific,
        7 if field.is("upgrade") => Forward::ConnectionSpecific,
        16 if field.is("proxy-connection") => Forward::ConnectionSpecific,
        17 if field.is("transfer-encoding") => Forward::Framing,
        14 if field.is("content-length") => Forward::Framing,
        _ if section.facts().connection.names_fields() && is_named(field, section) => {
            Forward::NamedByConnection
        }
        _ => Forward::Yes,
    }
}

fn is_named(field: Field<'_>, section: &Fields) -> bool {
    section
        .iter()
        .filter(|line| line.is("connection"))
        .flat_map(|line| list(line.value()))
        .any(|option| option.eq_ignore_ascii_case(field.name()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Limits, parse};

    #[test]
    fn each_field_of_a_section() {
        use Forward::{ConnectionSpecific, Framing, NamedByConnection, Yes};
        let rows = [
            ("Host: a", Yes),
            ("Connection: X-Named , close, te", ConnectionSpecific),
            ("connection: ,\"x-quoted\", x-Second", ConnectionSpecific),
            ("Keep-Alive: timeout=5", ConnectionSpecific),
            ("Proxy-Connection: keep-alive", ConnectionSpecific),
            ("TE: trailers", ConnectionSpecific),
            ("Upgrade: x", ConnectionSpecific),
            ("Content-Length: 3", Framing),
            ("Transfer-Encoding: chunked", Framing),
            ("x-named: 1", NamedByConnection),
            ("X-SECOND: 1", NamedByConnection),
            ("x-quoted: 1", Yes),
            ("x-named-not: 1", Yes),
            ("Close: 1", NamedByConnection),
            ("Trailer: x", Yes),
            ("Expect: 100-continue", Yes),
            ("Proxy-Authorization: x", Yes),
        ];
        let lines: String = rows.iter().map(|row| format!("{}\r\n", row.0)).collect();
        let mut block = Bytes::from(format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        let head = parse::request(&mut block, Vec::new(), &Limits::default()).unwrap();
        for (field, (line, expected)) in head.fields().iter().zip(rows) {
            assert_eq!(forwardable(field, head.fields()), expected, "{line}");
        }
    }

    #[test]
    fn without_connection_options_only_the_known_ones_stay_behind() {
        let block = Bytes::from_static(b"HTTP/1.1 200 OK\r\nclose: 1\r\nte: 1\r\n\r\n");
        let head = parse::response(block, Vec::new(), &Limits::default()).unwrap();
        let decisions: Vec<_> = head
            .fields()
            .iter()
            .map(|field| forwardable(field, head.fields()))
            .collect();
        assert_eq!(decisions, [Forward::Yes, Forward::ConnectionSpecific]);
    }
}
