//! What else the server does with a connection: after which requests it closes it, whether it bears
//! pipelining, and what it makes of a client that has said all it will say.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Version};

use super::target::{Shaken, Target};
use super::wire::{Answer, Lost, Wire};

/// An upload that many servers do not read; less than what a socket takes without a reader.
const UNREAD_UPLOAD: usize = 48 * 1024;
/// 100 (Continue) is waited for so long.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// No site has this path.
const MISSING: &str = "/keepline-probe/no-such-path-exists-here";

/// A request that may make a server close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Head,
    UnreadPost,
    NotFound,
    BadRequest,
    Expect,
    Http10,
    Http10KeepAlive,
    ConnectionClose,
}

impl Trigger {
    pub(crate) const ALL: [Self; 8] = [
        Self::Head,
        Self::UnreadPost,
        Self::NotFound,
        Self::BadRequest,
        Self::Expect,
        Self::Http10,
        Self::Http10KeepAlive,
        Self::ConnectionClose,
    ];

    /// As it is written in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::UnreadPost => "post-unread",
            Self::NotFound => "404",
            Self::BadRequest => "400",
            Self::Expect => "expect",
            Self::Http10 => "http10",
            Self::Http10KeepAlive => "http10-keep-alive",
            Self::ConnectionClose => "connection-close",
        }
    }

    /// As it is written for people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::UnreadPost => "a POST with a body of 48 KiB",
            Self::NotFound => "a path that is not there",
            Self::BadRequest => "a malformed request",
            Self::Expect => "Expect: 100-continue",
            Self::Http10 => "HTTP/1.0",
            Self::Http10KeepAlive => "HTTP/1.0 with keep-alive",
            Self::ConnectionClose => "Connection: close",
        }
    }
}

/// What became of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It carried the next request.
    Persists { status: u16 },
    /// It was closed after the answer; `told` if the answer said so.
    Closes { status: u16, told: bool },
    /// The next answer was none to the next request: the server has taken the rest of this one for
    /// requests, or has answered with content where there is none.
    Confused { status: u16 },
    /// Nothing came to the next request.
    Hangs { status: u16 },
    /// There was no answer at all.
    NotAnswered(Lost),
}

impl After {
    pub(crate) const fn closes(self) -> bool {
        match self {
            Self::Closes { .. } | Self::NotAnswered(Lost::Closed(_)) => true,
            Self::Persists { .. }
            | Self::Confused { .. }
            | Self::Hangs { .. }
            | Self::NotAnswered(Lost::Silence | Lost::Unfinished | Lost::Malformed) => false,
        }
    }

    /// The connection is of no use after it, and has not been closed either.
    pub(crate) const fn breaks(self) -> bool {
        !self.closes() && !matches!(self, Self::Persists { .. })
    }
}

/// Tries one of them on a connection of its own. `None` if the server would not have it asked.
pub(crate) async fn after(target: &Arc<Target>, trigger: Trigger) -> Option<After> {
    let mut wire = target.open().await.ok()?;
    let answer = match provoke(target, &mut wire, trigger).await {
        Ok(answer) => answer,
        Err(lost) => return Some(After::NotAnswered(lost)),
    };
    if target.is_too_many(answer.status) {
        return None;
    }
    let status = answer.status.as_u16();
    Some(match wire.get().await {
        Ok(next) if is_of_no_request(next.status, target.usual()) => After::Confused { status },
        Ok(_) => After::Persists { status },
        Err(Lost::Malformed) => After::Confused { status },
        Err(Lost::Silence | Lost::Unfinished) => After::Hangs { status },
        Err(Lost::Closed(_)) => After::Closes {
            status,
            told: answer.says_close || answer.version < Version::HTTP_11,
        },
    })
}

/// What is answered to bytes that are no request. The same GET had `usual` before.
fn is_of_no_request(status: StatusCode, usual: StatusCode) -> bool {
    let says_so = matches!(status.as_u16(), 400 | 405 | 408 | 414 | 431 | 501 | 505);
    says_so && status != usual
}

async fn provoke(target: &Target, wire: &mut Wire, trigger: Trigger) -> Result<Answer, Lost> {
    let path = target.path.as_str();
    let get = Method::GET;
    match trigger {
        Trigger::Head => {
            wire.ask(&Method::HEAD, &target.request("HEAD", path, ""))
                .await
        }
        Trigger::NotFound => wire.ask(&get, &target.request("GET", MISSING, "")).await,
        Trigger::UnreadPost => {
            let more = format!("Content-Length: {UNREAD_UPLOAD}\r\n");
            let mut request = target.request("POST", path, &more);
            request.resize(request.len() + UNREAD_UPLOAD, b'x');
            wire.ask(&Method::POST, &request).await
        }
        Trigger::BadRequest => {
            let request = target.request("GET", path, "no colon in this line\r\n");
            wire.ask(&get, &request).await
        }
        Trigger::Expect => expect(target, wire).await,
        Trigger::Http10 => {
            let request = target.request_of("GET", path, "HTTP/1.0", "");
            wire.ask(&get, &request).await
        }
        Trigger::Http10KeepAlive => {
            let more = "Connection: keep-alive\r\n";
            let request = target.request_of("GET", path, "HTTP/1.0", more);
            wire.ask(&get, &request).await
        }
        Trigger::ConnectionClose => {
            let request = target.request("GET", path, "Connection: close\r\n");
            wire.ask(&get, &request).await
        }
    }
}

/// The content follows only when it is asked for, or when nobody says anything.
async fn expect(target: &Target, wire: &mut Wire) -> Result<Answer, Lost> {
    let more = "Content-Length: 2\r\nExpect: 100-continue\r\n";
    let request = target.request("POST", &target.path, more);
    wire.send(&request).await?;
    match wire.continues(&Method::POST, CONTINUE_PATIENCE).await {
        Ok(Some(answer)) => return Ok(answer),
        Ok(None) | Err(Lost::Silence) => {}
        Err(lost) => return Err(lost),
    }
    wire.send(b"hi").await?;
    wire.answer(&Method::POST).await
}

/// What a server makes of several requests at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipelining {
    /// All are answered, in their order.
    Ordered,
    /// Not all are answered before the connection is closed, or anybody's patience is at its end.
    Refused,
    /// The answers are not those to the requests.
    Broken,
}

impl Pipelining {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

/// Sends four requests in one segment, of which one is HEAD and one is for a path that is not
/// there, so that an answer in the wrong place shows.
pub(crate) async fn pipelining(target: &Arc<Target>) -> Option<Pipelining> {
    let path = target.path.as_str();
    let requests = [
        (Method::GET, path),
        (Method::GET, MISSING),
        (Method::HEAD, path),
        (Method::GET, path),
    ];
    let mut alone = Vec::new();
    for (method, path) in &requests {
        let mut wire = target.open().await.ok()?;
        let request = target.request(method.as_str(), path, "");
        alone.push(wire.ask(method, &request).await.ok()?);
    }
    let mut wire = target.open().await.ok()?;
    let together: Vec<u8> = requests
        .iter()
        .flat_map(|(method, path)| target.request(method.as_str(), path, ""))
        .collect();
    if wire.send(&together).await.is_err() {
        return Some(Pipelining::Refused);
    }
    let mut answers = Vec::new();
    for (method, _) in &requests {
        answers.push(wire.answer(method).await);
        if answers.last().is_some_and(Result::is_err) {
            break;
        }
    }
    let all = alone.iter().chain(answers.iter().flatten());
    if all
        .into_iter()
        .any(|answer| target.is_too_many(answer.status))
    {
        return None;
    }
    Some(judge(&alone, &answers, wire.has_leftover()))
}

fn judge(alone: &[Answer], together: &[Result<Answer, Lost>], has_leftover: bool) -> Pipelining {
    for (alone, together) in alone.iter().zip(together) {
        match together {
            Ok(answer) if answer.status != alone.status => return Pipelining::Broken,
            Ok(_) => {}
            Err(Lost::Malformed) => return Pipelining::Broken,
            Err(Lost::Closed(_) | Lost::Silence | Lost::Unfinished) => return Pipelining::Refused,
        }
    }
    if has_leftover {
        return Pipelining::Broken;
    }
    Pipelining::Ordered
}

/// Whether a request is answered whose sender has sent its FIN already.
pub(crate) async fn answers_after_fin(target: &Arc<Target>) -> Option<bool> {
    let mut wire = target.open().await.ok()?;
    let request = target.request("GET", &target.path, "");
    wire.send(&request).await.ok()?;
    wire.half_close().await.ok()?;
    Some(wire.answer(&Method::GET).await.is_ok())
}

/// What TLS agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// A second connection resumed the session of the first.
    pub(crate) resumes: bool,
    /// h2 is chosen by ALPN where it is offered.
    pub(crate) has_h2: bool,
}

/// Makes two handshakes for resumption and one that offers h2.
pub(crate) async fn tls(target: &Arc<Target>) -> Option<TlsFacts> {
    let tls = target.tls.as_ref()?;
    target.handshake(tls, false).await.ok()?;
    let again: Shaken = target.handshake(tls, false).await.ok()?;
    let has_h2 = target.handshake(tls, true).await.ok()?.is_h2;
    Some(TlsFacts {
        resumes: again.resumed,
        has_h2,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::probe::wire::Close;

    fn answer(status: u16) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("it is one"),
            version: Version::HTTP_11,
            hint: Default::default(),
            says_close: false,
            server: None,
            length: 0,
            continued: false,
            ended: Instant::now(),
        }
    }

    #[test]
    fn answers_in_another_order_are_broken_and_a_cut_is_a_refusal() {
        let alone = [200, 404, 200].map(answer);
        let cut = Err(Lost::Closed(Close::Fin));
        let ok = |status| Ok(answer(status));
        for (together, leftover, verdict) in [
            ([ok(200), ok(404), ok(200)], false, Pipelining::Ordered),
            ([ok(200), ok(404), ok(200)], true, Pipelining::Broken),
            ([ok(200), ok(200), ok(404)], false, Pipelining::Broken),
            ([ok(200), cut.clone(), cut], false, Pipelining::Refused),
            (
                [ok(200), ok(404), Err(Lost::Malformed)],
                false,
                Pipelining::Broken,
            ),
        ] {
            assert_eq!(judge(&alone, &together, leftover), verdict, "{together:?}");
        }
    }
}
