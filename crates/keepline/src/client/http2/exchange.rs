//! A request on a stream, up to the head of its response.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use keepline_proto::BodyLength;
use tokio::time::Instant;

use super::body::StreamBody;
use super::head;
use super::session::tell;
use super::sharing::Permit;
use crate::Body;
use crate::CloseReason;
use crate::client::attempt::{Failed, expects_continue};
use crate::client::event::Event;
use crate::client::interim::OnInterim;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Phase};
use crate::http2::{SendEnd, send_body, session_error};
use crate::info::{ConnectionInfo, Timings};

/// What is known of one exchange on a stream while it runs.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) permit: Permit,
    pub(super) retries: u32,
    pub(super) acquired_at: Instant,
    pub(super) waited: std::time::Duration,
    pub(super) first_byte: Option<std::time::Duration>,
    pub(super) counted: Arc<Counted>,
}

/// What is counted of the content, from both sides of it.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) written: AtomicU64,
    pub(super) read: AtomicU64,
    /// The request's body has been asked for something.
    pub(super) is_begun: AtomicBool,
}

/// Content on its way to the server. It owns the stream's sending half.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Exchange {
    /// The session, and what the exchange has cost so far. Over HTTP/2 bytes are those of content:
    /// heads and frames are the session's.
    pub(super) fn info(&self) -> ConnectionInfo {
        let session = &self.permit.session;
        let is_first = self.permit.reserved.number == 1;
        let dial = if is_first {
            session.dial
        } else {
            Timings::default()
        };
        ConnectionInfo {
            id: session.id,
            reused: !is_first,
            idle_for: self.permit.reserved.idle_for,
            age: self
                .acquired_at
                .saturating_duration_since(session.opened_at),
            exchange_number: self.permit.reserved.number,
            open_reason: session.open_reason,
            peer: session.peer,
            retries: self.retries,
            bytes_written: self.counted.written.load(Ordering::Relaxed),
            bytes_read: self.counted.read.load(Ordering::Relaxed),
            timings: Timings {
                wait: self.waited,
                first_byte: self.first_byte,
                ..dial
            },
        }
    }

    /// The error of a stream, with its connection; of a session that died by a deadline, that.
    pub(super) fn describe(&self, error: Error) -> Error {
        let error = match self.permit.session.timed_out() {
            Some(phase) if !matches!(error.kind(), ErrorKind::Body | ErrorKind::Misuse(_)) => {
                Error::timeout(phase)
            }
            _ => error,
        };
        error.on(self.info())
    }

    fn tell(&self, event: impl FnOnce(u64) -> Event) {
        tell(&self.permit.shared, &self.permit.session, event);
    }

    /// Sends the request and waits for the head of its response.
    pub(super) async fn run(
        self,
        parts: &Parts,
        body: Body,
        origin: &crate::client::Origin,
    ) -> Result<Response<Body>, Failed> {
        let mut started = match self.start(parts, body.made(), origin) {
            Ok(started) => started,
            Err((error, fate, untouched)) => {
                let error = self.describe(error);
                return Err(self.failed(error, fate, untouched));
            }
        };
        let outcome = poll_fn(|cx| started.poll(&self, cx)).await;
        match outcome {
            Ok(response) => Ok(self.respond(response, started)),
            Err(Lost(error, fate)) => {
                let error = self.describe(error);
                Err(self.failed(error, fate, started.held.map(|held| held.body)))
            }
        }
    }

    fn failed(&self, error: Error, fate: Fate, untouched: Option<Body>) -> Failed {
        // Here, and not only in the session's own task: the next attempt may be faster than that, and
        // would meet the same session, all the times that it may be made.
        if fate == Fate::SessionLeaves {
            self.permit.retire(CloseReason::PeerAskedClose);
        }
        let untouched = untouched.filter(|_| !self.counted.is_begun.load(Ordering::Relaxed));
        Failed {
            error,
            info: Some(self.info()),
            untouched,
            is_unprocessed: fate != Fate::Unknown,
        }
    }

    /// Starts the stream.
    fn start(
        &self,
        parts: &Parts,
        body: Body,
        origin: &crate::client::Origin,
    ) -> Result<Started, (Error, Fate, Option<Body>)> {
        let head = match head::request(parts, origin, body.length()) {
            Ok(head) => head,
            Err(error) => return Err((error, Fate::Unknown, Some(body))),
        };
        let is_empty = body.is_end_stream();
        // Retired in between, it has started nothing.
        let Some(mut sender) = self.permit.session.sender() else {
            return Err((Error::new(ErrorKind::Http2), Fate::Refused, Some(body)));
        };
        let (response, stream) = match sender.send_request(head, is_empty) {
            Ok(sent) => sent,
            Err(error) => {
                let fate = fate(&error);
                return Err((own_error(error), fate, Some(body)));
            }
        };
        self.tell(|connection| Event::SentHead { connection });
        let settings = &self.permit.shared.settings;
        let mut started = Started {
            response,
            upload: None,
            held: None,
            on_interim: parts.extensions.get::<OnInterim>().cloned(),
            deadline: Deadline::default(),
        };
        if is_empty {
            started.sent(self);
        } else if expects_continue(&parts.headers) {
            let mut until = Deadline::default();
            until.set(settings.continue_timeout);
            started.held = Some(Held {
                body,
                stream,
                until,
            });
        } else {
            started.upload = Some(upload(stream, body, &self.counted));
        }
        Ok(started)
    }

    fn respond(mut self, response: Response<RecvStream>, started: Started) -> Response<Body> {
        let status = response.status();
        self.tell(|connection| Event::Answered { connection, status });
        let elapsed = Instant::now().saturating_duration_since(self.acquired_at);
        self.first_byte = Some(elapsed);
        let info = self.info();
        let (mut parts, recv) = response.into_parts();
        // Held back until now, the body is not sent after the answer; the stream is reset.
        let upload = started.upload;
        let body = if recv.is_end_stream() && upload.is_none() {
            Body::empty()
        } else {
            Body::stream(StreamBody::new(self, recv, upload, &parts.headers))
        };
        parts.version = Version::HTTP_2;
        parts.extensions.insert(info);
        Response::from_parts(parts, body)
    }
}

/// A stream that has been started.
struct Started {
    response: ResponseFuture,
    upload: Option<Upload>,
    /// The server is to say first that it wants the body.
    held: Option<Held>,
    on_interim: Option<OnInterim>,
    /// Of the head of the response.
    deadline: Deadline,
}

struct Held {
    body: Body,
    stream: SendStream<Bytes>,
    until: Deadline,
}

/// A stream that has failed, and whether the peer says that it has not processed the request.
struct Lost(Error, Fate);

/// What the peer has done with a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// Nothing: it has not been processed.
    Refused,
    /// The same, nor will any other be on this session.
    SessionLeaves,
}

impl Started {
    fn poll(
        &mut self,
        of: &Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, Lost>> {
        loop {
            if let Some(held) = &mut self.held
                && held.until.poll(cx).is_ready()
            {
                self.release(of);
            }
            if let Some(upload) = &mut self.upload
                && let Poll::Ready(outcome) = upload.as_mut().poll(cx)
            {
                self.upload = None;
                match outcome {
                    Ok(()) => self.sent(of),
                    Err(error)
                        if error.kind() != ErrorKind::Http2 && error.kind() != ErrorKind::Io =>
                    {
                        return Poll::Ready(Err(Lost(error, Fate::Unknown)));
                    }
                    // The response says what has become of the stream.
                    Err(_) => {}
                }
            }
            match self.response.poll_informational(cx) {
                Poll::Ready(Some(Ok(interim))) => {
                    let status = interim.status();
                    of.tell(|connection| Event::Interim { connection, status });
                    if let Some(on_interim) = &self.on_interim {
                        on_interim.call(status, interim.headers());
                    }
                    if status == StatusCode::CONTINUE {
                        self.release(of);
                    }
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(lost(error))),
                Poll::Ready(None) | Poll::Pending => {}
            }
            return match Pin::new(&mut self.response).poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(lost(error))),
                Poll::Pending if self.deadline.poll(cx).is_ready() => {
                    Poll::Ready(Err(Lost(Error::timeout(Phase::Head), Fate::Unknown)))
                }
                Poll::Pending => Poll::Pending,
            };
        }
    }

    /// The body may go.
    fn release(&mut self, of: &Exchange) {
        if let Some(held) = self.held.take() {
            self.upload = Some(upload(held.stream, held.body, &of.counted));
        }
    }

    /// The request is with the session.
    fn sent(&mut self, of: &Exchange) {
        of.tell(|connection| Event::SentRequest { connection });
        let timeout = of.permit.shared.settings.response_timeout;
        self.deadline.set(timeout);
    }
}

fn lost(error: h2::Error) -> Lost {
    let fate = fate(&error);
    Lost(own_error(error), fate)
}

/// RFC 9113 §8.7: "The GOAWAY mechanism indicates the highest stream number that might have been
/// processed. Requests on streams with higher numbers are therefore guaranteed to be safe to retry.
/// The REFUSED_STREAM error code can be included in a RST_STREAM frame to indicate that the stream
/// is being closed prior to any processing having occurred." The h2 crate fails a stream with the
/// peer's GOAWAY only if its number is higher.
fn fate(error: &h2::Error) -> Fate {
    if !error.is_remote() {
        return Fate::Unknown;
    }
    match error.reason() {
        _ if error.is_go_away() => Fate::SessionLeaves,
        Some(Reason::REFUSED_STREAM) => Fate::Refused,
        _ => Fate::Unknown,
    }
}

/// What we did wrong ourselves is said so.
fn own_error(error: h2::Error) -> Error {
    let is_ours =
        !error.is_io() && !error.is_go_away() && !error.is_reset() && error.reason().is_none();
    if is_ours {
        Error::caused(ErrorKind::InvalidRequest, error)
    } else {
        session_error(error)
    }
}

fn upload(mut stream: SendStream<Bytes>, body: Body, counted: &Arc<Counted>) -> Upload {
    let declared = match body.length() {
        BodyLength::Known(length) => Some(length),
        BodyLength::Unknown | BodyLength::UntilClose => None,
    };
    let body = Counting {
        body,
        counted: Arc::clone(counted),
    };
    Box::pin(async move {
        match send_body(&mut stream, body, declared, None, &mut 0).await {
            // After the whole answer a server may say that it wants no more (RFC 9113 §8.1).
            Ok(SendEnd::Complete | SendEnd::Reset(Reason::NO_ERROR)) => Ok(()),
            Ok(SendEnd::Reset(_)) => Err(Error::new(ErrorKind::Http2)),
            Err(error) => Err(error),
        }
    })
}

/// Counts what is taken of a request's body.
struct Counting {
    body: Body,
    counted: Arc<Counted>,
}

impl HttpBody for Counting {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.counted.is_begun.store(true, Ordering::Relaxed);
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.counted
                .written
                .fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The length that a response declares, if it does.
pub(super) fn declared(fields: &HeaderMap) -> Option<u64> {
    fields
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
