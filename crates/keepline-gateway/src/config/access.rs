//! Who may, and who a client really is: `allow`, `deny`, `set_real_ip_from`, `real_ip_header`.

use std::net::IpAddr;

/// A range of addresses: `10.0.0.0/8`, `unix:` or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// Every client.
    All,
    /// Clients of Unix sockets.
    Unix,
    /// The addresses whose first `prefix` bits are those of `address`.
    Inet {
        /// The address; the bits behind the prefix are 0.
        address: IpAddr,
        /// How many bits count: at most 32 or 128.
        prefix: u8,
    },
}

/// `allow` or `deny`. The first rule that matches decides; none is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRule {
    /// Who.
    pub network: Network,
    /// `allow` rather than `deny`.
    pub allows: bool,
}

/// Where the real address of a client is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealIpSource {
    /// `X-Forwarded-For`: a list, of which the last counts.
    XForwardedFor,
    /// Another field, in lower case, with one address.
    Field(Box<str>),
}

/// `set_real_ip_from` and what belongs to it. Without a trusted network it does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealIp {
    /// `set_real_ip_from`: who is believed.
    pub from: Vec<Network>,
    /// `real_ip_header`. Default `X-Real-IP`.
    pub source: RealIpSource,
    /// `real_ip_recursive`: the last address that is not trusted itself. Default off.
    pub is_recursive: bool,
}

impl Default for RealIp {
    fn default() -> Self {
        Self {
            from: Vec::new(),
            source: RealIpSource::Field("x-real-ip".into()),
            is_recursive: false,
        }
    }
}
