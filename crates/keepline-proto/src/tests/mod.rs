//! Tests of the whole protocol core, by topic. Tests of one part alone stand below that part.

mod cases;
mod corpus;
mod generated;
mod states;
