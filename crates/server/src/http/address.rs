//! The address of a request's client. Only `server.trusted_proxies` are trusted with `X-Forwarded-For`, and only as far
//! as they wrote it: it is read from the right, up to the first address that is not a trusted proxy.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::ip_prefix::IpPrefix;

/// A client's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClientAddr {
    /// The address.
    pub address: IpAddr,
    /// Whether the peer is a trusted proxy, so that its other `X-Forwarded` headers count too.
    pub through_proxy: bool,
    /// Whether the proxy named a client that is not a trusted proxy itself.
    pub is_named: bool,
}

/// Whether an address belongs to a trusted proxy.
#[must_use]
pub(crate) fn is_trusted(address: IpAddr, trusted_proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted_proxies.iter().any(|network| network.contains(&address))
}

/// The address of the client behind this peer.
#[must_use]
pub(crate) fn resolve_client_addr(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> ClientAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted_proxies) {
        return ClientAddr { address: peer, through_proxy: false, is_named: false };
    }
    let mut nearest = peer;
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        // A proxy writes only addresses, so nothing left of this one can be trusted.
        let Some(address) = hop_address(hop.trim()) else { break };
        nearest = address;
        if !is_trusted(address, trusted_proxies) {
            return ClientAddr { address, through_proxy: true, is_named: true };
        }
    }
    ClientAddr { address: nearest, through_proxy: true, is_named: false }
}

/// Parses an address; some proxies append a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// Maximum peers that are named in the log. A proxy that is missing in the configuration is among the first.
const NAMED_MAX: usize = 64;

/// Peers that send `X-Forwarded-For` and are no trusted proxies. The log names each of them once.
#[derive(Default, Debug)]
pub(crate) struct UnlistedProxies(Mutex<HashSet<IpPrefix>>);

impl UnlistedProxies {
    /// Logs a peer whose `X-Forwarded-For` is ignored, unless it was logged before. Returns whether it did.
    pub(crate) fn log_once(&self, peer: IpAddr) -> bool {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = named.len() < NAMED_MAX && named.insert(IpPrefix::of(peer));
        drop(named);
        if is_new {
            tracing::warn!(
                address = %peer.to_canonical(),
                "ignored X-Forwarded-For; if a reverse proxy has this address, add it to server.trusted_proxies"
            );
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_counts_only_from_trusted_proxies() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let check = |peer: &str, forwarded: &[&str], expect: &str| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let found = resolve_client_addr(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(found.address.to_string(), expect, "{peer} {forwarded:?}");
        };
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::1", &["2001:db8::7"], "2001:db8::7");
        check("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7");
        check("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1");
        check("10.0.0.1", &["nonsense, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &[""], "10.0.0.1");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn a_peer_that_is_no_proxy_is_named_once_and_few_are() {
        let unlisted = UnlistedProxies::default();
        let named = |last: u8| unlisted.log_once([192, 0, 2, last].into());
        assert!(named(1) && !named(1));
        let named = (0..=255).filter(|last| named(*last)).count();
        assert_eq!(named, NAMED_MAX - 1);
    }
}
