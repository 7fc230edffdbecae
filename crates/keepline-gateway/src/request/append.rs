//! How the values of variables are written; those that answer say whether there is one.

use std::io::Write;

use keepline::net::PeerAddr;

use super::state::ip_of;
use super::time::append_seconds;

pub(super) fn append_some(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    match value {
        Some(value) => {
            out.extend_from_slice(value);
            true
        }
        None => false,
    }
}

pub(super) fn append_number(number: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "{number}");
}

pub(super) fn append_display(value: &dyn std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

pub(super) fn append_time(time: Option<std::time::Duration>, out: &mut Vec<u8>) {
    match time {
        Some(time) => append_seconds(time, out),
        None => out.push(b'-'),
    }
}

pub(super) fn append_peer(peer: PeerAddr, out: &mut Vec<u8>) -> bool {
    match peer {
        PeerAddr::Tcp(address) => append_display(&ip_of(address), out),
        _ => out.extend_from_slice(b"unix:"),
    }
    true
}

pub(super) fn append_port(peer: PeerAddr, out: &mut Vec<u8>) -> bool {
    match peer {
        PeerAddr::Tcp(address) => append_number(u64::from(address.port()), out),
        _ => return false,
    }
    true
}
