//! A user name and a password, as a URL holds them and as a proxy is shown them.

use std::fmt;

use http::HeaderValue;

use super::invalid;
use crate::error::Error;

/// A user name and a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Credentials {
    user: Box<str>,
    password: Box<str>,
    /// `Basic …` (RFC 7617).
    basic: HeaderValue,
}

impl Credentials {
    pub(super) fn new(user: &str, password: &str) -> Self {
        let basic = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        let mut basic = HeaderValue::from_str(&basic).expect("base64 is visible ASCII");
        basic.set_sensitive(true);
        Self {
            user: user.into(),
            password: password.into(),
            basic,
        }
    }

    /// From the part of a URL before the `@`, percent-encoded (RFC 3986 §3.2.1).
    pub(super) fn of_userinfo(userinfo: &str) -> Result<Self, Error> {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let decoded = |text| {
            percent_decoded(text).ok_or_else(|| invalid("its credentials are not percent-encoded"))
        };
        Ok(Self::new(&decoded(user)?, &decoded(password)?))
    }

    pub(super) const fn basic(&self) -> &HeaderValue {
        &self.basic
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// RFC 3986 §2.1; `None` for a percent sign without two digits, for control characters, and for
/// what is no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        };
        if byte.is_ascii_control() {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= group.len() {
                let index = (bits >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4648 §10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
        // RFC 7617 §2.
        let aladdin = Credentials::new("Aladdin", "open sesame");
        assert_eq!(aladdin.basic(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn userinfo_is_decoded() {
        for (userinfo, user, password) in [
            ("me:secret", "me", "secret"),
            ("me", "me", ""),
            ("me:", "me", ""),
            (":x", "", "x"),
            ("a:b:c", "a", "b:c"),
            ("a%3Ab:%25%C3%bc", "a:b", "%ü"),
        ] {
            let credentials = Credentials::of_userinfo(userinfo).unwrap();
            let read = (credentials.user(), credentials.password());
            assert_eq!(read, (user, password), "{userinfo}");
        }
        for bad in ["%", "a%2", "a%2g", "%ff", "a%0d%0ab"] {
            assert!(Credentials::of_userinfo(bad).is_err(), "{bad}");
        }
    }
}
