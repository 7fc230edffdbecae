//! The configuration language: nginx.conf, read into a typed configuration.
//!
//! Text becomes words ([`lexer`]), words become a tree with includes resolved ([`tree`]), the tree is
//! held against the table of directives ([`check`], [`table`]), and what is left is a typed
//! configuration with nginx's inheritance and defaults. Each stage trusts the one before it.
//!
//! What is not supported is an error that says so. Nothing is ignored in silence: directives that tune
//! what is not there are listed by `-t`.

mod check;
mod directive;
mod document;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod lexer;
mod near;
mod source;
mod table;
mod tree;
#[allow(
    dead_code,
    reason = "what reads the values of directives is being written"
)]
mod units;

pub use check::Ignored;
pub use document::Document;
pub use error::{ConfError, ConfErrors};
pub use source::{Place, Source};
