//! What a peer said, as values that compare and read well in a failed assertion.

use http::Version;

use crate::{Event, Fields, RemoteError};

/// Names and values, as they stand on the wire.
pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// What the peer said, pieces of content joined.
#[derive(Clone, PartialEq, Eq)]
pub enum Said {
    Request {
        method: String,
        target: Vec<u8>,
        version: Version,
        fields: Lines,
    },
    Interim {
        status: u16,
        version: Version,
        fields: Lines,
    },
    Response {
        status: u16,
        version: Version,
        fields: Lines,
    },
    Data(Vec<u8>),
    End(Option<Lines>),
    Closed,
    Switched,
    Failed(RemoteError),
}

impl Said {
    /// What an event says.
    #[must_use]
    pub fn by(event: &Event) -> Self {
        match event {
            Event::Request(head) => Self::Request {
                method: head.method().to_string(),
                target: head.target().to_vec(),
                version: head.version(),
                fields: lines(head.fields()),
            },
            Event::Interim(head) => Self::Interim {
                status: head.status().as_u16(),
                version: head.version(),
                fields: lines(head.fields()),
            },
            Event::Response(head) => Self::Response {
                status: head.status().as_u16(),
                version: head.version(),
                fields: lines(head.fields()),
            },
            Event::Data(data) => Self::Data(data.to_vec()),
            Event::End(trailers) => Self::End(trailers.as_ref().map(lines)),
        }
    }

    /// Fields that the encoder copies, which is all but those that it writes itself.
    #[must_use]
    pub fn without_framing(fields: &Lines) -> Lines {
        let is_framing = |name: &[u8]| {
            [
                "content-length",
                "transfer-encoding",
                "connection",
                "upgrade",
            ]
            .iter()
            .any(|x| name.eq_ignore_ascii_case(x.as_bytes()))
        };
        let mut fields = fields.clone();
        fields.retain(|(name, _)| !is_framing(name));
        fields
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let lines = |fields: &Lines| {
            let line =
                |(name, value): &(Vec<u8>, Vec<u8>)| format!("{}: {}", text(name), text(value));
            fields.iter().map(line).collect::<Vec<_>>()
        };
        match self {
            Self::Request {
                method,
                target,
                version,
                fields,
            } => write!(
                f,
                "{method} {} {version:?} {:?}",
                text(target),
                lines(fields)
            ),
            Self::Interim {
                status,
                version,
                fields,
            }
            | Self::Response {
                status,
                version,
                fields,
            } => write!(f, "{version:?} {status} {:?}", lines(fields)),
            Self::Data(content) => write!(f, "Data({})", text(content)),
            Self::End(None) => write!(f, "End"),
            Self::End(Some(trailers)) => write!(f, "End {:?}", lines(trailers)),
            Self::Closed => write!(f, "Closed"),
            Self::Switched => write!(f, "Switched"),
            Self::Failed(error) => write!(f, "Failed({error:?})"),
        }
    }
}

/// The lines of a section.
#[must_use]
pub fn lines(fields: &Fields) -> Lines {
    fields
        .iter()
        .map(|x| (x.name().to_vec(), x.value().to_vec()))
        .collect()
}
