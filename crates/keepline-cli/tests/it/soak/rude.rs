//! Clients that do not keep to the rules, or do not wait for their answer.

use super::asked::{Asked, Size};
use super::loads::Round;
use super::wire::{Trouble, Wire};
use crate::dice::Dice;

/// Begins something, and is gone: in order or by a reset.
pub(super) async fn leave(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    let bytes = match dice.below(5) {
        0 => Asked::lines(100_000, "gone".to_owned()).bytes(&mut dice),
        1 => b"GET /delay/500 HTTP/1.1\r\nhost: soak\r\n\r\n".to_vec(),
        2 => b"POST /echo HTTP/1.1\r\nhost: soak\r\ncontent-length: 100000\r\n\r\nsome".to_vec(),
        3 => b"GET /status/200 HTTP/1.1\r\nhost: so".to_vec(),
        _ => {
            let mut bytes = Asked::thrown(&mut dice, Size::Any).bytes(&mut dice);
            bytes.truncate(1 + dice.below(bytes.len()));
            bytes
        }
    };
    wire.send(&bytes).await;
    if dice.one_in(2) {
        let mut some = vec![0; 1 + dice.below(20_000)];
        let reading = tokio::io::AsyncReadExt::read(&mut wire.stream, &mut some);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), reading).await;
    }
    if dice.one_in(2) {
        let _ = wire.stream.set_zero_linger();
    }
    round.tally.abandoned();
    Ok(())
}

/// What is refused, by its status; and an upload that nobody reads, whose answer arrives.
pub(super) async fn send_garbage(round: Round, mut dice: Dice) -> Result<(), Trouble> {
    let mut wire = Wire::connect(round.plain).await?;
    let upload = vec![b'u'; 1_000_000];
    let head = |fields: &str| format!("POST /echo HTTP/1.1\r\nhost: soak\r\n{fields}\r\n");
    let (bytes, status) = match dice.below(6) {
        0 => (b"garbage\r\n\r\n".to_vec(), 400),
        1 => (
            head("content-length: 1\r\ntransfer-encoding: chunked\r\n").into(),
            400,
        ),
        2 => (head("transfer-encoding: chunked\r\n").into_bytes(), 400),
        3 => (head(&format!("x: {}\r\n", "y".repeat(70_000))).into(), 431),
        4 => (head("content-length: 20000000\r\n").into(), 413),
        _ => {
            let head = "POST /status/403 HTTP/1.1\r\nhost: soak\r\ncontent-length: 1000000\r\n\r\n";
            ([head.as_bytes(), &upload].concat(), 403)
        }
    };
    wire.send(&bytes).await;
    if bytes.ends_with(b"chunked\r\n\r\n") {
        wire.send(b"not a size\r\n").await;
    }
    let answer = wire.answer().await?;
    if answer.status != status {
        let start = bytes.get(..60).unwrap_or(&bytes).escape_ascii();
        return Err(Trouble::Wrong(format!("{} to {start}", answer.status)));
    }
    round.tally.right(1);
    Ok(())
}
