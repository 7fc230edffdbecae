//! The request head on its way to the upstream: which target, which fields.
//!
//! nginx's order: the fields that are set, then the client's own but for those that are set, that
//! belong to its connection (RFC 9110 §7.6.1, also those that Connection names), and that are no
//! proper names. Framing is written anew.

use http::{Method, Version};
use keepline::Error;
use keepline::client;
use keepline::proto::forward::{Forward, forwardable};
use keepline::proto::{BodyLength, Field, Fields, RequestLine};

use super::Serving;
use super::aim::{Aim, AskedPath};
use super::plan::{Plan, SetField};
use super::scratch::Scratch;
use crate::config::{HttpVersion, Server, Variable};
use crate::request::View;
use crate::route::append_escaped;

impl Serving<'_, '_, '_> {
    /// Queues the head of the request on an upstream connection.
    pub(super) fn send_request_head(
        &self,
        to: &mut client::Exchange,
        aim: &Aim<'_>,
        length: BodyLength,
    ) -> Result<(), Error> {
        let (view, plan) = (self.view(), aim.plan);
        let mut scratch = Scratch::lend();
        scratch.add(|out| append_target(view, &aim.path, out));
        let version = self.request.scope.proxy.http_version;
        for set in &plan.sets {
            scratch.add(|out| append_set(view, set, version, out));
        }
        let mut values = scratch.values();
        let target = values.next().unwrap_or_default();
        let sets = plan
            .sets
            .iter()
            .zip(values)
            .filter(|(_, value)| !value.is_empty())
            // A value with a line end in it is left out: it would be another field.
            .filter_map(|(set, value)| Field::new(&set.name, value).ok());
        let head = self.exchange.head();
        let passes = self.request.scope.proxy.pass_request_headers;
        let own = head.fields().iter().filter(|&field| {
            passes && is_passed_on(field, head.fields(), plan, self.request.server)
        });
        // A value that is no method leaves the client's.
        let method = self.request.scope.proxy.method.as_ref();
        let method = method.and_then(|method| Method::from_bytes(&view.value(method)).ok());
        let method = method.as_ref().unwrap_or_else(|| self.method());
        let line = RequestLine::new(method, target).version(match version {
            HttpVersion::V10 => Version::HTTP_10,
            HttpVersion::V11 => Version::HTTP_11,
        });
        to.send_head(line, sets.chain(own), length)
    }

    /// The method that the upstream is asked with.
    pub(super) fn method(&self) -> &Method {
        if self.request.subject.becomes_get {
            &Method::GET
        } else {
            self.exchange.head().method()
        }
    }
}

/// The value of a field that is set. A request of HTTP/1.1 has a Host, whatever becomes of what is set for it.
fn append_set(view: View<'_>, set: &SetField, version: HttpVersion, out: &mut Vec<u8>) {
    let start = out.len();
    view.append(&set.value, out);
    let is_missing = out.len() == start && version == HttpVersion::V11;
    if is_missing && set.name.eq_ignore_ascii_case(b"host") {
        view.variable(&Variable::ProxyHost, out);
    }
}

/// A client's field goes on to the upstream.
fn is_passed_on(field: Field<'_>, section: &Fields, plan: &Plan, server: &Server) -> bool {
    forwardable(field, section) == Forward::Yes
        && is_proper(field.name(), server)
        && !plan.is_overridden(field.name())
}

/// nginx drops fields whose names are not letters, digits and hyphens (and underscores, where the
/// server allows them).
pub(super) fn is_proper(name: &[u8], server: &Server) -> bool {
    if !server.ignores_invalid_fields {
        return true;
    }
    name.iter().all(|&byte| {
        byte.is_ascii_alphanumeric()
            || byte == b'-'
            || (byte == b'_' && server.underscores_in_fields)
    })
}

/// The target that the upstream is asked for (`ngx_http_proxy_create_request`).
fn append_target(view: View<'_>, asked: &AskedPath<'_>, out: &mut Vec<u8>) {
    let subject = &view.request.subject;
    let target = view.head.target();
    let uri = match asked {
        AskedPath::Whole(path) => {
            if path.first() == Some(&b'?') {
                out.push(b'/');
            }
            out.extend_from_slice(path);
            return;
        }
        AskedPath::Replaces(uri) => Some(*uri),
        AskedPath::OfRequest => (!subject.is_as_sent).then_some(""),
    };
    let Some(uri) = uri else {
        let origin = target.get(subject.parts.origin.clone()).unwrap_or_default();
        if origin.first() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(origin);
        return;
    };
    let path = subject.path(target);
    let matched = if subject.is_located && !uri.is_empty() {
        view.request.matched_length()
    } else {
        0
    };
    if subject.is_located {
        out.extend_from_slice(uri.as_bytes());
    }
    let rest = path.get(matched..).unwrap_or_default();
    if subject.parts.is_quoted || subject.is_internal {
        append_escaped(rest, out);
    } else {
        out.extend_from_slice(rest);
    }
    let args = subject.args(target);
    if !args.is_empty() {
        out.push(b'?');
        out.extend_from_slice(args);
    }
    if out.first() != Some(&b'/') {
        out.insert(0, b'/');
    }
}
