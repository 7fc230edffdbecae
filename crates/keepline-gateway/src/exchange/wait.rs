//! Waits for what is neither the client's connection nor the upstream's, together with the client.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Serving;
use crate::config::Level;

/// How a wait ended.
#[derive(Debug)]
pub(super) enum Waited<T> {
    /// With what was waited for.
    For(T),
    /// With its time.
    Expired,
    /// With the client, which `proxy_ignore_client_abort` may leave out.
    ClientGone,
}

impl Serving<'_, '_, '_> {
    /// Waits for something before a server is chosen.
    pub(super) async fn wait_for<T>(
        &mut self,
        what: impl Future<Output = T>,
        limit: Duration,
    ) -> Waited<T> {
        let minds_abort = !self.request.scope.proxy.ignore_client_abort;
        let mut what = pin!(what);
        self.patience.set(Some(limit));
        let waited = poll_fn(|cx| {
            if let Poll::Ready(done) = what.as_mut().poll(cx) {
                return Poll::Ready(Waited::For(done));
            }
            if minds_abort && self.exchange.poll_watch(cx).is_ready() {
                return Poll::Ready(Waited::ClientGone);
            }
            self.patience.poll(cx).map(|()| Waited::Expired)
        })
        .await;
        self.patience.clear();
        if let Waited::ClientGone = waited {
            let message = format_args!("client prematurely closed connection");
            self.complain(Level::Info, Some("resolving the upstream's name"), message);
        }
        waited
    }
}
