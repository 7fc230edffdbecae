//! The testkit's own thread and tokio runtime, one per process.
//!
//! Scripted peers and the clock of [`within`](crate::within()) live here rather than on the test's
//! runtime. So they outlive a runtime that a test drops on purpose, go on while a test blocks its
//! thread, and see real time while a test has paused its clock.

use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};

/// The handle of the background runtime, which is started by the first call.
pub(crate) fn handle() -> &'static Handle {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a current-thread runtime can be built");
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("testkit".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .expect("a thread can be started");
        handle
    })
}
