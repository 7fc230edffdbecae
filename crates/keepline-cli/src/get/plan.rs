//! From what was typed to what is to be done.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Version};
use keepline::Transport;
use keepline::client::{Http2, Versions};
use keepline::tls::{ClientTls, ClientTlsBuilder};

use super::args::{Args, PoolArgs, RequestArgs, TlsArgs};
use super::{dial, target};
use crate::failure::Failure;
use crate::load::{Plan, Wanted};

/// By which part of itself a lifetime is shortened at most.
const LIFETIME_JITTER: f64 = 0.1;

/// Redirects that -L follows for each request, as Go's client.
const MOST_REDIRECTS: usize = 10;

/// The requests to make.
pub(crate) fn requests(args: &Args) -> Result<Plan, Failure> {
    let request = &args.request;
    let content = request.data.as_deref().map(content).transpose()?;
    let default = if content.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    Ok(Plan {
        targets: args.urls.iter().map(|url| target::parse(url)).collect(),
        method: request.method.clone().unwrap_or(default),
        version: if request.http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        },
        fields: fields(request),
        content: content.unwrap_or_default(),
        requests: args.requests.unwrap_or(args.urls.len() as u64),
        in_flight: args.in_flight.into(),
        redirects: if request.follow { MOST_REDIRECTS } else { 0 },
        interval: args.interval,
        wanted: Wanted {
            lines: args.answer.read_lines,
            timeout: Some(request.timeout).filter(|limit| !limit.is_zero()),
            success: args.answer.fail,
        },
    })
}

fn fields(request: &RequestArgs) -> HeaderMap {
    const AGENT: &str = concat!("keepline/", env!("CARGO_PKG_VERSION"));
    let mut fields = HeaderMap::new();
    fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if request.data.is_some() {
        // What a form sends, as curl has taught everyone to expect.
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        fields.insert(CONTENT_TYPE, form);
    }
    // What is typed replaces what is assumed, and may be typed more than once.
    for line in &request.fields {
        fields.remove(&line.name);
    }
    for line in &request.fields {
        fields.append(line.name.clone(), line.value.clone());
    }
    fields
}

/// What `-d` names.
pub(crate) fn content(data: &str) -> Result<Bytes, Failure> {
    match data.strip_prefix('@') {
        None => Ok(Bytes::copy_from_slice(data.as_bytes())),
        Some("-") => {
            let mut content = Vec::new();
            std::io::stdin()
                .read_to_end(&mut content)
                .map_err(|error| Failure::new(format!("standard input: {error}")))?;
            Ok(content.into())
        }
        Some(path) => read(Path::new(path)),
    }
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    match std::fs::read(path) {
        Ok(content) => Ok(content.into()),
        Err(error) => Err(Failure::file(path, &error)),
    }
}

/// The Transport to make them with.
pub(crate) fn transport(args: &Args) -> Result<Transport, Failure> {
    let PoolArgs {
        drain,
        drain_time,
        idle_timeout,
        max_idle,
        max_idle_per_host,
        max_conns_per_host,
        max_lifetime,
        max_requests,
        pipeline,
        strict_streams,
        no_retry,
    } = args.pool;
    let mut builder = Transport::builder().versions(versions(&args.request));
    if let Some(most) = max_conns_per_host {
        builder = builder.max_connections_per_key(usize::try_from(most).unwrap_or(usize::MAX));
    }
    let mut http2 = Http2::default();
    http2.strict_streams = strict_streams;
    dial::settings(builder, &args.dial)?
        .lifetime(max_lifetime, LIFETIME_JITTER)
        .max_requests(max_requests)
        .pipeline(pipeline.into())
        .http2(http2)
        .idle_timeout(Some(idle_timeout))
        .max_idle(max_idle)
        .max_idle_per_key(max_idle_per_host.unwrap_or(max_idle))
        .drain(drain, drain_time)
        .retry(!no_retry)
        .tls(tls(&args.tls, |tls| tls)?)
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}

const fn versions(args: &RequestArgs) -> Versions {
    match (args.http1, args.http2) {
        (true, _) => Versions::Http1,
        (_, true) => Versions::Http2,
        _ => Versions::Auto,
    }
}

/// How TLS is spoken, as told by `args` and then changed by `adjust`.
pub(crate) fn tls(
    args: &TlsArgs,
    adjust: impl FnOnce(ClientTlsBuilder) -> ClientTlsBuilder,
) -> Result<ClientTls, Failure> {
    let mut tls = ClientTls::builder();
    if let Some(path) = &args.cacert {
        tls = tls.root_pem(&read(path)?);
    }
    if let Some(path) = &args.cert {
        let key = args.key.as_ref().unwrap_or(path);
        tls = tls.client_certificate_pem(&read(path)?, &read(key)?);
    }
    if args.insecure {
        tls = tls.danger_skip_verification();
    }
    adjust(tls).build().map_err(|error| {
        let failure = Failure::new(format!("TLS cannot be set up: {error}"));
        if args.cacert.is_some() || args.cert.is_some() {
            failure.help(
                "--cacert, --cert and --key take PEM: -----BEGIN CERTIFICATE----- …, -----BEGIN PRIVATE KEY----- …",
            )
        } else {
            failure
        }
    })
}
