//! HTTP/2 frame by frame: how the end of a session looks on the wire, and in the kernel.

use keepline::net;
use keepline::server::Http2;
use keepline_testkit::sockets::{Sockets, State};
use keepline_testkit::{End, until};
use tokio::net::TcpStream;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The types of frames that matter here (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What opens a session with windows of 1 GiB, and asks for `/` on stream 1.
fn opening() -> Vec<u8> {
    let window = (1_u32 << 30).to_be_bytes();
    let settings = [&4_u16.to_be_bytes()[..], &window].concat();
    // :method GET, :scheme http and :path / by index; :authority as a literal (RFC 7541 §6).
    let head = [0x82, 0x86, 0x84, 0x01, 1, b'x'];
    [
        PREFACE,
        &frame(SETTINGS, 0, 0, &settings),
        &frame(WINDOW_UPDATE, 0, 0, &window),
        &frame(HEADERS, END_STREAM | END_HEADERS, 1, &head),
    ]
    .concat()
}

/// The next frame: type, flags, payload.
async fn next(client: &mut RawClient<TcpStream>) -> (u8, u8, Vec<u8>) {
    let head = client.read_exactly(9).await;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let payload = client.read_exactly(length as usize).await;
    (head[3], head[4], payload)
}

/// All frames that are left, and how the connection ended.
async fn rest(client: &mut RawClient<TcpStream>) -> (Vec<(u8, Vec<u8>)>, End) {
    let (bytes, end) = client.read_to_end().await;
    let mut frames = Vec::new();
    let mut left = &bytes[..];
    while let Some((head, behind)) = left.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, behind)) = behind.split_at_checked(length) else {
            break;
        };
        frames.push((head[3], payload.to_vec()));
        left = behind;
    }
    assert_eq!(left, b"", "whole frames");
    (frames, end)
}

/// A session that its server ends is not reset by what the client still says: the last answer, of which
/// most is on its way when the server has nothing more to do, arrives whole.
#[tokio::test]
async fn the_last_answer_of_a_session_arrives_whatever_its_client_still_sends() {
    const SIZE: usize = 150_000;
    let server = builder()
        .http2(Http2::default())
        .max_requests(Some(1))
        .build()
        .unwrap();
    let mut options = net::BindOptions::default();
    // The kernel takes all of it, whether the client reads or not.
    options.send_buffer = Some(4 * SIZE);
    let listener = net::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
    let address = listener.local_addr().unwrap();
    let large =
        async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from(vec![b'x'; SIZE])));
    tokio::spawn(server.serve(listener, service_fn(large)));
    let mut client = RawClient::connect(address).await;
    client.send(opening()).await;
    // It says that it leaves, and asks for a sign that this has been read (RFC 9113 §6.8).
    let mut received = 0;
    let ping = loop {
        match next(&mut client).await {
            (PING, 0, payload) => break payload,
            (DATA, _, payload) => received += payload.len(),
            (SETTINGS | HEADERS | GOAWAY | WINDOW_UPDATE, ..) => {}
            other => panic!("{other:?}"),
        }
    };
    client.send(frame(PING, ACK, 0, &ping)).await;
    let said_all = [State::FinWait1, State::FinWait2];
    until("the server to have said all", || {
        let socket = |state| Sockets::on_port(address.port()).in_state(state).count();
        (said_all.into_iter().map(socket).sum::<usize>() == 1).then_some(())
    })
    .await;
    for _ in 0..4 {
        client.send(frame(PING, 0, 0, b"are you?")).await;
        client
            .send(frame(WINDOW_UPDATE, 0, 0, &1000_u32.to_be_bytes()))
            .await;
    }
    let (frames, end) = rest(&mut client).await;
    let data = frames.iter().filter(|(kind, _)| *kind == DATA);
    received += data.map(|(_, payload)| payload.len()).sum::<usize>();
    assert_eq!((received, end), (SIZE, End::Fin));
    assert!(frames.iter().any(|(kind, _)| *kind == GOAWAY));
    assert_eq!(server.stats().open, 1, "it waits for the client to close");
    drop(client);
    until("the reason", || {
        (server.stats().closed.of(CloseReason::MaxRequests) == 1).then_some(())
    })
    .await;
}
