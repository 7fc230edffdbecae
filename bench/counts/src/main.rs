//! `counts CASE N`: does one thing N times, in one thread, over streams in memory.
//!
//! Run under valgrind with two values of N: the difference, divided, is what one costs in
//! instructions or allocations, without the start of the process and whatever happens once. There
//! is no socket and no clock in it, so the same binary gives the same count wherever it runs.
//!
//! It checks what comes back: a count of something that failed would be worthless.

mod stream;

use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use http::{Method, Request, Response, StatusCode, Uri};
use keepline::client::{Freshness, Head, Target};
use keepline::net::Stream;
use keepline::proto::{BodyLength, Config, Connection, Event, Field, Received, RequestLine};
use keepline::server::{Server, service_fn};
use keepline::{Body, Transport};

use stream::{Answering, Asking};

type Outcome = Result<(), Box<dyn Error>>;

/// As a browser sends it.
const REQUEST: &[u8] = b"GET /static/app.js?v=12 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Connection: keep-alive\r\n\r\n";
/// As a server of the benchmarks sends it.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 13\r\n\r\nHello, World!";
const SHORT_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const HELLO: &[u8] = b"Hello, World!";
const URL: &str = "http://127.0.0.1:8080/";

type Case = fn(usize) -> Outcome;

/// What can be counted, by name.
const CASES: [(&str, Case); 8] = [
    ("proto-server-head", proto_server_head),
    ("proto-client-head", proto_client_head),
    ("client-checkout", client_checkout),
    ("client-raw", client_raw),
    ("client-typed", client_typed),
    ("server-typed", |turns| server_typed(turns, 1)),
    ("server-typed-16-pipelined", |turns| server_typed(turns, 16)),
    ("server-browser-head", server_browser_head),
];

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(turns), None) = (args.next(), args.next(), args.next()) else {
        let names: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
        return Err(format!("usage: counts CASE TURNS\ncases: {}", names.join(" ")).into());
    };
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("no case {name}").into());
    };
    case(turns.parse()?)
}

/// Receives a request head and answers it, without any stream.
fn proto_server_head(turns: usize) -> Outcome {
    let mut server = Connection::server(Arc::new(Config::default()));
    let mut input = BytesMut::with_capacity(8192);
    let mut output = Vec::with_capacity(8192);
    for _ in 0..turns {
        input.extend_from_slice(REQUEST);
        let Received::Event(Event::Request(head)) = server.receive(&mut input)? else {
            return Err("no request".into());
        };
        let Received::Event(Event::End(None)) = server.receive(&mut input)? else {
            return Err("no end".into());
        };
        output.clear();
        server.send_response(StatusCode::OK, [], BodyLength::Known(0), &mut output)?;
        server.send_end(None, &mut output)?;
        server.reclaim(head.into_fields());
        server.next_exchange()?;
        input.reserve(4096);
    }
    Ok(())
}

/// Sends a request head and receives the answer, without any stream.
fn proto_client_head(turns: usize) -> Outcome {
    let mut client = Connection::client(Arc::new(Config::default()));
    let mut input = BytesMut::with_capacity(8192);
    let mut output = Vec::with_capacity(8192);
    for _ in 0..turns {
        output.clear();
        let line = RequestLine::new(&Method::GET, b"/");
        let host = Field::new(b"host", b"127.0.0.1:8080")?;
        client.send_request(line, [host], BodyLength::Known(0), &mut output)?;
        client.send_end(None, &mut output)?;
        input.extend_from_slice(RESPONSE);
        let Received::Event(Event::Response(head)) = client.receive(&mut input)? else {
            return Err("no response".into());
        };
        let Received::Event(Event::Data(content)) = client.receive(&mut input)? else {
            return Err("no content".into());
        };
        let Received::Event(Event::End(None)) = client.receive(&mut input)? else {
            return Err("no end".into());
        };
        if content != HELLO {
            return Err("wrong content".into());
        }
        drop(content);
        client.reclaim(head.into_fields());
        client.next_exchange()?;
        input.reserve(4096);
    }
    Ok(())
}

fn on_a_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// A Transport whose server answers in memory.
fn transport() -> Result<Transport, keepline::Error> {
    Transport::builder()
        .connector(|_| async { Ok(Stream::new(Answering::new(RESPONSE))) })
        .build()
}

/// Checkout and check-in, without an exchange.
fn client_checkout(turns: usize) -> Outcome {
    on_a_runtime(async move {
        let transport = transport()?;
        let target = Target::of(&URL.parse()?)?;
        for _ in 0..turns {
            let exchange = transport.exchange_with(&target, Freshness::Any).await?;
            exchange.give_back();
        }
        opened_one(&transport)
    })
}

/// Checkout, an exchange on the raw layer, and check-in.
fn client_raw(turns: usize) -> Outcome {
    on_a_runtime(async move {
        let transport = transport()?;
        let uri: Uri = URL.parse()?;
        for _ in 0..turns {
            let mut exchange = transport.exchange(&uri).await?;
            let line = RequestLine::new(&Method::GET, b"/");
            let host = Field::new(b"host", b"127.0.0.1:8080")?;
            exchange.send_head(line, [host], BodyLength::Known(0))?;
            exchange.send_end(None)?;
            poll_fn(|cx| exchange.poll_flush(cx)).await;
            let Head::Final(head) = poll_fn(|cx| exchange.poll_head(cx)).await? else {
                return Err("not a final head".into());
            };
            exchange.reclaim(head);
            let content = poll_fn(|cx| exchange.poll_piece(cx)).await?;
            if content.as_deref() != Some(HELLO) {
                return Err("wrong content".into());
            }
            drop(content);
            if poll_fn(|cx| exchange.poll_piece(cx)).await?.is_some() {
                return Err("too much content".into());
            }
            exchange.end();
        }
        opened_one(&transport)
    })
}

/// The same with `http` types and a body.
fn client_typed(turns: usize) -> Outcome {
    on_a_runtime(async move {
        let transport = transport()?;
        let uri: Uri = URL.parse()?;
        for _ in 0..turns {
            let request = Request::get(uri.clone()).body(Body::empty())?;
            let response = transport.send(request).await?;
            if response.into_body().bytes(1 << 20).await? != HELLO {
                return Err("wrong content".into());
            }
        }
        opened_one(&transport)
    })
}

fn opened_one(transport: &Transport) -> Outcome {
    match transport.stats().opened.total() {
        1 => Ok(()),
        opened => Err(format!("{opened} connections were opened").into()),
    }
}

/// Requests on one connection, `batch` of them at a time, answered by a service.
fn server_typed(turns: usize, batch: usize) -> Outcome {
    serve(Asking::new(SHORT_REQUEST, batch, turns))
}

fn server_browser_head(turns: usize) -> Outcome {
    serve(Asking::new(REQUEST, 1, turns))
}

fn serve(client: Asking) -> Outcome {
    let answered = client.answered();
    let wanted = client.wanted();
    on_a_runtime(async move {
        let service = service_fn(|_: Request<Body>| async {
            Ok::<_, keepline::Error>(Response::new(Body::from(HELLO)))
        });
        let server = Server::builder().build()?;
        server
            .serve_connection(Stream::new(client), service)
            .await?;
        let answered = answered.load(std::sync::atomic::Ordering::Relaxed);
        if answered == wanted {
            Ok(())
        } else {
            Err(format!("{answered} answers to {wanted} requests").into())
        }
    })
}
