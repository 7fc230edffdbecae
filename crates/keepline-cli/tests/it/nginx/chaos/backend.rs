//! The backend: echoes each request's token, and does with the response what the path says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::plan::{Fault, Token};
use super::tally::{Tally, count};
use crate::nginx::inbox::{Inbox, content};

/// What no request has asked for: whoever gets to see it has got another's answer.
pub(super) const STRAY: &str =
    "HTTP/1.1 200 OK\r\nX-Token: STRAY\r\nContent-Length: 5\r\n\r\nSTRAY";

/// Longer than the gateway waits.
const STALL: Duration = Duration::from_secs(2);

/// Serves until the runtime ends.
pub(super) async fn listen(tally: Arc<Tally>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            count(&tally.upstream_connections);
            let tally = Arc::clone(&tally);
            // The other side may leave at any moment: its end is no failure of the backend.
            tokio::spawn(async move { serve(stream, &tally).await });
        }
    });
    addr
}

/// What becomes of the connection after a response.
enum Then {
    GoOn,
    Close,
    Reset,
}

async fn serve(stream: TcpStream, tally: &Tally) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new(stream);
    while let Some(head) = inbox.head().await? {
        count(&tally.upstream_requests);
        let Some((token, fault)) = asked(&head.start) else {
            tally.wrong(format!("the backend got {:?}", head.start));
            return Ok(());
        };
        if fault == Fault::BeforeContent {
            inbox.stream.write_all(&with_length(token)).await?;
        }
        let Some(upload) = content(&mut inbox, &head, false).await? else {
            return Ok(());
        };
        let is_post = head.start.starts_with("POST");
        let is_opaque = head.field("x-opaque").is_some();
        if is_post && !is_opaque && upload != token.upload() {
            tally.wrong(format!(
                "the content of another request came with {token:?}"
            ));
        }
        let before = tally.served(token);
        if is_post && before > 0 {
            tally.wrong(format!(
                "{token:?} is a POST and was sent {} times",
                before + 1
            ));
        }
        match answer(
            &mut inbox.stream,
            token,
            fault,
            head.start.starts_with("HEAD"),
        )
        .await?
        {
            Then::GoOn => {}
            Then::Close => return Ok(()),
            Then::Reset => return inbox.stream.set_zero_linger(),
        }
    }
    Ok(())
}

/// From `GET /mode/fault/token HTTP/1.1`.
fn asked(start: &str) -> Option<(Token, Fault)> {
    let mut parts = start.split(' ').nth(1)?.split('/').skip(2);
    let fault = Fault::by_name(parts.next()?)?;
    Some((Token::parse(parts.next()?)?, fault))
}

fn head(token: Token, fields: &str) -> Vec<u8> {
    let token = token.text();
    format!("HTTP/1.1 200 OK\r\nX-Token: {token}\r\n{fields}\r\n").into_bytes()
}

fn with_length(token: Token) -> Vec<u8> {
    let content = token.content();
    let mut bytes = head(token, &format!("Content-Length: {}\r\n", content.len()));
    bytes.extend(content);
    bytes
}

fn chunked(token: Token) -> Vec<u8> {
    let mut bytes = head(token, "Transfer-Encoding: chunked\r\n");
    let content = token.content();
    let mut size = 1 + usize::from(content.len().is_multiple_of(7)) * 40;
    let mut rest = &*content;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        rest = after;
        size = size * 3 % 5000 + 1;
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

async fn answer(
    stream: &mut TcpStream,
    token: Token,
    fault: Fault,
    to_head: bool,
) -> io::Result<Then> {
    let mut bytes = match fault {
        Fault::Chunks | Fault::CloseInChunks | Fault::BadChunk => chunked(token),
        Fault::UntilClose => [head(token, ""), token.content()].concat(),
        Fault::NoContent | Fault::ContentAfterNone => no_content(token),
        Fault::SaysClose => said_in_head(token, "Connection: close\r\n"),
        Fault::LengthAndChunks => said_in_head(token, "Transfer-Encoding: chunked\r\n"),
        Fault::TwoLengths => said_in_head(token, "Content-Length: 0\r\n"),
        _ => with_length(token),
    };
    if to_head {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        bytes.truncate(end.expect("a response has a head") + 4);
    }
    let middle = bytes.len() - bytes.len().min(token.content().len() / 2 + 1);
    match fault {
        Fault::BeforeContent => return Ok(Then::GoOn),
        Fault::CloseUnanswered => return Ok(Then::Close),
        Fault::ResetUnanswered => return Ok(Then::Reset),
        Fault::Stall => {
            sleep(STALL).await;
            return Ok(Then::Close);
        }
        Fault::Http10 => bytes[7] = b'0',
        Fault::EarlyHints => {
            bytes.splice(0..0, *b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
        }
        Fault::CloseInHead => bytes.truncate(20),
        Fault::ResetInContent | Fault::CloseInContent | Fault::CloseInChunks => {
            bytes.truncate(middle);
        }
        Fault::SecondResponse | Fault::ContentAfterNone => bytes.extend(STRAY.as_bytes()),
        Fault::TooLong => bytes.extend(b"STRAY"),
        Fault::BadChunk => {
            bytes.truncate(bytes.len() - 5);
            bytes.extend(b"STRAY\r\n");
        }
        Fault::NoStatusLine => bytes = b"STRAY\r\n\r\n".to_vec(),
        _ => {}
    }
    send(stream, &bytes, fault).await?;
    Ok(match fault {
        Fault::CloseAfter
        | Fault::SaysClose
        | Fault::Http10
        | Fault::UntilClose
        | Fault::CloseInContent
        | Fault::CloseInChunks
        | Fault::CloseInHead
        | Fault::NoStatusLine => Then::Close,
        Fault::ResetAfter | Fault::ResetInContent => Then::Reset,
        _ => Then::GoOn,
    })
}

fn said_in_head(token: Token, field: &str) -> Vec<u8> {
    let mut bytes = with_length(token);
    let after_status_line = b"HTTP/1.1 200 OK\r\n".len();
    bytes.splice(after_status_line..after_status_line, field.bytes());
    bytes
}

fn no_content(token: Token) -> Vec<u8> {
    let token = token.text();
    format!("HTTP/1.1 204 No Content\r\nX-Token: {token}\r\n\r\n").into_bytes()
}

/// Chunks come in segments that end anywhere; what else comes is one write, so that what is behind
/// a response is there when the response is.
async fn send(stream: &mut TcpStream, bytes: &[u8], fault: Fault) -> io::Result<()> {
    if fault != Fault::Chunks {
        return stream.write_all(bytes).await;
    }
    for piece in bytes.chunks(1777) {
        stream.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
