//! The runtime that a sub-command runs on.

use std::future::Future;

use crate::failure::Failure;

/// Runs `future` on this thread alone: what the sub-commands measure is then the work of one
/// core, and no connection is handed between threads.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    Ok(runtime.block_on(future))
}
