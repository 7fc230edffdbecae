//! The fuzz target `proxy_protocol`.

use crate::proxy_protocol::{MAX_HEADER, Parsed, parse};

/// However the bytes are split, the same is found in them, and no read that was asked for reaches
/// beyond the header.
///
/// # Panics
/// An invariant does not hold.
pub fn proxy_protocol(data: &[u8]) {
    let whole = parse(data);
    let mut read = 0;
    let stepwise = loop {
        match parse(&data[..read]) {
            Ok(Parsed::More(missing)) => {
                assert!(missing > 0, "it would never end");
                assert!(read + missing <= MAX_HEADER, "it is bounded");
                if read + missing > data.len() {
                    break Ok(None);
                }
                read += missing;
            }
            Ok(header @ Parsed::Header(_, length)) => {
                assert_eq!(length, read, "only the header was read");
                break Ok(Some(header));
            }
            Err(error) => break Err(error),
        }
    };
    match (whole, stepwise) {
        (Ok(header @ Parsed::Header(..)), found) => assert_eq!(found, Ok(Some(header))),
        // What is missing may show a mistake earlier than what is asked for.
        (Ok(Parsed::More(_)), found) => assert_eq!(found, Ok(None)),
        (Err(_), Ok(Some(header))) => panic!("{header:?} is refused in one piece"),
        (Err(_), Ok(None) | Err(_)) => {}
    }
}
