//! The instruments without the feature `metrics`: nothing, and nothing of it is left when compiled.

use std::time::Duration;

use http::Method;

use super::key::Key;
use crate::error::Error;
use crate::{CloseReason, OpenReason};

#[derive(Debug)]
pub(crate) struct ConnectionMeter;

#[expect(clippy::unused_self, reason = "as with the feature")]
impl ConnectionMeter {
    pub(crate) const fn opened(_: &Key, _: OpenReason, _: &'static str) -> Self {
        Self
    }

    pub(crate) const fn acquired(&self, _: bool, _: Duration) {}

    pub(crate) const fn active(&self) {}

    pub(crate) const fn idle(&self) {}

    pub(crate) const fn closed(&self, _: CloseReason) {}
}

pub(crate) const fn dial_failed(_: &Key, _: &Error) {}

pub(crate) const fn retrying(_: &Key) {}

pub(crate) struct RequestMeter;

impl RequestMeter {
    pub(crate) const fn begin(_: &Key, _: &Method) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn end<T>(self, _: &Result<http::Response<T>, Error>) {}
}
