//! The hashes that place keys on servers: those of nginx, so that a key keeps its server when nginx is
//! replaced.

use crate::config::{Address, Upstream};

/// Points of a server of weight 1 on the ring (nginx: 160, as ketama).
const POINTS: u32 = 160;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// CRC-32 (IEEE 802.3) of the parts together.
pub(super) fn crc32(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |crc, &byte| {
        TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

/// What Cache::Memcached adds to the hash of a key at its `step`th look for a server.
pub(super) fn memcached_step(key: &[u8], step: u32) -> u32 {
    let number = step.to_string();
    let prefix: &[u8] = if step == 0 { b"" } else { number.as_bytes() };
    (crc32(&[prefix, key]) >> 16) & 0x7fff
}

/// A ring of points, of which each server has as many as its weight says: few keys move when one
/// comes or goes.
#[derive(Debug)]
pub(super) struct Ring(Vec<(u32, usize)>);

impl Ring {
    /// The points of the servers that are no backups.
    pub(super) fn new(upstream: &Upstream) -> Self {
        let servers = upstream.servers.iter();
        let addresses = servers.flat_map(|server| {
            let addresses = server.addresses.iter();
            addresses.map(move |address| (server, address))
        });
        let numbered = addresses.enumerate();
        let points = numbered.filter(|(_, (server, _))| !server.is_backup);
        Self::of(points.map(|(index, (server, address))| (address, server.weight, index)))
    }

    /// The points of these: addresses, weights, and their numbers.
    pub(super) fn of<'a>(servers: impl Iterator<Item = (&'a Address, u32, usize)>) -> Self {
        let mut points = Vec::new();
        for (address, weight, index) in servers {
            add_points(&mut points, address, weight, index);
        }
        points.sort_unstable();
        points.dedup_by_key(|point| point.0);
        Self(points)
    }

    /// The first server at or behind `hash` that is available, looking at `most` points.
    pub(super) fn find(
        &self,
        hash: u32,
        most: u32,
        is_available: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let start = self.0.partition_point(|point| point.0 < hash);
        let points = self.0.iter().cycle().skip(start);
        // Points of one server may stand side by side: other servers count, not points.
        let mut looked_at: Vec<usize> = Vec::new();
        for &(_, index) in points.take(self.0.len()) {
            if looked_at.contains(&index) {
                continue;
            }
            if is_available(index) {
                return Some(index);
            }
            looked_at.push(index);
            if looked_at.len() >= most as usize {
                return None;
            }
        }
        None
    }
}

/// As Cache::Memcached::Fast: each point is hashed from the one before it.
fn add_points(points: &mut Vec<(u32, usize)>, address: &Address, weight: u32, index: usize) {
    let (host, port) = match address {
        Address::Inet(address) => (address.ip().to_string(), address.port().to_string()),
        Address::Unix(path) => (path.display().to_string(), String::new()),
    };
    let mut last = 0_u32;
    for _ in 0..weight.saturating_mul(POINTS) {
        last = crc32(&[host.as_bytes(), b"\0", port.as_bytes(), &last.to_le_bytes()]);
        points.push((last, index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamServer;

    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn few_keys_move_when_a_server_goes() {
        let server = |port| UpstreamServer::new(Address::Inet(([127, 0, 0, 1], port).into()));
        let ring = Ring::new(&Upstream::new("u", (1..=4).map(server).collect()));
        let mut moved = 0;
        for key in 0..1000_u32 {
            let hash = crc32(&[&key.to_le_bytes()]);
            let before = ring.find(hash, 20, |_| true).unwrap();
            let after = ring.find(hash, 20, |index| index != 3).unwrap();
            assert!(before == after || before == 3);
            moved += u32::from(before != after);
        }
        assert!((150..350).contains(&moved), "{moved}");
    }
}
