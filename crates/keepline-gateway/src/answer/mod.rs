//! What the gateway answers itself.

mod page;

pub(crate) use page::{page, reason};

/// The outcome of a request that no upstream has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The page of this status.
    Status(u16),
    /// A text.
    Text {
        /// The status.
        status: u16,
        /// The content.
        text: Vec<u8>,
    },
    /// Another place.
    Redirect {
        /// The status.
        status: u16,
        /// The place, as the configuration has it.
        url: Vec<u8>,
    },
    /// The connection is closed without an answer.
    HangUp,
    /// The request goes on as one for the path that it has now.
    Again,
    /// The same, since the request never came to its end; the log has this status.
    Abandoned(u16),
    /// The same, since the client has gone (499).
    ClientGone,
}

impl Answer {
    /// The status that the log has.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Status(status)
            | Self::Abandoned(status)
            | Self::Text { status, .. }
            | Self::Redirect { status, .. } => *status,
            Self::Again => 0,
            Self::HangUp => 444,
            Self::ClientGone => 499,
        }
    }
}
