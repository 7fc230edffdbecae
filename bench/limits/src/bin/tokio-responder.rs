//! What tokio itself costs a server: a task for each connection, httparse, one buffer lent to the
//! connection that reads. Nothing else: no header map, no timer, no service.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bench_common::{Serve, response};
use limits::BUFFER;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const MAX_FIELDS: usize = 64;
/// Answers that one write can carry.
const BATCH: usize = 64;

thread_local! {
    static LENT: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let serve = Serve::from_args(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let answer = response(serve.body_bytes);
    let answers: Rc<[u8]> = answer.repeat(BATCH).into();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(serve.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(converse(stream, answers.clone(), answer.len()));
        }
    })
}

async fn converse(mut stream: TcpStream, answers: Rc<[u8]>, length: usize) -> io::Result<()> {
    let mut unparsed = Vec::new();
    while let Some(mut owed) = poll_fn(|cx| poll_heads(&mut stream, &mut unparsed, cx)).await? {
        while owed > 0 {
            let now = owed.min(BATCH);
            stream.write_all(&answers[..now * length]).await?;
            owed -= now;
        }
    }
    Ok(())
}

/// Reads into the lent buffer and counts the heads in it; `None` at the end of the stream.
/// A half-received head is all that a connection ever stores.
fn poll_heads(
    stream: &mut TcpStream,
    unparsed: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Option<usize>>> {
    LENT.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        // `poll_read` drops the readiness after a short read, `try_read` would ask once more.
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let received = buffer.filled();
        if received.is_empty() {
            return Poll::Ready(Ok(None));
        }
        if unparsed.is_empty() {
            let (heads, used) = count_heads(received)?;
            unparsed.extend_from_slice(&received[used..]);
            return Poll::Ready(Ok(Some(heads)));
        }
        unparsed.extend_from_slice(received);
        let (heads, used) = count_heads(unparsed)?;
        unparsed.drain(..used);
        Poll::Ready(Ok(Some(heads)))
    })
}

fn count_heads(mut bytes: &[u8]) -> io::Result<(usize, usize)> {
    let (mut heads, mut used) = (0, 0);
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        match httparse::Request::new(&mut fields)
            .parse(bytes)
            .map_err(io::Error::other)?
        {
            httparse::Status::Complete(length) => {
                heads += 1;
                used += length;
                bytes = &bytes[length..];
            }
            httparse::Status::Partial => break,
        }
    }
    Ok((heads, used))
}
