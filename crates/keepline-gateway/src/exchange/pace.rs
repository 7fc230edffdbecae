//! `limit_rate`: how fast a client gets its answer.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use keepline::Error;

use super::Serving;

/// How long to wait before more is sent. nginx's arithmetic: what a second allows is sent at once.
pub(super) fn wait(rate: u64, after: u64, sent: u64, elapsed: Duration) -> Option<Duration> {
    if rate == 0 {
        return None;
    }
    let allowed = rate.saturating_mul(elapsed.as_secs() + 1);
    let counted = sent.saturating_sub(after);
    let excess = counted.checked_sub(allowed)?;
    Some(Duration::from_millis(excess * 1000 / rate + 1))
}

/// A size as nginx writes it: `4k`, `1m`, `100`. What is none is no limit.
pub(super) fn size(text: &[u8]) -> u64 {
    let (digits, unit) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1024),
        [digits @ .., b'm' | b'M'] => (digits, 1024 * 1024),
        [digits @ .., b'g' | b'G'] => (digits, 1024 * 1024 * 1024),
        digits => (digits, 1),
    };
    let number = std::str::from_utf8(digits).ok();
    let number = number.and_then(|digits| digits.parse::<u64>().ok());
    number.map_or(0, |number| number.saturating_mul(unit))
}

impl Serving<'_, '_, '_> {
    /// The limits of the client's speed: bytes a second, and how many go before.
    fn rates(&self) -> (u64, u64) {
        let settings = &self.request.scope.settings;
        let rate = match &self.request.limit_rate {
            Some(rate) => size(rate),
            None if settings.limit_rate.is_empty() => 0,
            None => size(&self.view().value(&settings.limit_rate)),
        };
        let after = if rate == 0 || settings.limit_rate_after.is_empty() {
            0
        } else {
            size(&self.view().value(&settings.limit_rate_after))
        };
        (rate, after)
    }

    /// Waits until more may be sent.
    pub(super) async fn pace(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|cx| self.poll_pace(cx)).await?;
        Ok(())
    }

    /// Ready when more may be sent, with the bytes a second, 0 without a limit. What is queued goes out
    /// meanwhile.
    pub(super) fn poll_pace(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, Error>> {
        let (rate, after) = self.rates();
        if rate == 0 {
            return Poll::Ready(Ok(0));
        }
        loop {
            let elapsed = self.request.began.elapsed();
            let Some(time) = wait(rate, after, self.request.sent.content, elapsed) else {
                self.pause.clear();
                return Poll::Ready(Ok(rate));
            };
            if self.pause.at().is_none() {
                self.pause.set(Some(time));
            }
            if let Poll::Ready(error) = self.poll_client_gone(cx) {
                return Poll::Ready(Err(error));
            }
            ready!(self.pause.poll(cx));
            self.pause.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_rate_waits() {
        let second = Duration::from_secs(1);
        let zero = Duration::ZERO;
        for (rate, after, sent, elapsed, expected) in [
            (0, 0, 1_000_000, zero, None),
            (1000, 0, 0, zero, None),
            (1000, 0, 1000, zero, Some(1)),
            (1000, 0, 1500, zero, Some(501)),
            (1000, 500, 1500, zero, Some(1)),
            (1000, 0, 1500, second, None),
        ] {
            let time = wait(rate, after, sent, elapsed).map(|time| time.as_millis());
            assert_eq!(time, expected, "{rate} {after} {sent}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("4k", 4096),
            ("1M", 1 << 20),
            ("100", 100),
            ("", 0),
            ("x", 0),
        ] {
            assert_eq!(size(text.as_bytes()), expected, "{text}");
        }
    }
}
