//! Tests of the whole protocol core.
