//! `proxy_pass`: attempts on the servers of an upstream until one answers.

use http::Method;
use keepline::{CloseReason, Error};
use tokio::time::Instant;

use super::Serving;
use super::attempt::{Answered, Failure, MOST_DRAINED};
use super::content::Content;
use super::upload::Upload;
use crate::answer::Answer;
use crate::config::{Balance, Cause, Level, ProxyPass};
use crate::upstream::{
    Asker, Failed, Fared, Group, Next, Rules, Seat, Tried, cause_of, next, status_of,
};

/// How far the attempts are.
struct Course {
    began: Instant,
    /// When the attempt in progress began.
    now: Instant,
    tries: u32,
    tried: Tried,
    /// What servers are chosen by, where that is a hash.
    key: Vec<u8>,
}

impl<'l> Serving<'_, '_, 'l> {
    /// Passes the request on. `None`: an answer has been passed back.
    pub(super) async fn pass(&mut self, pass: &'l ProxyPass) -> Result<Option<Answer>, Error> {
        let aim = match self.aim(pass).await {
            Ok(aim) => aim,
            Err(answer) => return Ok(Some(answer)),
        };
        let content = match self.take_content().await {
            Ok(content) => content,
            Err(answer) => return Ok(Some(answer)),
        };
        let mut course = self.course(&aim.group);
        loop {
            let asker = Asker {
                key: &course.key,
                random: random(),
            };
            let Ok(seat) = aim.group.choose(course.now, &course.tried, asker) else {
                self.request.attempts.begin(aim.group.name()).status = 502;
                let doing = Some("connecting to upstream");
                self.complain(Level::Error, doing, format_args!("no live upstreams"));
                return Ok(Some(Answer::Status(502)));
            };
            self.request
                .attempts
                .begin(aim.group.server_name(seat.index));
            let mut upload = Upload::new(&content);
            let failure = match self.attempt(&aim, &seat, &mut upload).await {
                Ok(answered) => match self.moves_on(&answered, &course, &content) {
                    Some(cause) => {
                        // nginx keeps the connection of an answer that says nothing against its server.
                        match fared(cause) {
                            Fared::Well => answered.end_unread(MOST_DRAINED),
                            Fared::Failed => answered.exchange.close(CloseReason::NotDrained),
                        }
                        Failure::status(cause)
                    }
                    None if self.intercepts(&answered) => {
                        let status = answered.head.status().as_u16();
                        // As nginx, which keeps the connection of an answer without content alone.
                        answered.end_unread(0);
                        return Ok(Some(Answer::Status(status)));
                    }
                    None => {
                        let Answered {
                            exchange,
                            head,
                            is_switched,
                        } = answered;
                        if is_switched {
                            self.tunnel(exchange, head).await?;
                            return Ok(None);
                        }
                        self.deliver(exchange, head, &mut upload, seat).await?;
                        return Ok(None);
                    }
                },
                Err(failure) => failure,
            };
            if let Some(answer) = self.next_step(failure, seat, &mut course, &content) {
                return Ok(Some(answer));
            }
        }
    }

    fn course(&self, group: &Group) -> Course {
        let most = self.request.scope.proxy.next_upstream_tries;
        let mut key = Vec::new();
        match &group.upstream.balance {
            Balance::IpHash => match self.view().remote() {
                Some((std::net::IpAddr::V4(ip), _)) => key.extend_from_slice(&ip.octets()),
                Some((std::net::IpAddr::V6(ip), _)) => key.extend_from_slice(&ip.octets()),
                None => {}
            },
            Balance::Hash { key: template, .. } => self.view().append(template, &mut key),
            Balance::RoundRobin | Balance::LeastConn | Balance::Random | Balance::RandomTwo => {}
        }
        let now = Instant::now();
        Course {
            began: now,
            now,
            tries: group.tries().min(most.unwrap_or(u32::MAX)).max(1),
            tried: Tried::default(),
            key,
        }
    }

    /// `proxy_intercept_errors`: the answer gives way to an error page.
    fn intercepts(&self, answered: &Answered) -> bool {
        let status = answered.head.status().as_u16();
        let settings = &self.request.scope.settings;
        self.request.scope.proxy.intercept_errors
            && status >= 300
            && super::phases::error_page(&settings.error_pages, status).is_some()
    }

    fn rules(&self) -> Rules {
        let proxy = &self.request.scope.proxy;
        Rules {
            causes: proxy.next_upstream,
            timeout: proxy.next_upstream_timeout,
        }
    }

    /// The answer's status sends the request on to another server.
    fn moves_on(&self, answered: &Answered, course: &Course, content: &Content) -> Option<Cause> {
        let cause = cause_of(answered.head.status().as_u16())?;
        let failed = course.failed(cause, true, content, self.method());
        matches!(next(failed, self.rules()), Next::Retry { .. }).then_some(cause)
    }

    /// Notes how an attempt failed. `None`: there is a further one.
    fn next_step(
        &mut self,
        failure: Failure,
        seat: Seat<'_>,
        course: &mut Course,
        content: &Content,
    ) -> Option<Answer> {
        let index = seat.index;
        let (cause, was_pooled, was_sent) = match self.upstream_failure(failure) {
            Ok(failed) => failed,
            Err(answer) => return Some(answer),
        };
        if seat.release(fared(cause)).is_some() {
            let message = format_args!("upstream server temporarily disabled");
            self.complain(Level::Warn, Some("connecting to upstream"), message);
        }
        let failed = Failed {
            was_pooled,
            ..course.failed(cause, was_sent, content, self.method())
        };
        match next(failed, self.rules()) {
            Next::Retry { tries } => {
                course.tried.add(index);
                course.tries = tries;
                course.now = Instant::now();
                None
            }
            Next::GiveUp(why) => {
                let status = status_of(cause);
                tracing::debug!(?why, status, "no further attempt");
                if let Some(attempt) = self.request.attempts.last()
                    && attempt.status == 0
                {
                    attempt.status = status;
                }
                Some(Answer::Status(status))
            }
        }
    }

    /// What failed upstream: why, on a connection that had been used before, after something was sent.
    /// `Err`: the server has no part in it, and this is answered.
    fn upstream_failure(&mut self, failure: Failure) -> Result<(Cause, bool, bool), Answer> {
        match failure {
            Failure::ClientGone => {
                let doing = Some("reading response header from upstream");
                let message = format_args!(
                    "client prematurely closed connection, so upstream connection is closed too"
                );
                self.complain(Level::Info, doing, message);
                Err(Answer::ClientGone)
            }
            Failure::Unsendable(error) => {
                let doing = Some("sending request to upstream");
                self.complain(Level::Error, doing, format_args!("{error}"));
                Err(Answer::Status(400))
            }
            Failure::Unbindable(error) => {
                self.complain_of_upstream(Cause::Error, false, Some(&error));
                Err(Answer::Status(500))
            }
            Failure::ContentLost(error) => Err(self.content_lost(&error)),
            Failure::Unreadable(error) => {
                self.complain_of_held(&error);
                Err(Answer::Status(500))
            }
            Failure::Upstream {
                cause,
                was_pooled,
                was_sent,
                error,
            } => {
                self.complain_of_upstream(cause, was_sent, error.as_ref());
                if let Some(attempt) = self.request.attempts.last()
                    && attempt.status == 0
                {
                    // What the client would have got for it, as nginx logs it.
                    attempt.status = if cause == Cause::Timeout { 504 } else { 502 };
                }
                Ok((cause, was_pooled, was_sent))
            }
        }
    }
}

impl Course {
    fn failed<'m>(
        &self,
        cause: Cause,
        was_sent: bool,
        content: &Content,
        method: &'m Method,
    ) -> Failed<'m> {
        Failed {
            cause,
            was_pooled: false,
            was_sent,
            is_body_gone: was_sent && matches!(content, Content::Streamed(_)),
            method,
            tries: self.tries,
            elapsed: self.began.elapsed(),
        }
    }
}

/// What a cause says of its server: only 403 and 404 are answers that it may well give.
const fn fared(cause: Cause) -> Fared {
    match cause {
        Cause::Http403 | Cause::Http404 => Fared::Well,
        _ => Fared::Failed,
    }
}

/// A random number: nothing secret depends on it.
fn random() -> u64 {
    use std::cell::Cell;
    use std::hash::{BuildHasher, RandomState};
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8) | 1);
    }
    STATE.with(|state| {
        // xorshift64
        let mut x = state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    })
}

/// The connection is to be closed without another word.
pub(super) fn gone() -> Error {
    Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
}
