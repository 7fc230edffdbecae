//! `proxy_pass`: attempts on the servers of an upstream until one answers.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use keepline::client::{self, Freshness, Head};
use keepline::proto::ResponseHead;
use keepline::{CloseReason, Error, ErrorKind};
use tokio::time::Instant;

use super::Serving;
use super::content::Content;
use super::upload::{Stopped, Upload, close_reason};
use crate::answer::Answer;
use crate::config::{Cause, ProxyPass, ProxyTarget};
use crate::upstream::{
    Asker, Failed, Fared, Group, Next, Rules, Tried, cause_of, is_idempotent, next, status_of,
};

/// How an attempt ended that no answer came of.
enum Failure {
    /// The server's, or the connection's.
    Upstream {
        cause: Cause,
        was_pooled: bool,
        was_sent: bool,
        error: Option<Error>,
    },
    /// The client went away.
    ClientGone(Error),
}

/// An answer, and the connection that its content comes on.
struct Answered {
    exchange: client::Exchange,
    head: ResponseHead,
}

impl Serving<'_, '_, '_> {
    /// Passes the request on. `None`: an answer has been passed back.
    pub(super) async fn pass(&mut self, pass: &ProxyPass) -> Result<Option<Answer>, Error> {
        let live = self.request.live;
        let ProxyTarget::Fixed { upstream, uri, .. } = &pass.target else {
            return Ok(Some(Answer::Status(502)));
        };
        let (Some(group), Some(plan)) = (live.group(*upstream), live.plan(self.request.scope))
        else {
            return Ok(Some(Answer::Status(500)));
        };
        let content = match self.take_content().await? {
            Ok(content) => content,
            Err(answer) => return Ok(Some(answer)),
        };
        let began = Instant::now();
        let mut tried = Tried::default();
        let most = self.request.scope.proxy.next_upstream_tries;
        let mut tries = group.tries().min(most.unwrap_or(u32::MAX)).max(1);
        loop {
            let Ok(seat) = group.choose(&tried, self.asker()) else {
                tracing::error!(upstream = &*group.upstream.name, "no live upstreams");
                self.request.attempts.begin(&group.upstream.name).status = 502;
                return Ok(Some(Answer::Status(502)));
            };
            let index = seat.index;
            self.request.attempts.begin(group.server_name(index));
            let mut upload = Upload::new(&content);
            let attempt = self.attempt(group, plan, index, uri.as_deref(), &mut upload);
            let failure = match attempt.await {
                Ok(answered) => {
                    let status = answered.head.status().as_u16();
                    let moves_on = cause_of(status).filter(|&cause| {
                        self.may_move_on(cause, tries, began, &upload) == Some(true)
                    });
                    let Some(cause) = moves_on else {
                        seat.release(Fared::Well);
                        return match self
                            .deliver(answered.exchange, answered.head, &mut upload)
                            .await
                        {
                            Ok(()) => Ok(None),
                            Err(error) => Err(error),
                        };
                    };
                    answered.exchange.close(CloseReason::NotDrained);
                    Failure::Upstream {
                        cause,
                        was_pooled: false,
                        was_sent: true,
                        error: None,
                    }
                }
                Err(failure) => failure,
            };
            let Failure::Upstream {
                cause,
                was_pooled,
                was_sent,
                error,
            } = failure
            else {
                return Ok(Some(Answer::ClientGone));
            };
            if let Some(error) = error {
                tracing::error!(server = group.server_name(index), %error, "attempt failed");
            }
            let fared = if matches!(cause, Cause::Http403 | Cause::Http404) {
                Fared::Well
            } else {
                Fared::Failed
            };
            if seat.release(fared).is_some() {
                tracing::warn!(server = group.server_name(index), "upstream server temporarily disabled");
            }
            let failed = Failed {
                cause,
                was_pooled,
                was_sent,
                is_body_gone: matches!(content, Content::Streamed(_)) && was_sent,
                method: self.exchange.head().method(),
                tries,
                elapsed: began.elapsed(),
            };
            match next(failed, self.rules()) {
                Next::Retry { tries: left } => {
                    if group.tries() > 1 {
                        tried.add(index);
                    }
                    tries = left;
                }
                Next::GiveUp(why) => {
                    let status = status_of(cause);
                    tracing::debug!(?why, status, "no further attempt");
                    if let Some(attempt) = self.request.attempts.last()
                        && attempt.status == 0
                    {
                        attempt.status = status;
                    }
                    return Ok(Some(Answer::Status(status)));
                }
            }
        }
    }

    fn rules(&self) -> Rules {
        let proxy = &self.request.scope.proxy;
        Rules {
            causes: proxy.next_upstream,
            timeout: proxy.next_upstream_timeout,
        }
    }

    /// A status sends the request on to another server.
    fn may_move_on(
        &self,
        cause: Cause,
        tries: u32,
        began: Instant,
        upload: &Upload<'_>,
    ) -> Option<bool> {
        let failed = Failed {
            cause,
            was_pooled: false,
            was_sent: true,
            is_body_gone: upload.passed_on > 0 && upload.is_streamed(),
            method: self.exchange.head().method(),
            tries,
            elapsed: began.elapsed(),
        };
        Some(matches!(next(failed, self.rules()), Next::Retry { .. }))
    }

    /// What the choice of a server depends on.
    fn asker(&self) -> Asker<'static> {
        Asker {
            key: b"",
            random: 0,
        }
    }

    /// One attempt on one server, up to the head of its answer.
    async fn attempt(
        &mut self,
        group: &Group,
        plan: &super::Plan,
        index: usize,
        uri: Option<&str>,
        upload: &mut Upload<'_>,
    ) -> Result<Answered, Failure> {
        let began = Instant::now();
        let mut exchange = self.connect(group, plan, index, began).await?;
        let info = exchange.connection();
        if let Some(attempt) = self.request.attempts.last() {
            let opened = (!info.reused).then_some(info.open_reason);
            attempt.connection = Some((info.id, opened));
            attempt.connected = Some(if info.reused {
                Duration::ZERO
            } else {
                began.elapsed()
            });
        }
        let sent = self.send_request_head(&mut exchange, plan, uri, upload.length());
        if let Err(error) = sent {
            // The connection is as good as before; what was to be sent is not.
            exchange.close(CloseReason::RequestUnsent);
            return Err(Failure::Upstream {
                cause: Cause::InvalidHeader,
                was_pooled: info.reused,
                was_sent: false,
                error: Some(error),
            });
        }
        let outcome = poll_fn(|cx| self.poll_answer(&mut exchange, upload, cx)).await;
        match outcome {
            Ok(head) => {
                if let Some(attempt) = self.request.attempts.last() {
                    attempt.status = head.status().as_u16();
                    attempt.answered = Some(began.elapsed());
                }
                Ok(Answered { exchange, head })
            }
            Err(failure) => {
                self.note_exchange(&exchange);
                exchange.close(CloseReason::Cancelled);
                Err(failure)
            }
        }
    }

    /// A connection to a server, within `proxy_connect_timeout`.
    async fn connect(
        &mut self,
        group: &Group,
        plan: &super::Plan,
        index: usize,
        began: Instant,
    ) -> Result<client::Exchange, Failure> {
        let Some(target) = plan.targets.get(index) else {
            return Err(not_connected(Cause::Error, None));
        };
        let freshness = if is_idempotent(self.exchange.head().method()) {
            Freshness::Any
        } else {
            Freshness::Checked
        };
        let limit = self.request.scope.proxy.connect_timeout;
        let mut connecting = std::pin::pin!(group.transport.exchange_with(target, freshness));
        self.patience.clear();
        poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                let failed = |error: Error| {
                    let cause = if error.is_timeout() {
                        Cause::Timeout
                    } else {
                        Cause::Error
                    };
                    not_connected(cause, Some(error))
                };
                return Poll::Ready(connected.map_err(failed));
            }
            if let Poll::Ready(error) = self.exchange.poll_watch(cx) {
                return Poll::Ready(Err(Failure::ClientGone(error)));
            }
            if self.patience.at().is_none() {
                self.patience.set_at(began.checked_add(limit));
            }
            let expired = self.patience.poll(cx);
            expired.map(|()| Err(not_connected(Cause::Timeout, None)))
        })
        .await
    }

    /// Sends the request and waits for the head of the answer, together with the client.
    fn poll_answer(
        &mut self,
        exchange: &mut client::Exchange,
        upload: &mut Upload<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Failure>> {
        let uploaded = upload.poll(self.exchange, exchange, cx);
        if let Poll::Ready(Err(stopped)) = uploaded {
            let _ = close_reason(&stopped);
            return Poll::Ready(Err(match stopped {
                Stopped::Client(error) => Failure::ClientGone(error),
                Stopped::Upstream(error) => failure(exchange, error),
            }));
        }
        loop {
            match exchange.poll_head(cx) {
                Poll::Ready(Ok(Head::Interim(_))) => {}
                Poll::Ready(Ok(Head::Final(head))) => return Poll::Ready(Ok(head)),
                Poll::Ready(Ok(_)) => {
                    return Poll::Ready(Err(Failure::Upstream {
                        cause: Cause::InvalidHeader,
                        was_pooled: false,
                        was_sent: true,
                        error: None,
                    }));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failure(exchange, error))),
                Poll::Pending => break,
            }
        }
        if !self.request.scope.proxy.ignore_client_abort
            && let Poll::Ready(error) = self.exchange.poll_watch(cx)
        {
            return Poll::Ready(Err(Failure::ClientGone(error)));
        }
        if self.patience.at().is_none() {
            let proxy = &self.request.scope.proxy;
            self.patience.set(Some(proxy.read_timeout));
        }
        let info = || exchange.connection().reused;
        self.patience.poll(cx).map(|()| {
            Err(Failure::Upstream {
                cause: Cause::Timeout,
                was_pooled: info(),
                was_sent: true,
                error: None,
            })
        })
    }
}

fn not_connected(cause: Cause, error: Option<Error>) -> Failure {
    Failure::Upstream {
        cause,
        was_pooled: false,
        was_sent: false,
        error,
    }
}

/// What an error of an exchange is to the request.
fn failure(exchange: &client::Exchange, error: Error) -> Failure {
    let cause = match error.kind() {
        ErrorKind::Protocol(error) if !error.is_incomplete() => Cause::InvalidHeader,
        ErrorKind::Timeout(_) => Cause::Timeout,
        _ => Cause::Error,
    };
    Failure::Upstream {
        cause,
        was_pooled: exchange.connection().reused,
        was_sent: true,
        error: Some(error),
    }
}

/// The connection is to be closed without another word.
pub(super) fn gone() -> Error {
    Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
}
