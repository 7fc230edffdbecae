//! Fields that are added to responses: `add_header`, `add_trailer`, `expires`.

use std::time::Duration;

use super::Template;

/// `add_header` or `add_trailer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedField {
    /// Its name, as it is written out.
    pub name: Box<str>,
    /// Its value; an empty one is left out.
    pub value: Template,
    /// `always`: whatever the status; else only with 200, 201, 204, 206, 301, 302, 303, 304, 307 and 308.
    pub always: bool,
}

/// `expires`: adds Expires and Cache-Control.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expires {
    /// Neither is touched.
    #[default]
    Off,
    /// `epoch`: in 1970, and `no-cache`.
    Epoch,
    /// `max`: the end of 2037, and ten years.
    Max,
    /// So long from now.
    After(Duration),
    /// So long ago: `no-cache`.
    Before(Duration),
    /// `modified TIME`: so long from when the file was modified.
    AfterModified(Duration),
    /// `modified -TIME`.
    BeforeModified(Duration),
    /// `@15h30m`: the next time that the clock shows this, in the server's time zone.
    Daily(Duration),
    /// Whatever this is for a request, in the same notation.
    Variable {
        /// The notation.
        value: Template,
        /// `modified` stood before it.
        from_modified: bool,
    },
}
