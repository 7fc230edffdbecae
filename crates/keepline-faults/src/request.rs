//! Reading requests: where one ends, and no more than that.
//!
//! A reader is fed bytes and tells when a request is complete. It keeps the head, up to a limit,
//! and nothing of a body.

/// A head is at most so long, in bytes; a line of a chunk as well.
const LONGEST_HEAD: usize = 64 * 1024;

/// What has been read of a request.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    unread: Vec<u8>,
    /// So much of it has no end of a head or line in it: each byte is looked at once.
    scanned: usize,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body(Request, Body),
}

#[derive(Debug, Clone, Copy)]
enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// A line with the size of a chunk is to come.
    ChunkSize,
    /// So many bytes of a chunk are to come, its line end included.
    Chunk(u64),
    /// Trailers, up to an empty line.
    Trailers,
}

/// A request that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) is_head: bool,
}

/// What the reader has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It needs more bytes.
    Incomplete,
    /// It needs more bytes, and the client waits for 100 (Continue) before it sends them. Said once.
    WantsContinue,
    /// The request is complete.
    Complete(Request),
    /// This is no request.
    Unreadable,
}

impl Reader {
    /// Takes what has arrived.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Nothing of a next request has arrived.
    pub(crate) fn is_idle(&self) -> bool {
        self.unread.is_empty() && matches!(self.state, State::Head)
    }

    /// How far the request has come.
    pub(crate) fn progress(&mut self) -> Progress {
        loop {
            match std::mem::take(&mut self.state) {
                State::Head => match self.head() {
                    Err(progress) => return progress,
                    Ok((request, None)) => return Progress::Complete(request),
                    Ok((request, Some(Head { body, expects }))) => {
                        self.state = State::Body(request, body);
                        if expects && self.unread.is_empty() {
                            return Progress::WantsContinue;
                        }
                    }
                },
                State::Body(request, body) => match self.body(body) {
                    Ok(None) => return Progress::Complete(request),
                    Ok(Some(next)) => self.state = State::Body(request, next),
                    Err(Stuck::Unreadable) => return Progress::Unreadable,
                    Err(Stuck::At(body)) => {
                        self.state = State::Body(request, body);
                        return Progress::Incomplete;
                    }
                },
            }
        }
    }

    fn head(&mut self) -> Result<(Request, Option<Head>), Progress> {
        let Some(length) = self.find(b"\r\n\r\n") else {
            return Err(if self.unread.len() > LONGEST_HEAD {
                Progress::Unreadable
            } else {
                Progress::Incomplete
            });
        };
        let head: Vec<u8> = self.unread.drain(..length + 4).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.split("\r\n").skip_while(|line| line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        let request = Request {
            is_head: line.starts_with("HEAD "),
            line,
        };
        let (mut body, mut expects) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => match value.parse() {
                    Ok(0) => {}
                    Ok(length) => body = body.or(Some(Body::Length(length))),
                    Err(_) => return Err(Progress::Unreadable),
                },
                "transfer-encoding" => body = Some(Body::ChunkSize),
                "expect" => expects = true,
                _ => {}
            }
        }
        Ok((request, body.map(|body| Head { body, expects })))
    }

    /// The state after what there is, or that there is not enough.
    fn body(&mut self, body: Body) -> Result<Option<Body>, Stuck> {
        match body {
            Body::Length(0) => Ok(None),
            Body::Chunk(0) => Ok(Some(Body::ChunkSize)),
            Body::Length(left) => Ok(Some(Body::Length(self.skip(left, body)?))),
            Body::Chunk(left) => Ok(Some(Body::Chunk(self.skip(left, body)?))),
            Body::ChunkSize => {
                let line = self.line(body)?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(digits, 16).map(|size| size.checked_add(2)) {
                    Ok(Some(2)) => Ok(Some(Body::Trailers)),
                    Ok(Some(size)) => Ok(Some(Body::Chunk(size))),
                    Ok(None) | Err(_) => Err(Stuck::Unreadable),
                }
            }
            Body::Trailers if self.line(body)?.is_empty() => Ok(None),
            Body::Trailers => Ok(Some(Body::Trailers)),
        }
    }

    /// Drops up to `left` bytes and answers how many are still to come.
    fn skip(&mut self, left: u64, body: Body) -> Result<u64, Stuck> {
        if self.unread.is_empty() {
            return Err(Stuck::At(body));
        }
        let here =
            usize::try_from(left).map_or(self.unread.len(), |left| left.min(self.unread.len()));
        self.unread.drain(..here);
        Ok(left - here as u64)
    }

    /// Where `wanted` begins, looked for behind what has been looked at.
    fn find(&mut self, wanted: &[u8]) -> Option<usize> {
        let from = self.scanned.saturating_sub(wanted.len() - 1);
        let unseen = self.unread.get(from..).unwrap_or_default();
        let mut windows = unseen.windows(wanted.len());
        match windows.position(|window| window == wanted) {
            Some(place) => {
                self.scanned = 0;
                Some(from + place)
            }
            None => {
                self.scanned = self.unread.len();
                None
            }
        }
    }

    fn line(&mut self, body: Body) -> Result<String, Stuck> {
        let Some(length) = self.find(b"\r\n") else {
            return Err(if self.unread.len() > LONGEST_HEAD {
                Stuck::Unreadable
            } else {
                Stuck::At(body)
            });
        };
        let line = String::from_utf8_lossy(&self.unread[..length]).into_owned();
        self.unread.drain(..length + 2);
        Ok(line)
    }
}

/// How a body is delimited, and whether its sender waits.
struct Head {
    body: Body,
    expects: bool,
}

enum Stuck {
    At(Body),
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request lines of all requests in `bytes`, fed in pieces of `piece` bytes.
    fn lines(bytes: &[u8], piece: usize) -> Result<Vec<String>, Progress> {
        let (mut reader, mut lines) = (Reader::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.feed(piece);
            loop {
                match reader.progress() {
                    Progress::Complete(request) => lines.push(request.line),
                    Progress::Incomplete | Progress::WantsContinue => break,
                    Progress::Unreadable => return Err(Progress::Unreadable),
                }
            }
        }
        assert!(reader.is_idle(), "{reader:?}");
        Ok(lines)
    }

    #[test]
    fn requests_end_where_they_end_however_they_are_split() {
        let wire = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
            POST /2 HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello\
            PUT /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nt: v\r\n\r\n\
            HEAD /4 HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        for piece in [1, 2, 3, 7, wire.len()] {
            assert_eq!(
                lines(wire, piece).unwrap(),
                [
                    "GET /1 HTTP/1.1",
                    "POST /2 HTTP/1.1",
                    "PUT /3 HTTP/1.1",
                    "HEAD /4 HTTP/1.1"
                ],
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_no_request_is_told() {
        for wire in [
            &b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            &[b'x'; LONGEST_HEAD + 1],
        ] {
            let end = wire.len().min(90);
            let begin = wire[..end].escape_ascii();
            assert_eq!(
                lines(wire, wire.len()),
                Err(Progress::Unreadable),
                "{begin}"
            );
        }
    }

    #[test]
    fn who_waits_for_100_is_told_of_once() {
        let mut reader = Reader::default();
        reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
        assert_eq!(reader.progress(), Progress::WantsContinue);
        assert_eq!(reader.progress(), Progress::Incomplete);
        reader.feed(b"x");
        assert!(matches!(reader.progress(), Progress::Complete(_)));
    }
}
