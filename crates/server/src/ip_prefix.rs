//! The prefix of a client's address: the addresses that a provider gives to one customer. Limits for an address count
//! its prefix.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct IpPrefix(IpAddr);

impl IpPrefix {
    /// The prefix of an address.
    #[must_use]
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            address => address,
        })
    }

    /// Its first address.
    #[must_use]
    pub(crate) fn first_address(self) -> IpAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_prefix_is_a_64_and_a_mapped_address_is_its_ipv4() {
        let same = |a: &str, b: &str| IpPrefix::of(a.parse().unwrap()) == IpPrefix::of(b.parse().unwrap());
        for (a, b, expect) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(same(a, b), expect, "{a} {b}");
        }
    }
}
