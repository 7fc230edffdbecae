//! `keepline chain`: finds idle timeouts that are inverted along a chain of hops.
//!
//! Hops with a URL are measured by `probe`, all at the same time; the others are known. What
//! decides is pure: [`timeout`] (do two neighbours agree?) and [`fix`] (what to change).

mod args;
mod fix;
mod hop;
mod products;
mod report;
mod timeout;

use std::time::Duration;

pub(crate) use args::Args;

use self::fix::Fix;
use self::hop::{Hop, Side};
use self::products::Evidence;
use self::timeout::{Timeout, Verdict};
use crate::failure::{self, Stop};
use crate::output::Screen;
use crate::{probe, runtime};

/// Two neighbours.
#[derive(Debug)]
struct Link<'a> {
    client: &'a Hop,
    server: &'a Hop,
    verdict: Verdict,
    fixes: Vec<Fix>,
}

/// Runs the sub-command.
pub(crate) fn run(args: &Args, screen: &mut Screen) -> Result<failure::Verdict, Stop> {
    if args.list {
        report::products(args.json, screen)?;
        return Ok(failure::Verdict::AllWell);
    }
    let (hops, round_trips) = runtime::block_on(measure(args, screen))??;
    let links = links(&hops, &round_trips);
    report::chain(&hops, &links, args.json, screen)?;
    match links.iter().any(|link| link.verdict.is_at_fault()) {
        true => Ok(failure::Verdict::SomethingFailed),
        false => Ok(failure::Verdict::AllWell),
    }
}

/// Judges each pair of neighbours.
fn links<'a>(hops: &'a [Hop], round_trips: &[Duration]) -> Vec<Link<'a>> {
    let pairs = hops.iter().zip(hops.iter().zip(round_trips).skip(1));
    pairs
        .map(|(client, (server, round_trip))| {
            let verdict = timeout::check(
                client.client.map(|side| side.timeout),
                server.server.map(|side| side.timeout),
                *round_trip,
            );
            let fixes = match verdict.is_at_fault() {
                true => fix::fixes(client, server, *round_trip),
                false => Vec::new(),
            };
            Link {
                client,
                server,
                verdict,
                fixes,
            }
        })
        .collect()
}

/// Measures the hops that have a URL; the first one is a client only, so it is just asked what it is.
async fn measure(args: &Args, screen: &mut Screen) -> Result<(Vec<Hop>, Vec<Duration>), Stop> {
    let mut hops = args.hops.clone();
    let mut round_trips = vec![Duration::ZERO; hops.len()];
    let urls: Vec<_> = hops.iter().map(|hop| hop.url.clone()).collect();
    let measured = urls.iter().enumerate().skip(1);
    let measured: Vec<_> = measured
        .filter_map(|(place, url)| url.as_ref().map(|url| (place, url.clone())))
        .collect();
    if let (Some(Some(url)), Some(first)) = (urls.first(), hops.first_mut()) {
        first.guess(probe::server_field(url, &args.tls).await?.as_deref());
    }
    if measured.is_empty() {
        return Ok((hops, round_trips));
    }
    screen.countdown("measuring", std::time::Instant::now() + args.budget);
    for (place, found) in probe::idle_timeouts(&measured, &args.tls, args.budget).await? {
        let hop = &mut hops[place];
        round_trips[place] = found.round_trip;
        hop.guess(found.server.as_deref());
        hop.server = Some(Side {
            timeout: match found.timeout {
                Some(timeout) => Timeout::After(timeout),
                None => Timeout::AtLeast(found.alive_after),
            },
            evidence: Evidence::Measured,
        });
    }
    screen.finish();
    Ok((hops, round_trips))
}
