//! `resolver`.

use std::time::Duration;

use super::Builder;
use super::upstream;
use crate::conf::error::ConfError;
use crate::conf::tree::Directive;
use crate::conf::units;
use crate::conf::value::{invalid, unknown_parameter, unsupported};
use crate::config::{Address, Resolver};

const DNS_PORT: u16 = 53;
const PARAMETERS: [&str; 3] = ["valid=", "ipv4=", "ipv6="];

/// Reads the directive. Name servers that are named have all their addresses asked.
pub(super) fn resolver(
    directive: &Directive,
    builder: &Builder<'_>,
) -> Result<Resolver, ConfError> {
    let mut resolver = Resolver {
        servers: Vec::new(),
        valid: None,
        ipv4: true,
        ipv6: true,
    };
    for word in &directive.args {
        let is_on = |value: &str| match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(invalid(directive, word, "on or off")),
        };
        match word.text.split_once('=') {
            None => {
                let found =
                    upstream::addresses(&word.text, DNS_PORT, word, "resolver", builder.outside)?;
                for address in found {
                    match address {
                        Address::Inet(address) => resolver.servers.push(address),
                        Address::Unix(_) => {
                            return Err(invalid(directive, word, "the address of a name server"));
                        }
                    }
                }
            }
            Some(("valid", value)) => {
                let time = units::time(value).filter(|time| *time >= Duration::from_secs(1));
                let expected = "a time of at least a second";
                resolver.valid = Some(time.ok_or_else(|| invalid(directive, word, expected))?);
            }
            Some(("ipv4", value)) => resolver.ipv4 = is_on(value)?,
            Some(("ipv6", value)) => resolver.ipv6 = is_on(value)?,
            Some(("status_zone", _)) => return Err(unsupported(directive, word, "leave it out")),
            Some(_) => return Err(unknown_parameter(directive, word, &PARAMETERS)),
        }
    }
    if !resolver.ipv4 && !resolver.ipv6 {
        return Err(directive.error("\"ipv4\" and \"ipv6\" cannot both be \"off\""));
    }
    if resolver.servers.is_empty() {
        return Err(directive.error("no name servers defined"));
    }
    Ok(resolver)
}
