//! What is told of each exchange when it is over, and the lines of an access log made of it.
//!
//! A layer around a service sees neither what is refused before it, nor how many bytes left, nor
//! what becomes of the connection; so this is told by the connection itself ([`record`]), to a hook
//! and, as a line ([`mod@format`]), to `tracing`. Where nobody wants to know, an exchange pays nothing.

mod format;
mod record;

pub use format::AccessFormat;
pub use record::AccessRecord;
pub(super) use record::{Answer, Asked, ExchangeHook};

use super::settings::Settings;

/// The target of the events of [`ServerBuilder::access_log`](super::ServerBuilder::access_log).
pub(super) const TARGET: &str = "keepline::access";

impl Settings {
    /// Somebody wants to know of exchanges.
    pub(super) const fn records_exchanges(&self) -> bool {
        self.exchange_hook.is_some() || self.access_log.is_some()
    }

    /// Tells whoever wants to know.
    pub(super) fn tell(&self, record: &AccessRecord<'_>) {
        if let Some(hook) = &self.exchange_hook {
            hook(record);
        }
        if let Some(format) = self.access_log
            && tracing::enabled!(target: TARGET, tracing::Level::INFO)
        {
            let mut line = String::new();
            format.append_line(record, &mut line);
            tracing::info!(target: TARGET, "{line}");
        }
    }
}
