//! URLs as they are typed.

use http::Uri;

use crate::failure::Failure;
use crate::load::Target;

/// The URL, or what is wrong with it and what it should look like.
pub(crate) fn parse(text: &str) -> Target {
    check(text).map_err(|(wrong, help)| {
        Failure::new(format!("'{text}' is not a URL that can be asked: {wrong}"))
            .fault("the command line's: nothing was sent")
            .help(help)
    })
}

fn check(text: &str) -> Result<Uri, (String, String)> {
    const EXAMPLE: &str = "write it like http://127.0.0.1:8080/path";
    let wrong = |wrong: &str| (wrong.to_owned(), EXAMPLE.to_owned());
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        let help = match bad {
            ' ' => "write %20 for a space, and quote the URL for the shell".to_owned(),
            bad if bad.is_control() => EXAMPLE.to_owned(),
            _ => "write other characters than ASCII percent-encoded, host names in punycode"
                .to_owned(),
        };
        return Err((format!("it has the character {bad:?}"), help));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err((
            "it has no scheme".to_owned(),
            format!("write http://{text} or https://{text}"),
        ));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(wrong(&format!("'{scheme}' is neither http nor https")));
    }
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if place.contains('@') {
        return Err((
            "it has a user name in it".to_owned(),
            "give credentials as -H 'authorization: …'".to_owned(),
        ));
    }
    let uri: Uri = text.parse().map_err(|error| wrong(&format!("{error}")))?;
    match uri.authority() {
        Some(authority) if !authority.host().is_empty() => {}
        _ => return Err(wrong("it has no host")),
    }
    // What the parser of `http` leaves for later: a port that is none.
    let has_port = place
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && !port.contains(']'));
    match uri.port_u16() {
        None | Some(0) if has_port => Err(wrong("its port is not a number from 1 to 65535")),
        _ => Ok(uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken() {
        for text in [
            "http://localhost",
            "http://127.0.0.1:8080/a?b=c",
            "https://[::1]:8443/",
            "HTTP://example.com/%20",
            "http://example.com:/",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, wrong, help) in [
            ("", "it is empty", "http://"),
            (
                "localhost:80/x",
                "it has no scheme",
                "http://localhost:80/x",
            ),
            ("ftp://localhost/", "'ftp' is neither", "http://"),
            ("http://", "", "http://"),
            ("http:///x", "", "http://"),
            ("http://a b/", "character ' '", "%20"),
            ("http://ü.de/", "character 'ü'", "punycode"),
            ("http://me:pw@localhost/", "user name", "authorization"),
            ("http://localhost:99999/", "port", "http://"),
            ("http://localhost:x/", "", "http://"),
            ("http://localhost:0/", "port", "http://"),
        ] {
            let failure = parse(text).expect_err(text);
            assert!(failure.what.contains(wrong), "{text}: {failure:?}");
            assert!(
                failure.help.as_ref().unwrap().contains(help),
                "{text}: {failure:?}"
            );
        }
    }
}
