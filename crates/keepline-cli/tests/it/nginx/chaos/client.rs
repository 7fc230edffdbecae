//! The clients: they ask one by one or in batches, leave in the middle, and smuggle; and compare
//! every byte that comes with what the request's token demands.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::plan::{Fault, Token};
use super::smuggled;
use super::tally::{Tally, count};
use crate::dice::Dice;
use crate::nginx::inbox::{Content, Head, Inbox, content_or_part};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until so many requests were made by all clients together.
pub(super) async fn ask(gateway: SocketAddr, tally: &Tally, mut dice: Dice, requests: u64) {
    while tally.checked.load(Ordering::Relaxed) < requests {
        let Ok(stream) = TcpStream::connect(gateway).await else {
            tally.wrong("the gateway refuses connections".to_owned());
            return;
        };
        let mut inbox = Inbox::new(stream);
        // An end of the connection is no failure by itself: what was missing is counted.
        while let Ok(Next::GoOn) = one_round(&mut inbox, tally, &mut dice).await {}
    }
}

/// What a client knows of a request that it has sent.
#[derive(Debug, Clone, Copy)]
struct Asked {
    token: Token,
    fault: Fault,
    method: &'static str,
}

enum Next {
    GoOn,
    Ended,
}

async fn one_round(inbox: &mut Inbox, tally: &Tally, dice: &mut Dice) -> io::Result<Next> {
    match dice.below(100) {
        0..=5 => leave(inbox, tally, dice).await,
        6..=8 => half_close(inbox, tally, dice).await,
        9..=13 => smuggle(inbox, tally, dice).await,
        14..=35 => {
            let batch: Vec<_> = (0..2 + dice.below(5))
                .map(|_| thrown(tally, dice))
                .collect();
            let is_small = |asked: &Asked| asked.token.upload().len() < 200;
            let batch: Vec<_> = batch.into_iter().filter(is_small).collect();
            ask_at_once(inbox, tally, dice, &batch).await
        }
        _ => {
            let asked = thrown(tally, dice);
            ask_at_once(inbox, tally, dice, &[asked]).await
        }
    }
}

fn thrown(tally: &Tally, dice: &mut Dice) -> Asked {
    let fault = match Fault::thrown(dice) {
        left_out if Some(left_out) == tally.left_out => Fault::TwoLengths,
        fault => fault,
    };
    Asked {
        token: tally.token(),
        fault,
        method: ["GET", "GET", "GET", "HEAD", "POST", "PUT"][dice.below(6)],
    }
}

impl Asked {
    /// Whether the gateway passes its content on as it comes.
    const fn is_streamed(self) -> bool {
        self.token.0 % 2 == 1
    }

    fn path(self) -> String {
        let mode = if self.is_streamed() {
            "unbuffered"
        } else {
            "buffered"
        };
        format!("/{mode}/{}/{}", self.fault.name(), self.token.text())
    }

    fn bytes(self, dice: &mut Dice) -> Vec<u8> {
        let start = format!("{} {} HTTP/1.1\r\nHost: x\r\n", self.method, self.path());
        let upload = match self.method {
            "POST" | "PUT" => self.token.upload(),
            _ => return (start + "\r\n").into_bytes(),
        };
        if dice.one_in(2) {
            let head = format!("{start}Content-Length: {}\r\n\r\n", upload.len());
            return [head.into_bytes(), upload].concat();
        }
        let mut bytes = (start + "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in upload.chunks(1 + dice.below(900)) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

/// All requests in one piece, then all answers.
async fn ask_at_once(
    inbox: &mut Inbox,
    tally: &Tally,
    dice: &mut Dice,
    batch: &[Asked],
) -> io::Result<Next> {
    let bytes: Vec<u8> = batch.iter().flat_map(|asked| asked.bytes(dice)).collect();
    inbox.stream.write_all(&bytes).await?;
    for (place, asked) in batch.iter().enumerate() {
        let Ok(compared) = timeout(PATIENCE, compare(inbox, tally, *asked)).await else {
            tally.wrong(format!("no answer to {asked:?}"));
            return Ok(Next::Ended);
        };
        if let Next::Ended = compared? {
            let unanswered = batch.len() - place - 1;
            tally
                .unanswered
                .fetch_add(unanswered as u64, Ordering::Relaxed);
            return Ok(Next::Ended);
        }
    }
    Ok(Next::GoOn)
}

/// Reads the answer to one request and compares it.
async fn compare(inbox: &mut Inbox, tally: &Tally, asked: Asked) -> io::Result<Next> {
    let head = loop {
        let head = match inbox.head().await {
            Ok(head) => head,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => return Err(error),
        };
        let Some(head) = head else {
            count(&tally.unanswered);
            return Ok(no_head(inbox, tally, asked));
        };
        if status(&head) >= 200 {
            break head;
        }
    };
    count(&tally.checked);
    let status = status(&head);
    let mut content = Content::default();
    if asked.method == "HEAD" || status == 204 || status == 304 {
        content.is_whole = true;
    } else {
        let until_close = head.field("content-length").is_none();
        content = content_or_part(inbox, &head, until_close).await?;
    }
    let ends = !content.is_whole || head.field("connection") == Some("close");
    if contains(&content.bytes, b"STRAY") {
        tally.wrong(format!("{asked:?} was answered with stray bytes: {head:?}"));
    }
    match head.field("x-token") {
        Some(token) if token != asked.token.text() => {
            tally.wrong(format!("{asked:?} was answered with that of {token}"));
        }
        Some(_) => compare_content(tally, asked, status, &content),
        None => {
            count(&tally.refused);
            compare_refusal(tally, asked, status, &head);
        }
    }
    Ok(if ends { Next::Ended } else { Next::GoOn })
}

fn compare_content(tally: &Tally, asked: Asked, status: u16, content: &Content) {
    let expected = match (asked.method, status) {
        ("HEAD", _) | (_, 204) => Vec::new(),
        _ => asked.token.content(),
    };
    if !expected.starts_with(&content.bytes) {
        tally.wrong(format!("{asked:?} was answered with another's content"));
    }
    if !content.is_whole {
        count(&tally.cut);
    } else if content.bytes.len() == expected.len() {
        count(&tally.whole);
    } else {
        tally.wrong(format!(
            "{asked:?} was answered in part, as if that were all"
        ));
    }
    if asked.fault.is_harmless() && !content.is_whole {
        tally.wrong(format!(
            "{asked:?} was cut, though nothing was wrong with it"
        ));
    }
}

/// The gateway may refuse what is wrong, but not what is right and may be sent again. A POST on a
/// connection that ended just then may have been carried out or not: 502 is the truth.
fn compare_refusal(tally: &Tally, asked: Asked, status: u16, head: &Head) {
    // Content that was passed on as it came can't be sent again.
    let is_safe_to_repeat = match asked.method {
        "POST" => false,
        "PUT" => !asked.is_streamed(),
        _ => true,
    };
    if status < 400 {
        tally.wrong(format!("{asked:?} was answered by nobody: {head:?}"));
    } else if asked.fault.is_harmless() && is_safe_to_repeat {
        tally.wrong(format!("{asked:?} was refused with {status}"));
    }
}

/// The connection ended before a head did. Only what nobody can understand comes without one.
fn no_head(inbox: &mut Inbox, tally: &Tally, asked: Asked) -> Next {
    let rest = inbox.take_unread();
    if contains(&rest, b"STRAY") && asked.fault != Fault::NoStatusLine {
        tally.wrong(format!("{asked:?} was answered with stray bytes"));
    }
    Next::Ended
}

/// Sends a request, reads less than all of the answer, and is gone.
async fn leave(inbox: &mut Inbox, tally: &Tally, dice: &mut Dice) -> io::Result<Next> {
    let asked = thrown(tally, dice);
    let mut bytes = asked.bytes(dice);
    if dice.one_in(3) {
        bytes.truncate(1 + dice.below(bytes.len()));
    }
    inbox.stream.write_all(&bytes).await?;
    if dice.one_in(2) {
        let mut some = vec![0; 1 + dice.below(2000)];
        let _ = timeout(Duration::from_millis(50), inbox.stream.read(&mut some)).await;
    }
    if dice.one_in(2) {
        inbox.stream.set_zero_linger()?;
    }
    Ok(Next::Ended)
}

async fn half_close(inbox: &mut Inbox, tally: &Tally, dice: &mut Dice) -> io::Result<Next> {
    let asked = Asked {
        fault: Fault::Chunks,
        ..thrown(tally, dice)
    };
    inbox.stream.write_all(&asked.bytes(dice)).await?;
    inbox.stream.shutdown().await?;
    let mut all = Vec::new();
    let read = timeout(PATIENCE, inbox.stream.read_to_end(&mut all)).await;
    if read.is_err() {
        tally.wrong(format!(
            "a client that half-closed is left waiting: {asked:?}"
        ));
    }
    let other = all.windows(2).position(|two| two == b"t0");
    let token = asked.token.text();
    if contains(&all, b"X-Token") && !contains(&all, token.as_bytes()) {
        tally.wrong(format!("{asked:?} was answered with another's: {other:?}"));
    }
    Ok(Next::Ended)
}

/// Whatever is wrong with a request, what is behind it is never a request.
async fn smuggle(inbox: &mut Inbox, tally: &Tally, dice: &mut Dice) -> io::Result<Next> {
    let asked = Asked {
        fault: Fault::Length,
        method: "POST",
        ..thrown(tally, dice)
    };
    let path = asked.path();
    if dice.one_in(3) {
        inbox.stream.write_all(&smuggled::as_content(&path)).await?;
        return match timeout(PATIENCE, compare(inbox, tally, asked)).await {
            Ok(compared) => compared,
            Err(_) => {
                tally.wrong(format!("no answer to {asked:?}, which carries a request"));
                Ok(Next::Ended)
            }
        };
    }
    let (name, bytes) = smuggled::malformed(&path, dice);
    inbox.stream.write_all(&bytes).await?;
    let mut all = Vec::new();
    match timeout(PATIENCE, inbox.stream.read_to_end(&mut all)).await {
        Err(_) => tally.wrong(format!("{name}: the connection is kept")),
        // A reset can overtake the answer.
        Ok(Err(_)) => {}
        Ok(Ok(_)) => {
            let answers = all.windows(9).filter(|nine| *nine == b"HTTP/1.1 ").count();
            let is_refused = all.starts_with(b"HTTP/1.1 4") || all.starts_with(b"HTTP/1.1 5");
            // Where the request is passed on as it comes, it may be too late for an answer.
            if answers > 1 || (answers == 1 && !is_refused) {
                let shown = all.escape_ascii();
                tally.wrong(format!("{name} was answered with {answers}: {shown}"));
            }
        }
    }
    count(&tally.checked);
    count(&tally.refused);
    Ok(Next::Ended)
}

fn status(head: &Head) -> u16 {
    let status = head.start.split(' ').nth(1);
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
