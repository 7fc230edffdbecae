//! The configuration language: nginx.conf, read into a typed configuration.
//!
//! Text becomes words (`lexer`), words become a tree with includes resolved (`tree`), the tree is
//! held against the table of directives (`check`, `table`), and what is left is a typed
//! configuration with nginx's inheritance and defaults. Each stage trusts the one before it.
//!
//! What is not supported is an error that says so. Nothing is ignored in silence: directives that tune
//! what is not there are listed by `-t`.

mod build;
mod check;
mod directive;
mod document;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod lexer;
mod near;
mod outside;
#[cfg(test)]
mod page;
pub(crate) mod paths;
mod source;
mod table;
mod tree;
mod units;
mod value;

pub use check::Ignored;
pub use document::Document;
pub use error::{ConfError, ConfErrors};
pub use paths::Paths;
pub use source::{Place, Source};

/// Whether a directive is supported, wholly or in part.
pub(crate) fn is_supported(directive: &str) -> bool {
    table::rows(directive).any(|known| {
        matches!(
            known.support,
            directive::Support::Full | directive::Support::Partly(_)
        )
    })
}
