//! TLS without waiting: what an idle stream has to be asked, and told, outside any task.

use std::io;

use super::arrived::Arrived;
use super::plain::Plain;

/// Reads without waiting. A stream that cannot has nothing.
struct ReadNow<'a>(&'a mut Plain);

impl io::Read for ReadNow<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let nothing = || Err(io::ErrorKind::WouldBlock.into());
        self.0.read_now(bytes).unwrap_or_else(nothing)
    }
}

/// Reads what has arrived through TLS, without waiting.
pub(super) fn read_now_in_tls<Side>(
    plain: &mut Plain,
    session: &mut rustls::ConnectionCommon<Side>,
    bytes: &mut [u8],
) -> io::Result<usize> {
    use std::io::Read;
    loop {
        match session.reader().read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        if session.read_tls(&mut ReadNow(plain))? == 0 {
            return Ok(0);
        }
        session.process_new_packets().map_err(io::Error::other)?;
    }
}

/// What has arrived below and through TLS. Session tickets and the like are taken and are nothing.
pub(super) fn arrived_in_tls<Side>(
    plain: &mut Plain,
    session: &mut rustls::ConnectionCommon<Side>,
) -> Option<Arrived> {
    loop {
        match session.read_tls(&mut ReadNow(plain)) {
            Ok(0) => return Some(Arrived::Fin),
            Ok(_) => {}
            Err(error) => return Arrived::from_error(&error),
        }
        match session.process_new_packets() {
            Err(_) => return Some(Arrived::Error),
            Ok(state) if state.plaintext_bytes_to_read() > 0 => return Some(Arrived::Bytes),
            Ok(state) if state.peer_has_closed() => return Some(Arrived::Fin),
            Ok(_) => {}
        }
    }
}

/// Sends close_notify as far as that is possible without waiting.
pub(super) fn say_goodbye_in_tls<Side>(
    plain: &mut Plain,
    session: &mut rustls::ConnectionCommon<Side>,
) {
    struct WriteNow<'a>(&'a mut Plain);

    impl io::Write for WriteNow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0 {
                Plain::Tcp(tcp) => (&*socket2::SockRef::from(&*tcp)).write(bytes),
                Plain::Unix(unix) => (&*socket2::SockRef::from(&*unix)).write(bytes),
                // The proxy in between sees the end of the socket, which is enough for it.
                Plain::Tls(_) | Plain::Other(_) | Plain::Secured(..) | Plain::Gone => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    session.send_close_notify();
    // A peer that cannot take it now, or is gone, does without.
    let _ = session.write_tls(&mut WriteNow(plain));
}
