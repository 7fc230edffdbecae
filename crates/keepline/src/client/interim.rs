//! Interim (1xx) responses, handed to who asked for them.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

/// A callback for the interim responses of one request (httptrace's `Got1xxResponse`): put it into
/// the extensions of the request. 101 is not interim; it ends the exchange.
///
/// All interim heads of an exchange share the limit of the final one, so an endless row of them
/// fails the request.
///
/// ```
/// use keepline::{Body, client::OnInterim};
///
/// let mut request = http::Request::get("http://example.com/").body(Body::empty()).unwrap();
/// request.extensions_mut().insert(OnInterim::new(|status, fields| {
///     if status == http::StatusCode::EARLY_HINTS {
///         println!("{:?}", fields.get(http::header::LINK));
///     }
/// }));
/// ```
#[derive(Clone)]
pub struct OnInterim(Arc<Callback>);

type Callback = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

impl OnInterim {
    /// Calls `callback` with each interim response, as it arrives.
    pub fn new(callback: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    pub(crate) fn call(&self, status: StatusCode, fields: &HeaderMap) {
        (self.0)(status, fields);
    }
}

impl fmt::Debug for OnInterim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnInterim")
    }
}
