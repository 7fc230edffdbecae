//! HTTP/2 without the feature `http2`: none.

use std::convert::Infallible;
use std::sync::Arc;

use http::Response;
use http::request::Parts;

use super::Shared;
use super::key::Key;
use super::lease::Lease;
use super::pooled::Pooled;
use super::retry::Attempts;
use crate::error::Error;
use crate::net::Stream;
use crate::pool::KeySlot;
use crate::{Body, CloseReason};

#[derive(Debug)]
pub(crate) struct Sessions;

#[expect(clippy::unused_self, reason = "as with the feature")]
impl Sessions {
    pub(crate) const fn has_session(&self, _: &Key) -> bool {
        false
    }

    pub(crate) const fn close_resting(&self, _: CloseReason) {}

    pub(crate) const fn evict(&self) {}

    pub(crate) const fn stop(&self, _: CloseReason) {}

    pub(crate) const fn stop_displaced(&self) {}

    pub(crate) const fn waiting(&self) -> usize {
        0
    }
}

pub(crate) type Handshaken = Infallible;

pub(crate) fn adopt(_: &Arc<Shared>, _: &Key, _: KeySlot, _: Box<Pooled>, shaken: Handshaken) {
    match shaken {}
}

pub(super) enum Sent {
    #[expect(dead_code, reason = "as with the feature")]
    Done(Result<Response<Body>, Error>),
    ByHttp1 {
        body: Body,
        attempts: Attempts,
        lease: Option<Box<Lease>>,
    },
}

pub(super) const fn offered(_: &Shared, _: &Key) -> Option<Key> {
    None
}

pub(super) const fn key(_: &Shared, _: &Key, _: &Parts) -> Option<Key> {
    None
}

#[expect(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn send(
    _: &Arc<Shared>,
    _: &Key,
    _: &Parts,
    body: Body,
    attempts: Attempts,
) -> Sent {
    Sent::ByHttp1 {
        body,
        attempts,
        lease: None,
    }
}

#[expect(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn shake_hands(
    _: &Shared,
    _: &Key,
    stream: Stream,
) -> Result<Result<Handshaken, Stream>, Error> {
    Ok(Err(stream))
}
