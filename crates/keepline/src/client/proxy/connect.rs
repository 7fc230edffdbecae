//! A tunnel by CONNECT (RFC 9110 §9.3.6).

use std::future::poll_fn;
use std::sync::Arc;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderName, HeaderValue, Method};
use keepline_proto::{BodyLength, Config, Connection, Event, Field, RequestLine, State};

use super::Proxy;
use crate::driver::{Driver, Incoming};
use crate::error::{Error, ErrorKind, ProxyRefusal};
use crate::net::Stream;

use crate::client::key::Origin;

/// So much of a proxy's reason phrase is told.
const TOLD_REASON: usize = 80;

/// Asks for a tunnel to `origin`, and answers the stream when it stands. Any 2xx opens it; what is
/// not 2xx is told, and its content is not waited for.
pub(super) async fn open(
    proxy: &Proxy,
    stream: Stream,
    origin: &Origin,
    config: &Arc<Config>,
) -> Result<Stream, Error> {
    let mut driver = Driver::new(stream, Connection::client(Arc::clone(config)));
    send(&mut driver, proxy, origin)?;
    poll_fn(|cx| driver.poll_flush(cx)).await?;
    loop {
        let incoming = poll_fn(|cx| driver.poll_event(cx)).await;
        // Interim responses are counted by the protocol core, which has a limit for them.
        match incoming.map_err(broken)? {
            Incoming::Event(Event::Interim(_)) => {}
            Incoming::Event(Event::Response(_)) if driver.proto.peer_state() == State::Switched => {
                // The origin has not been asked for anything: this is not its answer.
                if !driver.take_input().is_empty() {
                    let text = "it sent bytes behind its answer".to_owned();
                    return Err(refused(ProxyRefusal::Protocol, text));
                }
                return Ok(driver.take_stream());
            }
            Incoming::Event(Event::Response(head)) => {
                let status = head.status();
                let reason = &head.reason()[..head.reason().len().min(TOLD_REASON)];
                let reason = String::from_utf8_lossy(reason);
                let text = format!("it answered {} {reason}", status.as_str());
                return Err(refused(ProxyRefusal::Status(status), text));
            }
            Incoming::Event(_) | Incoming::Paused | Incoming::Closed | Incoming::Switched => {
                let text = "it closed without an answer".to_owned();
                return Err(refused(ProxyRefusal::Protocol, text));
            }
        }
    }
}

/// What became of the answer. With TLS 1.3 a proxy refuses a client's certificate only now.
fn broken(error: Error) -> Error {
    #[cfg(feature = "tls")]
    let error = error.told_by_tls();
    match error.kind() {
        ErrorKind::Tls => error,
        _ => refused(ProxyRefusal::Protocol, error.to_string()),
    }
}

fn send(driver: &mut Driver, proxy: &Proxy, origin: &Origin) -> Result<(), Error> {
    // RFC 9112 §3.2.3: with the port, always.
    let authority = format!("{}:{}", origin.host, origin.port);
    let line = RequestLine::new(&Method::CONNECT, authority.as_bytes());
    let given = |name: &HeaderName| proxy.0.fields.iter().any(|(given, _)| given == name);
    let host = HeaderValue::from_str(&authority).expect("a host is visible ASCII");
    let host = (!given(&HOST)).then_some((&HOST, &host));
    let authorization = proxy
        .authorization()
        .filter(|_| !given(&PROXY_AUTHORIZATION))
        .map(|value| (&PROXY_AUTHORIZATION, value));
    let own = proxy.0.fields.iter().map(|(name, value)| (name, value));
    let fields = host.into_iter().chain(authorization).chain(own);
    driver.lend_output();
    let fields = fields.map(Field::from);
    let output = &mut driver.output;
    driver
        .proto
        .send_request(line, fields, BodyLength::Known(0), output)?;
    driver.proto.send_end(None, output)?;
    Ok(())
}

fn refused(refusal: ProxyRefusal, text: String) -> Error {
    Error::caused(ErrorKind::Proxy(refusal), text)
}
