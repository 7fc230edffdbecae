//! The head of an upstream's answer on its way to the client.

use http::StatusCode;
use keepline::Error;
use keepline::client;
use keepline::proto::forward::{Forward, forwardable};
use keepline::proto::{BodyLength, Field, ResponseHead, StatusLine};

use super::Serving;

/// Fields of upstreams that are not passed to clients unless `proxy_pass_header` names them.
const HIDDEN: [&str; 8] = [
    "date",
    "server",
    "x-pad",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
];

/// Fields that an answer has once: of several the first counts, as nginx has it.
const SINGLE: [&str; 8] = [
    "content-type",
    "date",
    "server",
    "etag",
    "last-modified",
    "location",
    "refresh",
    "expires",
];

/// A field of the same name stands before it, though an answer has one of them.
fn is_repeated(place: usize, field: &Field<'_>, head: &ResponseHead) -> bool {
    let Some(name) = SINGLE.iter().find(|name| field.is(name)) else {
        return false;
    };
    let mut before = head.fields().iter().take(place);
    before.any(|other| other.is(name))
}

impl Serving<'_, '_, '_> {
    /// Queues the head of the answer. The reason phrase is the upstream's own. True if a trailer section
    /// can follow.
    pub(super) fn send_response_head(
        &mut self,
        from: &client::Exchange,
        head: &ResponseHead,
    ) -> Result<bool, Error> {
        let status = match self.request.overriding_status {
            Some(status) => StatusCode::from_u16(status).unwrap_or_else(|_| head.status()),
            None => head.status(),
        };
        self.request.sent.status = status.as_u16();
        let is_head = self.exchange.head().method() == http::Method::HEAD;
        // Where no content follows, the length is what the upstream tells of it.
        let is_bodiless = is_head || status == StatusCode::NOT_MODIFIED;
        let has_content = !is_bodiless && status != StatusCode::NO_CONTENT;
        let has_trailers = self.wants_trailers() && has_content;
        let known = from.remaining().filter(|_| !has_trailers);
        let length = match known {
            Some(length) => BodyLength::Known(length),
            None if has_content && !self.request.scope.client.chunks => BodyLength::UntilClose,
            None => BodyLength::Unknown,
        };
        let proxy = &self.request.scope.proxy;
        let server = Field::new(b"Server", self.server_field().as_bytes())?;
        let rewritten = self.rewritten(head);
        let fields = head.fields().iter().enumerate();
        let fields = fields.filter(|(place, field)| !is_repeated(*place, field, head));
        let fields = fields.map(|(place, field)| rewritten.field(place, field));
        let passed = fields.filter(|field| {
            let is_length = is_bodiless && field.is("content-length");
            let is_hidden = HIDDEN.iter().any(|name| field.is(name))
                && !proxy.pass_headers.iter().any(|name| field.is(name));
            let goes_on = forwardable(*field, head.fields()) == Forward::Yes || is_length;
            goes_on && !is_hidden && !proxy.hide_headers.iter().any(|name| field.is(name))
        });
        let added = self.added(status.as_u16(), None);
        let passed = passed.filter(|field| !added.replaces(field));
        let fields = std::iter::once(server).chain(passed).chain(added.fields());
        self.request
            .sent
            .record(self.request.plan, fields.clone(), length);
        let reason = (status == head.status()).then(|| head.reason());
        self.exchange
            .send_head(StatusLine { status, reason }, fields, length)?;
        Ok(has_trailers)
    }

    /// Passes 103 (Early Hints) on, where `early_hints` says so.
    pub(super) fn hint(&mut self, head: &ResponseHead) -> Result<(), Error> {
        let wanted = &self.request.scope.client.early_hints.0;
        if head.status().as_u16() != 103 || !wanted.iter().any(|when| self.view().is_true(when)) {
            return Ok(());
        }
        let fields = head.fields().iter();
        let passed = fields.filter(|&field| forwardable(field, head.fields()) == Forward::Yes);
        self.exchange.send_interim(head.status(), passed)
    }
}
