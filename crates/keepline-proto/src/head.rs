//! Heads as they stand on the wire: one block of bytes and spans into it.
//!
//! Invariant: order, case and bytes of the field lines are those that were received; spans always
//! lie inside the block. An intermediary copies spans and never builds a map; the typed API asks
//! for an [`http::HeaderMap`] once, and its values share the block.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::{Facts, Field, RemoteError};

/// Where a field line stands in its block. `u32` bounds a head at 4 GiB, far above any limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FieldSpan {
    pub(crate) name: u32,
    pub(crate) name_end: u32,
    pub(crate) value: u32,
    pub(crate) value_end: u32,
}

/// A header or trailer section: field lines in the order of the wire, and what they say about
/// the connection.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Fields {
    pub(crate) block: Bytes,
    pub(crate) spans: Vec<FieldSpan>,
    pub(crate) facts: Facts,
}

impl Fields {
    /// The field lines in order.
    #[must_use]
    pub fn iter(&self) -> FieldsIter<'_> {
        FieldsIter {
            block: &self.block,
            spans: self.spans.iter(),
        }
    }

    /// The value of the first field line with this name, ignoring case.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.is(name))
            .map(|field| field.value())
    }

    /// The number of field lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// There is no field line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What the section says about framing, persistence and routing.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The section as a map. Values share the block, names are folded to lower case.
    ///
    /// # Errors
    /// [`RemoteError::TooManyFields`] above the map's own limit of 24,576 entries, which
    /// [`Limits::fields`](crate::Limits::fields) normally undercuts.
    pub fn to_header_map(&self) -> Result<HeaderMap, RemoteError> {
        let mut map = HeaderMap::with_capacity(self.spans.len());
        for span in &self.spans {
            let name = HeaderName::from_bytes(slice(&self.block, span.name, span.name_end))
                .map_err(|_| RemoteError::InvalidField)?;
            let value = self
                .block
                .slice(span.value as usize..span.value_end as usize);
            let value =
                HeaderValue::from_maybe_shared(value).map_err(|_| RemoteError::InvalidField)?;
            map.try_append(name, value)
                .map_err(|_| RemoteError::TooManyFields)?;
        }
        Ok(map)
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_map()
            .entries(self.iter().map(|x| (text(x.name()), text(x.value()))))
            .finish()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = Field<'a>;
    type IntoIter = FieldsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over the field lines of a [`Fields`].
#[derive(Debug, Clone)]
pub struct FieldsIter<'a> {
    block: &'a [u8],
    spans: std::slice::Iter<'a, FieldSpan>,
}

impl<'a> Iterator for FieldsIter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let span = self.spans.next()?;
        let name = slice(self.block, span.name, span.name_end);
        Some(Field::checked(
            name,
            slice(self.block, span.value, span.value_end),
        ))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for FieldsIter<'_> {}

fn slice(block: &[u8], start: u32, end: u32) -> &[u8] {
    block.get(start as usize..end as usize).unwrap_or_default()
}

/// The head of a request: RFC 9112 §3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    pub(crate) method: Method,
    pub(crate) target: Range<u32>,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
}

impl RequestHead {
    /// The method; it is case-sensitive.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The request target, in the form and bytes in which it came.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        slice(&self.fields.block, self.target.start, self.target.end)
    }

    /// The request target, sharing the head's block.
    #[must_use]
    pub fn target_bytes(&self) -> Bytes {
        self.fields
            .block
            .slice(self.target.start as usize..self.target.end as usize)
    }

    /// HTTP/1.0 or HTTP/1.1.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The header section.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The header section alone, to be [reclaimed](crate::Connection::reclaim).
    #[must_use]
    pub fn into_fields(self) -> Fields {
        self.fields
    }

    /// The head, whose spans lie in this block.
    pub(crate) fn in_block(mut self, block: Bytes) -> Self {
        self.fields.block = block;
        self
    }

    /// Bytes that the head took on the wire, without empty lines before it.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.fields.block.len()
    }
}

/// The head of a response: RFC 9112 §4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) reason: Range<u32>,
    pub(crate) version: Version,
    pub(crate) fields: Fields,
}

impl ResponseHead {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase; it may be empty, and is for people only.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        slice(&self.fields.block, self.reason.start, self.reason.end)
    }

    /// HTTP/1.0 or HTTP/1.1.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The header section.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The header section alone, to be [reclaimed](crate::Connection::reclaim).
    #[must_use]
    pub fn into_fields(self) -> Fields {
        self.fields
    }

    /// The head, whose spans lie in this block.
    pub(crate) fn in_block(mut self, block: Bytes) -> Self {
        self.fields.block = block;
        self
    }

    /// Bytes that the head took on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.fields.block.len()
    }
}
