//! Carries a script out on one accepted connection.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::event::{End, EventKind};
use crate::request::{Progress, Reader, Request};
use crate::script::{Idle, Script, Step};

/// No connection is held longer, so that a forgotten server lets go of everything in the end.
const LONGEST_HOLD: Duration = Duration::from_secs(600);

type Played<T = ()> = ControlFlow<End, T>;

/// Plays `script` to the end of the connection. `tell` hears what happens.
pub(crate) async fn play(stream: TcpStream, script: &Script, tell: impl Fn(EventKind)) {
    // Each write is a segment at once. A connection that is already gone shows at the first read.
    let _ = stream.set_nodelay(true);
    let mut player = Player {
        stream,
        reader: Reader::default(),
        tell,
    };
    let end = match timeout(LONGEST_HOLD, player.play(script)).await {
        Ok(ControlFlow::Break(end)) => end,
        Ok(ControlFlow::Continue(never)) => match never {},
        Err(_) => End::HeldLongEnough,
    };
    let Player { stream, tell, .. } = player;
    // Told when the socket is closed: who waits for it sees it closed.
    drop(stream);
    tell(EventKind::Ended(end));
}

struct Player<T> {
    stream: TcpStream,
    reader: Reader,
    tell: T,
}

/// A connection has no end but a reason to end.
enum Never {}

impl<T: Fn(EventKind)> Player<T> {
    async fn play(&mut self, script: &Script) -> Played<Never> {
        let mut number = 0;
        loop {
            let is_faulty = number >= script.at;
            let idle = script.idle.as_ref().filter(|_| is_faulty);
            let request = self.request(idle).await?;
            number += 1;
            (self.tell)(EventKind::Request {
                number,
                line: request.line.clone(),
            });
            let steps = if number < script.at {
                &script.ordinary
            } else {
                if script.idle.is_none() && script.faulty != script.ordinary {
                    (self.tell)(EventKind::Fault);
                }
                &script.faulty
            };
            self.steps(steps, request.is_head).await?;
        }
    }

    /// Waits for a request. If none begins in time, `idle` happens, once.
    async fn request(&mut self, mut idle: Option<&Idle>) -> Played<Request> {
        loop {
            match self.reader.progress() {
                Progress::Complete(request) => return Played::Continue(request),
                Progress::Unreadable => return Played::Break(End::Unreadable),
                Progress::WantsContinue => self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?,
                Progress::Incomplete => {}
            }
            match idle.filter(|_| self.reader.is_idle()) {
                None => self.read().await?,
                Some(Idle { after, steps }) => match timeout(*after, self.read()).await {
                    Ok(read) => read?,
                    Err(_) => {
                        (self.tell)(EventKind::Fault);
                        self.steps(steps, false).await?;
                        idle = None;
                    }
                },
            }
        }
    }

    async fn steps(&mut self, steps: &[Step], is_head: bool) -> Played {
        for step in steps {
            match step {
                Step::Body(_) | Step::SlowBody(..) if is_head => {}
                Step::Send(bytes) | Step::Body(bytes) => self.send(bytes).await?,
                Step::Slowly(bytes, every) | Step::SlowBody(bytes, every) => {
                    self.slowly(bytes, *every).await?;
                }
                Step::Forever(bytes) => return self.forever(bytes).await,
                Step::Close => return self.close().await,
                Step::Reset => return self.reset(),
                Step::HalfClose => return self.half_close().await,
                Step::NeverClose => return self.never_close().await,
            }
        }
        Played::Continue(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Played {
        match self.stream.write_all(bytes).await {
            Ok(()) => Played::Continue(()),
            Err(error) => Played::Break(gone(&error)),
        }
    }

    async fn slowly(&mut self, bytes: &[u8], every: Duration) -> Played {
        for (place, byte) in bytes.chunks(1).enumerate() {
            if place > 0 {
                sleep(every).await;
            }
            self.send(byte).await?;
        }
        Played::Continue(())
    }

    /// As fast as the client reads: its window is what bounds it.
    async fn forever(&mut self, bytes: &[u8]) -> Played {
        loop {
            self.send(bytes).await?;
            tokio::task::yield_now().await;
        }
    }

    async fn close(&mut self) -> Played {
        if let Err(error) = self.stream.shutdown().await {
            return Played::Break(gone(&error));
        }
        // Bytes that nobody has read would make the kernel reset instead.
        let mut scrap = [0; 4096];
        while self.stream.try_read(&mut scrap).is_ok_and(|read| read > 0) {}
        Played::Break(End::Closed)
    }

    fn reset(&self) -> Played {
        match self.stream.set_zero_linger() {
            Ok(()) => Played::Break(End::Reset),
            Err(error) => Played::Break(gone(&error)),
        }
    }

    async fn half_close(&mut self) -> Played {
        if let Err(error) = self.stream.shutdown().await {
            return Played::Break(gone(&error));
        }
        loop {
            self.read().await?;
            self.reader = Reader::default();
        }
    }

    async fn never_close(&mut self) -> Played {
        let mut scrap = [0; 4096];
        while self
            .stream
            .read(&mut scrap)
            .await
            .is_ok_and(|read| read > 0)
        {}
        // Until the server stops, or the longest hold.
        std::future::pending().await
    }

    async fn read(&mut self) -> Played {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) => Played::Break(End::ClientClosed),
            Ok(read) => {
                self.reader.feed(&piece[..read]);
                Played::Continue(())
            }
            Err(error) => Played::Break(gone(&error)),
        }
    }
}

/// How the client left when a system call fails. Linux says "broken pipe" to a writer when the
/// reset answers what was sent after the client's FIN.
fn gone(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe => End::ClientClosed,
        _ => End::ClientReset,
    }
}
