//! A busy period of a connection: requests one after the other, until there is nothing more.
//!
//! Pipelined requests are answered strictly in order: the next head is looked at only when the
//! response before it is complete. Every way in which an exchange can go wrong ends here, with an
//! answer if one is still possible, and with a reason.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::BytesMut;
use http::{Method, StatusCode};
use keepline_proto::{Expectation, Field, RequestHead};
use tokio::time::Instant;

use super::access::Asked;
use super::after::{After, AtEnd, after_exchange};
use super::exchange::{Exchange, Handler};
#[cfg(feature = "http2")]
use super::http2::{Sniffed, may_be_http2, sniff};
use super::info::RequestInfo;
use super::linger::drain;
use super::receive::{Lost, Next};
use super::refused::{Refusal, Refused};
use super::rest::rest;
use super::speaks::Speaks;
use super::terms::{HangUp, Linger};
use super::wire::{Core, Wire, reason_of};
use crate::CloseReason;
use crate::error::Error;
use crate::net::Stream;

/// How a busy period ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The connection waits for a further request.
    Idle,
    /// Everything has been written; lingering close.
    Linger(CloseReason, Linger),
    /// The connection is closed at once.
    Close(CloseReason),
    /// The same, without a word that the client could take for an orderly end.
    Abort(CloseReason),
}

impl Rest {
    /// Why the connection closes, if it does.
    const fn reason(self) -> Option<CloseReason> {
        match self {
            Self::Idle => None,
            Self::Linger(reason, _) | Self::Close(reason) | Self::Abort(reason) => Some(reason),
        }
    }
}

/// How a handler ended.
enum Handled {
    Returned(Result<(), Error>),
    Panicked,
}

/// Answers requests until none is here.
#[cfg_attr(
    not(feature = "http2"),
    expect(unused_mut, reason = "only HTTP/2 is told from what comes first")
)]
pub(super) async fn serve_requests<H: Speaks>(
    mut core: Core,
    mut stream: Stream,
    mut input: BytesMut,
    handler: &mut H,
) -> (Rest, Core, Stream) {
    // What was waited for to tell the protocols apart is a part of the head, and of its time.
    let mut head_wait = None;
    #[cfg(feature = "http2")]
    if H::HTTP2 && core.requests == 0 && may_be_http2(core.hub(), &input) {
        let since = Instant::now();
        match sniff(&mut core, &mut stream, input).await {
            Sniffed::Http2(input) => {
                let settings = core.hub().settings.http2.unwrap_or_default();
                let session = Box::pin(handler.serve_http2(&mut core, stream, input, settings));
                let (rest, stream) = session.await;
                return (rest, core, stream);
            }
            Sniffed::Other(other) => {
                head_wait = Some((since, core.deadline.at()));
                input = other;
            }
        }
    }
    let mut wire = Wire::new(core, stream, input);
    if let Some((since, until)) = head_wait {
        wire.await_head(since, until);
    }
    let end = loop {
        let outcome = match poll_fn(|cx| wire.poll_next(cx)).await {
            Ok(Next::Head(head)) => exchange(&mut wire, head, handler).await,
            Ok(Next::Idle) => rest(&mut wire).await,
            Ok(Next::Closed) => Err(Rest::Close(CloseReason::PeerClosed)),
            Err(error) => refuse(&mut wire, &error, handler).await,
        };
        if let Err(end) = outcome {
            let is_stuck = end == Rest::Close(CloseReason::Timeout);
            if is_stuck && H::RESETS_THE_STUCK && wire.lost() == Some(Lost::Gone) {
                wire.driver.stream.reset_on_close();
            }
            break end;
        }
        if wire.driver.buffered() > 0 {
            // A long pipeline lets other connections have their turn. (Where nothing is here, the
            // next read sees to that.)
            tokio::task::coop::consume_budget().await;
        }
    };
    let (core, stream) = wire.into_parts();
    (end, core, stream)
}

/// One exchange. `Ok`: the next request may come.
async fn exchange<H: Handler>(
    wire: &mut Wire,
    head: RequestHead,
    handler: &mut H,
) -> Result<(), Rest> {
    let in_progress = wire.core.registration.shard.hub.start_request();
    let own_answer = own_answer(wire, &head, in_progress.is_ok());
    let persist_if = wire.core.hub().settings.persist_if.as_ref();
    if persist_if.is_some_and(|persists| !persists(&head)) {
        wire.close_after(CloseReason::NotPersistent);
    }
    let began = wire.note_beginning();
    let mut exchange = Exchange::new(wire, head);
    let handled = match own_answer {
        Some(answer) => Handled::Returned(answer.send(exchange.wire)),
        None => run(pin!(handler.handle(&mut exchange))).await,
    };
    let (head, info) = exchange.into_parts();
    let Some(began) = began else {
        wire.driver.proto.reclaim(head.into_fields());
        return conclude(wire, handled).await;
    };
    let outcome = conclude(wire, handled).await;
    tell(wire, Asked::of(&head), info, began, outcome);
    wire.driver.proto.reclaim(head.into_fields());
    outcome
}

/// Tells whoever wants to know of an exchange, or a refusal, that is over.
fn tell(
    wire: &Wire,
    asked: Asked<'_>,
    info: RequestInfo,
    began: Instant,
    outcome: Result<(), Rest>,
) {
    let close = outcome.err().and_then(Rest::reason);
    let mut answer = wire.answer();
    // Where the next request may come, the state is that of the next exchange already.
    answer.is_complete |= outcome.is_ok();
    let record = asked.answered(info, began, answer, close);
    wire.core.hub().settings.tell(&record);
}

/// What becomes of the connection after the handler.
async fn conclude(wire: &mut Wire, handled: Handled) -> Result<(), Rest> {
    if let Some(how) = wire.hang_up {
        return Err(hang_up(wire, how).await);
    }
    if wire.is_handed_over {
        return Err(Rest::Abort(CloseReason::Upgraded));
    }
    let problem = match handled {
        Handled::Returned(Ok(())) if wire.is_response_complete() => return settle(wire).await,
        Handled::Returned(Ok(())) => "the handler gave no complete answer",
        Handled::Panicked => "the handler panicked",
        Handled::Returned(Err(error)) => {
            tracing::debug!(%error, "an exchange failed");
            ""
        }
    };
    if !problem.is_empty() {
        tracing::error!(problem);
    }
    fail(wire).await
}

/// Polls the handler. A panic ends its exchange and connection, nothing else.
async fn run(mut handling: Pin<&mut impl Future<Output = Result<(), Error>>>) -> Handled {
    poll_fn(|cx| {
        // The future is dropped after a panic, and the exchange only used to answer and close.
        match catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Handled::Returned),
            Err(_) => Poll::Ready(Handled::Panicked),
        }
    })
    .await
}

/// What the library answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnAnswer {
    /// 200 without content, to `OPTIONS *`.
    Options,
    /// 417.
    ExpectationFailed,
    /// 413, to a length that is declared.
    TooLarge,
    /// 503.
    Overloaded,
}

fn own_answer(wire: &Wire, head: &RequestHead, has_room: bool) -> Option<OwnAnswer> {
    if !has_room {
        return Some(OwnAnswer::Overloaded);
    }
    // "A server that receives an Expect field value containing a member other than 100-continue
    // MAY respond with a 417 (Expectation Failed) status code" (RFC 9110 §10.1.1)
    let settings = &wire.core.hub().settings;
    if head.fields().facts().expect == Expectation::Other && settings.refuse_expectations {
        return Some(OwnAnswer::ExpectationFailed);
    }
    let declared = wire.driver.proto.remaining();
    if settings
        .terms
        .max_body
        .is_some_and(|max| declared > Some(max))
    {
        return Some(OwnAnswer::TooLarge);
    }
    let is_asterisk = *head.method() == Method::OPTIONS && head.target() == b"*";
    (is_asterisk && settings.answer_options_asterisk).then_some(OwnAnswer::Options)
}

impl OwnAnswer {
    fn send(self, wire: &mut Wire) -> Result<(), Error> {
        wire.abandoned = true;
        match self {
            Self::Options => {
                let empty = keepline_proto::BodyLength::Known(0);
                wire.append_head(StatusCode::OK, [], empty)?;
                wire.append_end(None)
            }
            Self::ExpectationFailed => {
                wire.close_after(CloseReason::LocalAskedClose);
                let problem = "only 100-continue can be expected";
                wire.append_answer(StatusCode::EXPECTATION_FAILED, problem)
            }
            Self::TooLarge => {
                let problem = "the content is larger than allowed";
                wire.append_answer(StatusCode::PAYLOAD_TOO_LARGE, problem)
            }
            Self::Overloaded => {
                let problem = "too many requests are in progress";
                let again = Field::new(b"retry-after", b"1")?;
                wire.append_answer_with(StatusCode::SERVICE_UNAVAILABLE, problem, Some(again))
            }
        }
    }
}

/// The response is complete.
async fn settle(wire: &mut Wire) -> Result<(), Rest> {
    wire.abandoned = true;
    loop {
        let after = after_exchange(AtEnd {
            closing: wire.closing(),
            unread: wire.unread(),
            awaits_continue: wire.awaits_continue(),
            is_eof: wire.driver.is_eof(),
            has_input: wire.driver.buffered() > 0,
            drain_bytes: wire.terms.drain.bytes,
            linger: wire.terms.linger.when,
        });
        let (rest, reason) = match after {
            After::KeepAlive => {
                // Whatever was waited for; the next head has a time of its own.
                wire.core.deadline.clear();
                wire.head_since = None;
                wire.is_pipelined = wire.driver.buffered() > 0;
                // Both messages are complete and nobody has said close: the core cannot refuse.
                let next = wire.driver.proto.next_exchange();
                return next.map_err(|_| Rest::Close(CloseReason::LocalAskedClose));
            }
            After::Drain => {
                if let Err(reason) = drain(wire).await {
                    wire.close_after(reason);
                }
                continue;
            }
            After::Linger(reason) => (Rest::Linger(reason, wire.terms.linger), reason),
            After::Close(reason) => (Rest::Close(reason), reason),
        };
        wire.close_after(reason);
        return Err(match flush(wire).await {
            Ok(()) => rest,
            Err(error) => Rest::Close(reason_of(&error)),
        });
    }
}

async fn flush(wire: &mut Wire) -> Result<(), Error> {
    poll_fn(|cx| wire.poll_flush_discarding(cx)).await
}

/// The handler failed: a status if nothing was sent, else a response that is cut short so that
/// the client can tell.
async fn fail(wire: &mut Wire) -> Result<(), Rest> {
    wire.abandoned = true;
    wire.close_after(CloseReason::LocalAskedClose);
    let reason = wire.closing().unwrap_or(CloseReason::LocalAskedClose);
    if wire.lost() == Some(Lost::Gone) {
        return Err(Rest::Close(reason));
    }
    if !wire.is_head_sent() {
        let (status, text) = match wire.lost() {
            Some(Lost::Told(status)) => (status, "the request body could not be read"),
            Some(Lost::Gone) | None => (StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
        };
        return match wire.append_answer(status, text) {
            Ok(()) => settle(wire).await,
            Err(_) => Err(Rest::Close(reason)),
        };
    }
    // What was queued is true as far as it goes.
    if flush(wire).await.is_ok() && wire.driver.proto.is_sending_until_close() {
        wire.driver.stream.reset_on_close();
    }
    Err(Rest::Abort(reason))
}

/// What came is no request: tells the client if it can be told, and closes.
async fn refuse<H: Handler>(wire: &mut Wire, error: &Error, handler: &mut H) -> Result<(), Rest> {
    let reason = reason_of(error);
    let Some(why) = Refusal::from_error(error) else {
        return Err(Rest::Close(reason));
    };
    wire.close_after(reason);
    let began = wire.note_beginning();
    let mut refused = Refused::new(wire, why);
    let info = *refused.info();
    let handled = run(pin!(handler.refuse(&mut refused))).await;
    let outcome = match (wire.hang_up, handled) {
        (Some(how), _) => Err(hang_up(wire, how).await),
        (None, Handled::Returned(Ok(()))) if wire.is_response_complete() => settle(wire).await,
        (None, Handled::Returned(_) | Handled::Panicked) => Err(Rest::Close(reason)),
    };
    if let Some(began) = began {
        tell(wire, Asked::default(), info, began, outcome);
    }
    outcome
}

/// The handler wants no (further) answer. Those to earlier requests leave all the same.
async fn hang_up(wire: &mut Wire, how: HangUp) -> Rest {
    wire.close_after(CloseReason::LocalAskedClose);
    let reason = wire.closing().unwrap_or(CloseReason::LocalAskedClose);
    // Whoever does not take them is not waited for twice.
    let _ = flush(wire).await;
    match how {
        HangUp::Fin => Rest::Close(reason),
        HangUp::Reset => {
            wire.driver.stream.reset_on_close();
            Rest::Abort(reason)
        }
    }
}
