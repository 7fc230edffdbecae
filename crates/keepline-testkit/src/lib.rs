//! Scripted peers and other tools for the tests.
