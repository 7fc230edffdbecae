//! Tests of the whole protocol core, by topic. Tests of one part alone stand below that part.

mod cases;
mod corpus;
mod eof;
mod generated;
mod intermediary;
mod limits;
mod pair;
mod properties;
mod refusals;
mod smuggling;
mod states;
mod version;
