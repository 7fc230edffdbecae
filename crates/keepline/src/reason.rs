//! Why a connection was opened, and why it was closed.
//!
//! Every connection of this crate has one of each, in the API, the logs, the statistics and the
//! tools. Outside Rust the names are kebab-case ([`CloseReason::name`]).

use std::fmt;

/// Declares a reason enum together with its names, so that neither can be forgotten.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All reasons, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name outside Rust, in kebab-case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Its place in [`ALL`](Self::ALL).
            pub(crate) const fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

reasons! {
    /// Why a connection was closed, or left our hands.
    CloseReason {
        /// It was idle for longer than the idle timeout.
        IdleTimeout = "idle-timeout",
        /// There were too many idle connections, and it was the oldest.
        IdleLimit = "idle-limit",
        /// The peer's `Keep-Alive: timeout=` was about to pass.
        KeepAliveHint = "keep-alive-hint",
        /// The idle limit that was learned from the peer was about to pass.
        LearnedIdleLimit = "learned-idle-limit",
        /// It reached its lifetime.
        Lifetime = "lifetime",
        /// It carried as many requests as it may.
        MaxRequests = "max-requests",
        /// The peer closed it while it was idle, or before it answered.
        PeerClosed = "peer-closed",
        /// The peer said `Connection: close`, or 408 while it was idle.
        PeerAskedClose = "peer-asked-close",
        /// We said `Connection: close`.
        LocalAskedClose = "local-asked-close",
        /// The message could not be followed by another: HTTP/1.0, or a body that ends with the
        /// connection.
        NotPersistent = "not-persistent",
        /// A body was dropped with more left than may be drained.
        NotDrained = "not-drained",
        /// The response was complete before the request was written.
        RequestUnsent = "request-unsent",
        /// Bytes arrived that belong to no message.
        UnsolicitedBytes = "unsolicited-bytes",
        /// The peer broke the protocol.
        ProtocolError = "protocol-error",
        /// Reading or writing failed.
        IoError = "io-error",
        /// A deadline passed.
        Timeout = "timeout",
        /// The request was dropped while it was in progress.
        Cancelled = "cancelled",
        /// It speaks another protocol now.
        Upgraded = "upgraded",
        /// Its address is no longer one of its name.
        DnsChanged = "dns-changed",
        /// The pool or the server was shut down.
        Shutdown = "shutdown",
    }
}

reasons! {
    /// Why a connection was opened instead of reusing one.
    OpenReason {
        /// There was none yet for this key.
        First = "first",
        /// All connections of the key were busy.
        AllBusy = "all-busy",
        /// Reuse is switched off.
        ReuseOff = "reuse-off",
        /// It was asked for ahead of need.
        WarmUp = "warm-up",
        /// The last one was idle for too long.
        IdleTimeout = "idle-timeout",
        /// The last one fell to an idle limit.
        Evicted = "evicted",
        /// The last one was given up because of the peer's `Keep-Alive` hint.
        KeepAliveHint = "keep-alive-hint",
        /// The last one was given up because of the learned idle limit.
        LearnedIdleLimit = "learned-idle-limit",
        /// The last one reached its lifetime.
        Lifetime = "lifetime",
        /// The last one carried as many requests as it may.
        MaxRequests = "max-requests",
        /// The peer closed the last one.
        PeerClosed = "peer-closed",
        /// The peer asked to close the last one.
        PeerAskedClose = "peer-asked-close",
        /// We asked to close the last one.
        LocalAskedClose = "local-asked-close",
        /// The last one's body was not drained.
        NotDrained = "not-drained",
        /// The last one could not persist.
        NotPersistent = "not-persistent",
        /// Stray bytes arrived on the last one.
        UnsolicitedBytes = "unsolicited-bytes",
        /// The address of the last one was gone.
        DnsChanged = "dns-changed",
        /// The last one failed in use.
        Failed = "failed",
    }
}

impl From<CloseReason> for OpenReason {
    /// Why a connection is opened that would have been reused, had the last one not been lost.
    fn from(lost: CloseReason) -> Self {
        match lost {
            CloseReason::IdleTimeout => Self::IdleTimeout,
            CloseReason::IdleLimit => Self::Evicted,
            CloseReason::KeepAliveHint => Self::KeepAliveHint,
            CloseReason::LearnedIdleLimit => Self::LearnedIdleLimit,
            CloseReason::Lifetime => Self::Lifetime,
            CloseReason::MaxRequests => Self::MaxRequests,
            CloseReason::PeerClosed => Self::PeerClosed,
            CloseReason::PeerAskedClose => Self::PeerAskedClose,
            CloseReason::LocalAskedClose => Self::LocalAskedClose,
            CloseReason::NotPersistent => Self::NotPersistent,
            CloseReason::NotDrained => Self::NotDrained,
            CloseReason::UnsolicitedBytes => Self::UnsolicitedBytes,
            CloseReason::DnsChanged => Self::DnsChanged,
            CloseReason::RequestUnsent
            | CloseReason::ProtocolError
            | CloseReason::IoError
            | CloseReason::Timeout
            | CloseReason::Cancelled => Self::Failed,
            CloseReason::Upgraded | CloseReason::Shutdown => Self::First,
        }
    }
}

impl From<keepline_proto::NotPersistent> for CloseReason {
    fn from(reason: keepline_proto::NotPersistent) -> Self {
        use keepline_proto::NotPersistent;
        match reason {
            NotPersistent::PeerAskedClose => Self::PeerAskedClose,
            NotPersistent::LocalAskedClose => Self::LocalAskedClose,
            NotPersistent::Switched => Self::Upgraded,
            // Also a reason that a later version of the protocol core may add.
            _ => Self::NotPersistent,
        }
    }
}

/// Counts by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts<const N: usize>([u64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Counts<N> {
    pub(crate) fn add(&mut self, index: usize) {
        self.0[index] += 1;
    }

    /// Adds all counts of another.
    #[cfg(feature = "server")]
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    pub(crate) const fn at(&self, index: usize) -> u64 {
        self.0[index]
    }

    /// The sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Connections opened, by reason.
pub type OpenCounts = Counts<{ OpenReason::ALL.len() }>;
/// Connections closed, by reason.
pub type CloseCounts = Counts<{ CloseReason::ALL.len() }>;

impl OpenCounts {
    /// Connections opened for this reason.
    #[must_use]
    pub const fn of(&self, reason: OpenReason) -> u64 {
        self.at(reason.index())
    }

    /// Reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (OpenReason, u64)> + '_ {
        OpenReason::ALL
            .iter()
            .map(|&reason| (reason, self.of(reason)))
            .filter(|x| x.1 > 0)
    }
}

impl CloseCounts {
    /// Connections closed for this reason.
    #[must_use]
    pub const fn of(&self, reason: CloseReason) -> u64 {
        self.at(reason.index())
    }

    /// Reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL
            .iter()
            .map(|&reason| (reason, self.of(reason)))
            .filter(|x| x.1 > 0)
    }
}
