//! Carries out a script on one accepted connection.
//!
//! Each step is bounded by [`PATIENCE`] but those that wait for the client to begin or to end: an
//! idle connection may stay idle as long as the test likes.

use std::io;
use std::ops::ControlFlow;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Script;
use super::record::{Ending, Recorder};
use super::script::Step;
use crate::{PATIENCE, head};

/// Why no further step is played.
enum Stop {
    Ended(Ending),
    Failed(String),
}

type Played<T = ()> = ControlFlow<Stop, T>;

/// Plays `script` on `stream`, to the end of the connection.
pub(super) async fn play(stream: TcpStream, script: Script, recorder: Recorder) {
    // Each send is a segment at once. It can only fail on a connection that is already gone, which
    // the first step will find out.
    let _ = stream.set_nodelay(true);
    let mut player = Player {
        stream,
        unread: Vec::new(),
        recorder,
    };
    let stop = match player.play(&script).await {
        ControlFlow::Break(stop) => stop,
        ControlFlow::Continue(()) => player.hold().await,
    };
    // An end is recorded when the socket is closed, so that who waits for it sees it closed. A
    // failure is recorded before, so that a test that sees the connection end can't miss it.
    let Player {
        stream, recorder, ..
    } = player;
    match stop {
        Stop::Ended(ending) => {
            drop(stream);
            recorder.ended(ending);
        }
        Stop::Failed(what) => {
            recorder.failed(&what);
            drop(stream);
        }
    }
}

struct Player {
    stream: TcpStream,
    /// What arrived and was not yet asked for by a step.
    unread: Vec<u8>,
    recorder: Recorder,
}

impl Player {
    async fn play(&mut self, script: &Script) -> Played {
        for step in script.steps() {
            match step {
                Step::ExpectHead => self.expect_head().await?,
                Step::Expect(bytes) => self.expect(step, bytes).await?,
                Step::ReadExactly(count) => self.read_exactly(step, *count).await?,
                Step::Send { bytes, piece } => self.send(step, bytes, *piece).await?,
                Step::Open(gate) => gate.open(),
                Step::WaitFor(gate) => bounded(step, gate.passed()).await?,
                Step::Fin => self.fin().await?,
                Step::Repeat { times, script } => self.repeat(*times, script).await?,
                Step::Close => return Played::Break(Stop::Ended(Ending::PeerClosed)),
                Step::Reset => return Played::Break(self.reset()),
                Step::Hold => return Played::Break(self.hold().await),
            }
        }
        Played::Continue(())
    }

    async fn repeat(&mut self, times: Option<usize>, script: &Script) -> Played {
        let mut played = 0;
        while times != Some(played) {
            Box::pin(self.play(script)).await?;
            played += 1;
        }
        Played::Continue(())
    }

    async fn expect_head(&mut self) -> Played {
        if self.unread.is_empty() {
            match self.read_some().await {
                Ok(0) => return Played::Break(Stop::Ended(Ending::ClientClosed)),
                Ok(_) => {}
                Err(error) => return Played::Break(ended_by(&error)),
            }
        }
        let length = loop {
            match head::length(&self.unread) {
                Some(length) => break length,
                None => self.read_more(&Step::ExpectHead).await?,
            }
        };
        self.recorder.head(&self.unread[..length]);
        self.unread.drain(..length);
        Played::Continue(())
    }

    async fn expect(&mut self, step: &Step, expected: &[u8]) -> Played {
        loop {
            let arrived = &self.unread[..self.unread.len().min(expected.len())];
            if !expected.starts_with(arrived) {
                let arrived = arrived.escape_ascii();
                return failed(format!("it had to {step:?} but got \"{arrived}\""));
            }
            if arrived.len() == expected.len() {
                self.unread.drain(..expected.len());
                return Played::Continue(());
            }
            self.read_more(step).await?;
        }
    }

    async fn read_exactly(&mut self, step: &Step, count: usize) -> Played {
        while self.unread.len() < count {
            self.read_more(step).await?;
        }
        self.unread.drain(..count);
        Played::Continue(())
    }

    async fn send(&mut self, step: &Step, bytes: &[u8], piece: usize) -> Played {
        for piece in bytes.chunks(piece) {
            if let Err(error) = bounded(step, self.stream.write_all(piece)).await? {
                return Played::Break(ended_by(&error));
            }
        }
        Played::Continue(())
    }

    async fn fin(&mut self) -> Played {
        match self.stream.shutdown().await {
            Ok(()) => Played::Continue(()),
            Err(error) => Played::Break(ended_by(&error)),
        }
    }

    fn reset(&self) -> Stop {
        match self.stream.set_zero_linger() {
            Ok(()) => Stop::Ended(Ending::PeerReset),
            Err(error) => Stop::Failed(format!("the connection can't be reset: {error}")),
        }
    }

    async fn hold(&mut self) -> Stop {
        loop {
            match self.read_some().await {
                Ok(0) => return Stop::Ended(Ending::ClientClosed),
                Ok(_) => self.unread.clear(),
                Err(error) => return ended_by(&error),
            }
        }
    }

    /// Reads in the middle of a step, where the client may neither pause for long nor end.
    async fn read_more(&mut self, step: &Step) -> Played {
        match bounded(step, self.read_some()).await? {
            Ok(0) => failed(format!(
                "the client closed where the script had to {step:?}"
            )),
            Ok(_) => Played::Continue(()),
            Err(error) => failed(format!("where the script had to {step:?}: {error}")),
        }
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        let before = self.unread.len();
        let read = self.stream.read_buf(&mut self.unread).await?;
        if read > 0 {
            self.recorder.received(&self.unread[before..]);
        }
        Ok(read)
    }
}

async fn bounded<T>(step: &Step, future: impl Future<Output = T>) -> Played<T> {
    match timeout(PATIENCE, future).await {
        Ok(output) => Played::Continue(output),
        Err(_) => failed(format!("it waited {PATIENCE:?} to {step:?}")),
    }
}

fn failed<T>(what: String) -> Played<T> {
    Played::Break(Stop::Failed(what))
}

/// How the connection ended when a system call fails.
///
/// Linux says "broken pipe" to a writer when the reset answers data sent after the client's FIN,
/// and "connection reset" when no FIN had come.
fn ended_by(error: &io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::Ended(Ending::ClientClosed),
        io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
            Stop::Ended(Ending::ClientReset)
        }
        _ => Stop::Failed(format!("the connection failed: {error}")),
    }
}
