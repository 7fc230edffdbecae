//! Who may, who a client is, and how often: `allow`, `deny`, `set_real_ip_from`, `limit_req`.

use std::net::IpAddr;

use super::Builder;
use super::level::Level;
use crate::conf::check::flag;
use crate::conf::error::ConfError;
use crate::conf::tree::Directive;
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter, unsupported};
use crate::config::RealIpSource;
use crate::config::{AccessRule, Delay, Level as LogLevel, LimitReq, LimitReqZone, Network};

/// Takes the directive if it is one of these.
pub(super) fn apply(
    level: &mut Level,
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<bool, ConfError> {
    match directive.name.text.as_str() {
        "allow" | "deny" => {
            if level.is_first("allow or deny") {
                level.scope.settings.access.clear();
            }
            level.scope.settings.access.push(AccessRule {
                network: network(directive)?,
                allows: directive.name.text == "allow",
            });
        }
        "set_real_ip_from" => {
            if level.is_first("set_real_ip_from") {
                level.scope.settings.real_ip.from.clear();
            }
            let network = network(directive)?;
            level.scope.settings.real_ip.from.push(network);
        }
        "real_ip_header" => level.scope.settings.real_ip.source = real_ip_source(directive)?,
        "real_ip_recursive" => level.scope.settings.real_ip.is_recursive = flag(directive)?,
        "limit_req" => {
            if level.is_first("limit_req") {
                level.scope.settings.limit_req.clear();
            }
            let limit = limit_req(directive, builder)?;
            if level
                .scope
                .settings
                .limit_req
                .iter()
                .any(|other| other.zone == limit.zone)
            {
                return Err(directive.duplicate());
            }
            level.scope.settings.limit_req.push(limit);
        }
        "limit_req_status" => {
            level.scope.settings.limit_req_status = directive.status(0, 400..=599)?;
        }
        "limit_req_log_level" => {
            let known = [
                ("info", LogLevel::Info),
                ("notice", LogLevel::Notice),
                ("warn", LogLevel::Warn),
                ("error", LogLevel::Error),
            ];
            level.scope.settings.limit_req_log_level = directive.one_of(0, &known)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The argument of `allow`, `deny` and `set_real_ip_from`.
fn network(directive: &Directive) -> Result<Network, ConfError> {
    let word = directive.arg(0)?;
    match word.text.as_str() {
        "all" if directive.name.text != "set_real_ip_from" => return Ok(Network::All),
        "unix:" => return Ok(Network::Unix),
        _ => {}
    }
    let (address, prefix) = match word.text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (word.text.as_str(), None),
    };
    let expected = "an address, or one with the length of a prefix: 10.0.0.0/8";
    let fail = || invalid(directive, word, expected);
    let address: IpAddr = address.parse().map_err(|_| fail())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(text) => units::number(text)
            .filter(|p| *p <= bits)
            .ok_or_else(fail)?,
    };
    Ok(Network::Inet {
        address: masked(address, prefix),
        prefix,
    })
}

/// The address without the bits behind the prefix.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix));
            IpAddr::V4((v4.to_bits() & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix));
            IpAddr::V6((v6.to_bits() & mask.unwrap_or(0)).into())
        }
    }
}

fn real_ip_source(directive: &Directive) -> Result<RealIpSource, ConfError> {
    let word = directive.arg(0)?;
    if word.text == "proxy_protocol" {
        return Err(unsupported(
            directive,
            word,
            "the PROXY protocol is not spoken",
        ));
    }
    let name = super::fields::field_name(word)?.to_ascii_lowercase();
    Ok(match name.as_str() {
        "x-forwarded-for" => RealIpSource::XForwardedFor,
        _ => RealIpSource::Field(name.into()),
    })
}

fn limit_req(directive: &Directive, builder: &Builder<'_>) -> Result<LimitReq, ConfError> {
    let known = ["zone=", "burst=", "delay=", "nodelay"];
    let (mut zone, mut burst, mut delay) = (None, 0, Delay::After(0));
    for word in &directive.args {
        let count = |text: &str| {
            let count = units::number(text);
            count.ok_or_else(|| invalid(directive, word, "a number"))
        };
        match word.text.split_once('=') {
            Some(("zone", name)) => zone = Some((name, word)),
            Some(("burst", number)) => burst = count(number)?,
            Some(("delay", number)) => delay = Delay::After(count(number)?),
            None if word.text == "nodelay" => delay = Delay::None,
            _ => return Err(unknown_parameter(directive, word, &known)),
        }
    }
    let Some((name, word)) = zone else {
        return Err(directive.error("\"limit_req\" directive must have \"zone\" parameter"));
    };
    let Some(zone) = builder.names.zones.get(name) else {
        let what = format!("no \"limit_req_zone\" has the name \"{name}\"");
        let known = builder.names.zones.keys().map(String::as_str);
        return Err(ConfError::new(&word.place, what).near(name, known));
    };
    Ok(LimitReq {
        zone: *zone,
        burst,
        delay,
    })
}

/// `limit_req_zone KEY zone=NAME:SIZE rate=RATE`.
pub(super) fn limit_req_zone(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<LimitReqZone, ConfError> {
    let (mut zone, mut rate) = (None, None);
    for word in directive.args.iter().skip(1) {
        match word.text.split_once('=') {
            Some(("zone", value)) => {
                let zone_of = |(name, size)| Some((name, units::size(size)?));
                let parsed = value.split_once(':').and_then(zone_of);
                let parsed = parsed.filter(|(name, _): &(&str, u64)| !name.is_empty());
                zone = Some(parsed.ok_or_else(|| invalid(directive, word, "zone=NAME:SIZE"))?);
            }
            Some(("rate", value)) => {
                let parsed = requests_in_1000_seconds(value).filter(|rate| *rate > 0);
                let expected = "rate=10r/s or rate=30r/m";
                rate = Some(parsed.ok_or_else(|| invalid(directive, word, expected))?);
            }
            _ => return Err(unknown_parameter(directive, word, &["zone=", "rate="])),
        }
    }
    let Some((name, size)) = zone else {
        return Err(directive.error("\"limit_req_zone\" must have \"zone\" parameter"));
    };
    // nginx needs eight pages.
    let size = usize::try_from(size).ok().filter(|size| *size >= 8 * 4096);
    let Some(size) = size else {
        return Err(directive.error(format!("zone \"{name}\" is too small, 32k is the least")));
    };
    Ok(LimitReqZone {
        name: name.into(),
        key: builder.names.template(directive.arg(0)?)?,
        size,
        // nginx's default.
        rate: rate.unwrap_or(1000),
    })
}

fn requests_in_1000_seconds(rate: &str) -> Option<u64> {
    if let Some(number) = rate.strip_suffix("r/s") {
        return units::number::<u64>(number)?.checked_mul(1000);
    }
    Some(units::number::<u64>(rate.strip_suffix("r/m")?)?.checked_mul(1000)? / 60)
}
