//! The gateway beside nginx: the same configuration, the same backends and the same clients, byte
//! for byte.
//!
//! A case is a conversation, written in a file of `cases/` with all that nginx does in it. Each file
//! is played twice: under nginx, to prove that the record is true and that the harness sees what
//! happens; and under `keepline proxy`, which has to do the same. Where it does something else on
//! purpose the file has both, and `docs/nginx-differences.md` says why.
//!
//! To see one case, or to record what nginx does in a new one:
//!
//! ```text
//! KEEPLINE_CASE='part of a name' cargo test -p keepline-cli nginx::client
//! KEEPLINE_RECORD=nginx cargo test -p keepline-cli nginx_is_as_recorded
//! KEEPLINE_RECORD=keepline cargo test -p keepline-cli keepline_is_as_recorded
//! ```
//!
//! - `case`: the language of the files; `text`: bytes in it;
//! - `conf`: from a case to a configuration that many cases share; `gateway`: who runs it;
//! - `stage`: plays a case; `backend`, `wire`, `message`: what is on the stage;
//! - `chaos`: everything that can go wrong, at once;
//! - `load`: many requests at once while backends restart and the gateway reloads or stops;
//! - `compare`: what was seen against what is recorded; `differences`: that each has its reason.

mod backend;
mod case;
mod chaos;
mod compare;
mod conf;
mod differences;
mod gateway;
mod inbox;
mod load;
mod message;
mod stage;
mod text;
mod wire;

use keepline_testkit::peers;

use crate::long::{say, told};

macro_rules! cases {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            const FILE: &str = concat!(stringify!($name), ".case");

            #[tokio::test]
            async fn nginx_is_as_recorded() {
                if let Some(nginx) = peers::require("nginx131") {
                    compare::nginx_is_as_recorded(FILE, nginx).await;
                }
            }

            #[tokio::test]
            async fn keepline_is_as_recorded() {
                compare::keepline_is_as_recorded(FILE).await;
            }
        }
    )*};
}

cases! {
    broken_bodies
    client_bodies
    client_errors
    client_idle
    client_keep_alive
    client_lingering
    client_parsing
    client_pipelining
    directives
    resolver
    shutdown
    tls
    upgrades
    upstream_abort
    upstream_next
    upstream_pool
    upstream_request
    upstream_response
    upstream_stale
}
