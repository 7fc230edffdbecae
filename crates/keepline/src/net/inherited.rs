//! Listening sockets that the process was started with: socket activation, as systemd does it
//! ([sd_listen_fds(3)](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html)).
//!
//! Invariant: a socket is handed out once.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Socket, Type};

use super::listen::{BindOptions, Listener};

/// The sockets have been handed out.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A listening socket that the process was started with.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inherited {
    /// Its name (`FileDescriptorName=` of the socket unit), if it was told.
    pub name: Option<String>,
    /// The socket.
    pub listener: Listener,
}

/// The listening sockets that the service manager has opened for this process: `LISTEN_FDS` many
/// (from file descriptor 3 on), if `LISTEN_PID` is this process, with the names of
/// `LISTEN_FDNAMES`. None where there is no service manager, and none the second time.
///
/// The sockets outlive this process with the manager: a restart loses no connection that has not
/// been accepted. What `options` says of accepted connections holds; address and backlog are
/// the manager's. A program that is started by this one inherits none of them.
///
/// # Errors
/// The variables are malformed, or a socket is not one that accepts streams.
pub fn inherited_listeners(options: BindOptions) -> io::Result<Vec<Inherited>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    sd_listen_fds::get()
        .map_err(|_| invalid("LISTEN_PID or LISTEN_FDS is not a number"))?
        .into_iter()
        .map(|(name, descriptor)| {
            let listener = listening(descriptor.into_std(), options)?;
            Ok(Inherited { name, listener })
        })
        .collect()
}

fn listening(descriptor: OwnedFd, options: BindOptions) -> io::Result<Listener> {
    let socket = Socket::from(descriptor);
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(invalid("an inherited socket does not listen for streams"));
    }
    socket.set_cloexec(true)?;
    if socket.domain()? == Domain::UNIX {
        return Ok(std::os::unix::net::UnixListener::from(socket).into());
    }
    socket.set_nonblocking(true)?;
    Ok(Listener::over(socket, options))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}
