//! What is no request is answered with nginx's page, and logged as far as it has come.

use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use http::StatusCode;
use keepline::Error;
use keepline::proto::{Connection, Event, Field, Received, RequestHead, StatusLine};
use keepline::server::{HangUp, Refusal, Refused};

use super::{Gate, nowhere, reply, report};
use crate::answer::{page, reason};
use crate::request::{Host, Request, View};

/// A head that stands for one that could not be read.
fn no_head() -> Option<&'static RequestHead> {
    static HEAD: OnceLock<Option<RequestHead>> = OnceLock::new();
    let head = HEAD.get_or_init(|| {
        let mut bytes = BytesMut::from(&b"GET / HTTP/1.0\r\n\r\n"[..]);
        match Connection::server(Arc::default()).receive(&mut bytes) {
            Ok(Received::Event(Event::Request(head))) => Some(head),
            _ => None,
        }
    });
    head.as_ref()
}

/// nginx's status for what is no request.
fn status_of(why: Refusal) -> u16 {
    match why.status().as_u16() {
        // Too large a head: 400 to the client, with a page of its own.
        431 => 494,
        status => status,
    }
}

impl Gate {
    pub(super) fn answer_refused(&self, refused: &mut Refused<'_>) -> Result<(), Error> {
        let live = self.shared.live_of(&self.address);
        let Some(endpoint) = live.endpoints.get(&*self.address) else {
            refused.hang_up(HangUp::Fin);
            return Ok(());
        };
        let server = &live.http.servers[endpoint.default_server()];
        let mut request = Request::new(&live, endpoint, server, nowhere(), Host::default());
        let line = refused.received().split(|&byte| byte == b'\n').next();
        let line = line.unwrap_or_default().trim_ascii_end();
        request.line = Some(line.into());
        request.received = refused.received().len() as u64;
        let status = status_of(refused.why());
        request.sent.status = status;
        match refused.why() {
            // Nobody is left, or waits: nginx says nothing either.
            Refusal::Timeout | Refusal::Failed => refused.hang_up(HangUp::Fin),
            _ => {
                let name = reply::server_name(&server.scope.settings);
                let content = page(status, name).unwrap_or_default();
                let code = reply::wire_status(status);
                let line = StatusLine {
                    status: StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST),
                    reason: reason(code).map(str::as_bytes),
                };
                let fields = [
                    Field::new(b"Server", name.as_bytes())?,
                    Field::new(b"Content-Type", b"text/html")?,
                ];
                request.sent.content = content.len() as u64;
                refused.answer(line, fields, content.into())?;
            }
        }
        request.sent.total = refused.bytes_sent();
        if let Some(head) = no_head() {
            report::log_access(View {
                request: &request,
                head,
                info: refused.info(),
            });
        }
        Ok(())
    }
}
