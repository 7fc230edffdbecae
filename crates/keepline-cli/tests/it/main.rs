//! The binary, run as people and scripts run it.
//!
//! - `attacks`: what is meant to keep others from being answered;
//! - `balanced`: `serve` behind balancers, and with sockets of a service manager;
//! - `bench`: loads, counted by the kernel and the server too;
//! - `reuse`: the two classic programs against our own server;
//! - `peers`: the same against other people's servers, and other people's clients against ours;
//! - `dialling`: name servers, names that move, local addresses;
//! - `proxies`: `get -x`, through proxies of every kind;
//! - `failures`: bad input of every kind, and what is said about it;
//! - `output`: what goes where, and the exit status;
//! - `soak`: `serve` under everything at once, for as long as one likes;
//! - `serve`: the built-in answers, on the wire;
//! - `files`: parts of files and conditions;
//! - `floods`: many connections at once;
//! - `demo`: what it counts;
//! - `faults`: a server that misbehaves;
//! - `probe`: is what it measures true?
//! - `chain`: does its advice make 502s go away?
//! - `watch`: beside `ss`;
//! - `clients`: what docs/clients.md says of keepline;
//! - `proxy`: the gateway as a process;
//! - `nginx`: the gateway beside nginx.

mod attacks;
mod balanced;
mod bench;
mod binary;
mod chain;
mod clients;
mod demo;
mod dialling;
mod dice;
mod failures;
mod faults;
mod files;
mod floods;
mod long;
mod nginx;
mod output;
mod peers;
mod probe;
mod proxies;
mod proxy;

mod redirects;
mod relay;
mod reuse;
mod serve;
mod soak;
mod watch;

// A binary has no API for tests; this file stands alone.
#[expect(dead_code, reason = "the tests need less of it than the binary")]
#[path = "../../src/kernel/mod.rs"]
mod kernel;
