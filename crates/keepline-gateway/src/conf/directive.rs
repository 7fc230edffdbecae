//! What is known of a directive: where it may stand, what it takes, how far it is supported.
//!
//! The rows are in [`table`](super::table). `docs/from-nginx.md` is written from them.

use std::fmt;

/// What kind of block a directive stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Context {
    /// Outside all blocks.
    Main,
    Events,
    Http,
    Server,
    Location,
    Upstream,
    /// `if` in a server.
    IfInServer,
    /// `if` in a location.
    IfInLocation,
    LimitExcept,
}

impl Context {
    const ALL: [Self; 9] = [
        Self::Main,
        Self::Events,
        Self::Http,
        Self::Server,
        Self::Location,
        Self::Upstream,
        Self::IfInServer,
        Self::IfInLocation,
        Self::LimitExcept,
    ];

    pub(crate) const fn bit(self) -> Contexts {
        Contexts(1 << self as u16)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Events => "events",
            Self::Http => "http",
            Self::Server => "server",
            Self::Location => "location",
            Self::Upstream => "upstream",
            Self::IfInServer => "if in server",
            Self::IfInLocation => "if in location",
            Self::LimitExcept => "limit_except",
        })
    }
}

/// A set of [`Context`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contexts(u16);

impl Contexts {
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, context: Context) -> bool {
        self.0 & context.bit().0 != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Context> {
        let all = Context::ALL.into_iter();
        all.filter(move |context| self.has(*context))
    }
}

impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, context) in self.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{context}")?;
        }
        Ok(())
    }
}

/// How many arguments there have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// One, `on` or `off`.
    Flag,
    Exactly(usize),
    Between(usize, usize),
    AtLeast(usize),
}

impl Arity {
    pub(crate) const fn admits(self, count: usize) -> bool {
        match self {
            Self::Flag => count == 1,
            Self::Exactly(exactly) => count == exactly,
            Self::Between(least, most) => least <= count && count <= most,
            Self::AtLeast(least) => count >= least,
        }
    }
}

/// What stands between the braces of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// There are none.
    None,
    /// Directives of this context.
    Holds(Context),
    /// Directives of `if`: in a server or in a location, as the `if` itself.
    HoldsIf,
    /// Lines that are no directives: the types, the rows of a map.
    Data,
}

/// How far a directive is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// As in nginx.
    Full,
    /// As in nginx, but for what is said here.
    Partly(&'static str),
    /// Accepted, because nothing that it tunes is here. `-t` lists it.
    NoEffect(&'static str),
    /// An error, with what to do instead.
    NotYet(&'static str),
}

/// A directive, as the table knows it. A name may have several rows, for different contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) contexts: Contexts,
    pub(crate) arity: Arity,
    pub(crate) body: Body,
    /// Its arguments, as they are told to people.
    pub(crate) syntax: &'static str,
    pub(crate) support: Support,
}

impl Known {
    /// How it is written.
    pub(crate) fn usage(&self) -> String {
        let separator = if self.syntax.is_empty() { "" } else { " " };
        let end = match self.body {
            Body::None => ";",
            Body::Holds(_) | Body::HoldsIf | Body::Data => " { ... }",
        };
        format!("{}{separator}{}{end}", self.name, self.syntax)
    }
}
