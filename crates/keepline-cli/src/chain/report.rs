//! The diagram, and what to change.

use serde_json::{Value, json};

use super::Link;
use super::fix::Fix;
use super::hop::{Hop, Side};
use super::products::{Known, PRODUCTS};
use super::timeout::{Timeout, Verdict};
use crate::failure::Stop;
use crate::human::Time;
use crate::output::{BAD, GOOD, HEADING, NOTABLE, Screen};
use crate::table::{Align, Table};

/// Shows the whole.
pub(super) fn chain(
    hops: &[Hop],
    links: &[Link<'_>],
    json: bool,
    screen: &mut Screen,
) -> Result<(), Stop> {
    if json {
        return as_json(hops, links, screen);
    }
    let width = hops.iter().map(|hop| hop.name.chars().count()).max();
    let width = width.unwrap_or_default();
    for (place, hop) in hops.iter().enumerate() {
        let is_last = place + 1 == hops.len();
        let name = screen.paint(format_args!("{:<width$}", hop.name), HEADING);
        screen.line(format_args!("{name}  {}", sides(hop, place == 0, is_last)))?;
        if let Some(link) = links.get(place) {
            let (text, style) = words(link);
            let text = screen.paint(text, style);
            screen.line(format_args!("  │{:1$}{text}", "", width - width.min(1)))?;
        }
    }
    for link in links.iter().filter(|link| link.verdict.is_at_fault()) {
        screen.line("")?;
        fixes(link, screen)?;
    }
    Ok(())
}

/// What a hop does on its two sides.
fn sides(hop: &Hop, is_first: bool, is_last: bool) -> String {
    let server = match (is_first, hop.server) {
        (true, _) => None,
        (false, None) => Some("closes after an unknown time".to_owned()),
        (
            false,
            Some(Side {
                timeout: Timeout::Never,
                evidence,
            }),
        ) => Some(format!("never closes ({})", evidence.name())),
        (false, Some(side)) => Some(format!(
            "closes after {} ({})",
            side.timeout,
            side.evidence.name()
        )),
    };
    let client = match (is_last, hop.client) {
        (true, _) => None,
        (false, None) => Some("reuses for an unknown time".to_owned()),
        (
            false,
            Some(Side {
                timeout: Timeout::Never,
                evidence,
            }),
        ) => Some(format!("reuses for ever ({})", evidence.name())),
        (false, Some(side)) => Some(format!(
            "reuses for {} ({})",
            side.timeout,
            side.evidence.name()
        )),
    };
    let guess = hop.product.filter(|_| hop.is_guessed);
    let guess = guess.map(|product| format!("says it is {}", product.name));
    let all: Vec<_> = guess.into_iter().chain(server).chain(client).collect();
    all.join(", ")
}

fn words(link: &Link<'_>) -> (String, anstyle::Style) {
    let (client, server) = (&link.client.name, &link.server.name);
    match link.verdict {
        Verdict::Holds => ("holds".to_owned(), GOOD),
        Verdict::Inverted { by: Some(by) } => (
            format!(
                "INVERTED: {server} closes {} before {client} stops reusing",
                Timeout::After(by)
            ),
            BAD,
        ),
        Verdict::Inverted { by: None } => (
            format!("INVERTED: {server} closes, and {client} never stops reusing"),
            BAD,
        ),
        Verdict::TooClose { spare, needed } => (
            format!(
                "TOO CLOSE: {server} outlives {client} by {}, and a request on its way needs {}",
                Time(spare),
                Time(needed)
            ),
            BAD,
        ),
        Verdict::Unknown => {
            let side = match link.client.client {
                Some(_) if link.server.server.is_some() => {
                    format!("{server} was not measured for so long: --budget takes more")
                }
                None => {
                    format!("for how long {client} reuses is not known: say {client}:client=60s")
                }
                Some(_) => {
                    format!("for how long {server} waits is not known: say {server}:server=60s")
                }
            };
            (format!("unknown: {side}"), NOTABLE)
        }
    }
}

fn fixes(link: &Link<'_>, screen: &mut Screen) -> Result<(), Stop> {
    let (client, server) = (&link.client.name, &link.server.name);
    let heading = match link.fixes.len() {
        0 => format!("{client} and {server}: neither can be told otherwise; let {client} retry"),
        1 => format!("{client} and {server}: do this"),
        _ => format!("{client} and {server}: do one of these"),
    };
    screen.line(heading)?;
    for fix in &link.fixes {
        screen.line(format_args!("  at {:<8} {}", fix.at, fix_words(fix)))?;
    }
    Ok(())
}

fn fix_words(fix: &Fix) -> String {
    match &fix.setting {
        Some(setting) => setting.clone(),
        None if fix.side == "server" => {
            format!(
                "keep idle connections for at least {}",
                Timeout::After(fix.timeout)
            )
        }
        None => format!(
            "reuse idle connections for at most {}",
            Timeout::After(fix.timeout)
        ),
    }
}

fn as_json(hops: &[Hop], links: &[Link<'_>], screen: &mut Screen) -> Result<(), Stop> {
    let links_json: Vec<_> = links.iter().map(link_json).collect();
    for link in &links_json {
        screen.line(link)?;
    }
    let at_fault = links.iter().filter(|link| link.verdict.is_at_fault());
    let hops: Vec<_> = hops.iter().map(hop_json).collect();
    let at_fault = at_fault.count();
    Ok(screen.line(json!({"hops": hops, "links": links_json, "inverted": at_fault}))?)
}

fn side_json(side: Option<Side>) -> Value {
    side.map_or(Value::Null, |side| {
        let mut told = match side.timeout {
            Timeout::After(time) => json!({"seconds": time.as_secs_f64()}),
            Timeout::Between(from, to) => {
                json!({"from_seconds": from.as_secs_f64(), "to_seconds": to.as_secs_f64()})
            }
            Timeout::AtLeast(time) => json!({"at_least_seconds": time.as_secs_f64()}),
            Timeout::Never => json!({"seconds": "never"}),
        };
        told["known"] = side.evidence.name().into();
        if let Some(version) = side.evidence.version() {
            told["version"] = version.into();
        }
        told
    })
}

fn hop_json(hop: &Hop) -> Value {
    json!({
        "name": hop.name,
        "product": hop.product.map(|product| product.name),
        "guessed": hop.is_guessed,
        "url": hop.url,
        "server_idle": side_json(hop.server),
        "client_idle": side_json(hop.client),
    })
}

fn link_json(link: &Link<'_>) -> Value {
    let by = match link.verdict {
        Verdict::Inverted { by } => by.map(|by| by.as_secs_f64()),
        Verdict::TooClose { spare, needed } => Some((needed - spare).as_secs_f64()),
        Verdict::Holds | Verdict::Unknown => None,
    };
    let fixes: Vec<_> = link
        .fixes
        .iter()
        .map(|fix| {
            json!({
                "at": fix.at,
                "side": fix.side,
                "seconds": fix.timeout.as_secs_f64(),
                "setting": fix.setting,
            })
        })
        .collect();
    json!({
        "client": link.client.name,
        "server": link.server.name,
        "client_idle": side_json(link.client.client),
        "server_idle": side_json(link.server.server),
        "verdict": link.verdict.name(),
        "missing_seconds": by,
        "fixes": fixes,
    })
}

/// Lists the products that are known.
pub(super) fn products(json: bool, screen: &mut Screen) -> Result<(), Stop> {
    if json {
        for product in PRODUCTS {
            screen.line(json!({
                "name": product.name,
                "server_idle": side_json(product.server.and_then(Side::of)),
                "client_idle": side_json(product.client.and_then(Side::of)),
            }))?;
        }
        return Ok(());
    }
    let columns = [
        "product",
        "closes after",
        "",
        "reuses for",
        "",
        "as a server",
        "as a client",
    ];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for product in PRODUCTS {
        let (server, client) = (product.server, product.client);
        let time = |known: Option<Known>| {
            known.map_or_else(String::new, |it| match it.timeout {
                Some(timeout) => timeout.to_string(),
                None => "as it is told".to_owned(),
            })
        };
        let evidence = |known: Option<Known>| {
            known.map_or_else(String::new, |it| {
                let version = it.evidence.version().map(|version| format!(" ({version})"));
                format!("{}{}", it.evidence.name(), version.unwrap_or_default())
            })
        };
        let setting =
            |known: Option<Known>| known.and_then(|it| it.setting).unwrap_or("").to_owned();
        table.push(vec![
            product.name.to_owned().into(),
            time(server).into(),
            evidence(server).into(),
            time(client).into(),
            evidence(client).into(),
            setting(server).into(),
            setting(client).into(),
        ]);
    }
    for line in table.lines(screen.colours()) {
        screen.line(line)?;
    }
    Ok(())
}
