//! What is known of an exchange when it is over.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, Version};
use keepline_proto::RequestHead;
use tokio::time::Instant;

use crate::CloseReason;
use crate::server::RequestInfo;

/// An exchange that is over, for [`ServerBuilder::on_exchange`](super::super::ServerBuilder::on_exchange).
///
/// What the client has sent is as it came: whoever prints it has to escape it, as
/// [`AccessFormat`](super::AccessFormat) does.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AccessRecord<'a> {
    /// The connection, and the number of the request on it.
    pub info: RequestInfo,
    /// `None`, as the other parts of the request: what came was none, and was refused.
    pub method: Option<&'a Method>,
    /// The request target, as the client wrote it; of HTTP/2 its path and query.
    pub target: Option<&'a [u8]>,
    /// Of the request.
    pub version: Option<Version>,
    /// The value of Referer.
    pub referer: Option<&'a [u8]>,
    /// The value of User-Agent.
    pub user_agent: Option<&'a [u8]>,
    /// When the request began to arrive.
    pub started: SystemTime,
    /// From then on until the exchange was over: the response was queued, on a connection that
    /// closes also written, and what nobody had read of the request was thrown away.
    pub duration: Duration,
    /// Of the response; `None`: there was none.
    pub status: Option<StatusCode>,
    /// Bytes of the response behind its head. Chunk framing counts, as in nginx; frames of HTTP/2
    /// do not.
    pub content_sent: u64,
    /// The whole response was sent.
    pub is_complete: bool,
    /// Why the connection closes with this exchange, if it does. One that is closed later, as it
    /// rests, has no such record: see [`ServerBuilder::on_state`](super::super::ServerBuilder::on_state).
    /// `None` in HTTP/2, where a connection closes behind all of its exchanges.
    pub close: Option<CloseReason>,
}

/// Called with each record, on the connection's own task (HTTP/2: the request's): it must not block.
pub(crate) type ExchangeHook = Arc<dyn Fn(&AccessRecord<'_>) + Send + Sync>;

/// The request, as far as it is told.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::server) struct Asked<'a> {
    pub(in crate::server) method: Option<&'a Method>,
    pub(in crate::server) target: Option<&'a [u8]>,
    pub(in crate::server) version: Option<Version>,
    pub(in crate::server) referer: Option<&'a [u8]>,
    pub(in crate::server) user_agent: Option<&'a [u8]>,
}

/// The response, as far as it is told.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::server) struct Answer {
    pub(in crate::server) status: Option<StatusCode>,
    pub(in crate::server) content_sent: u64,
    pub(in crate::server) is_complete: bool,
}

impl<'a> Asked<'a> {
    pub(in crate::server) fn of(head: &'a RequestHead) -> Self {
        let fields = head.fields();
        Self {
            method: Some(head.method()),
            target: Some(head.target()),
            version: Some(head.version()),
            referer: fields.value("referer"),
            user_agent: fields.value("user-agent"),
        }
    }

    /// The record of an exchange that began at `began` and is over now.
    pub(in crate::server) fn answered(
        self,
        info: RequestInfo,
        began: Instant,
        answer: Answer,
        close: Option<CloseReason>,
    ) -> AccessRecord<'a> {
        let duration = began.elapsed();
        let now = SystemTime::now();
        AccessRecord {
            info,
            method: self.method,
            target: self.target,
            version: self.version,
            referer: self.referer,
            user_agent: self.user_agent,
            started: now.checked_sub(duration).unwrap_or(now),
            duration,
            status: answer.status,
            content_sent: answer.content_sent,
            is_complete: answer.is_complete,
            close,
        }
    }
}
