//! From where a request comes, if others stand in between.
//!
//! `X-Forwarded-For` is a list to which every proxy adds whom it was asked by, on the right; what stands
//! on the left anybody may have written. So it is read from the right, and only as far as those who
//! wrote it are proxies of ours: the first address that is none of them is who asks.

use std::net::{IpAddr, SocketAddr};
use std::str::{self, FromStr};

use http::HeaderMap;

use crate::wire::problem::Detail;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Entries that are looked at; a chain of proxies has a few.
const HOPS: usize = 16;

/// A range of addresses, such as `10.0.0.0/8`; a single one without a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    bits: u32,
}

impl Range {
    fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (u32::from(first) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (u128::from(first) ^ u128::from(address)) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Range {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address
            .parse()
            .map_err(|_| "must be an address, or a range such as 10.0.0.0/8")?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits.map(str::parse::<u32>) {
            None => most,
            Some(Ok(bits)) if bits <= most => bits,
            Some(Ok(_) | Err(_)) => return Err("has a length that its kind of address has not"),
        };
        Ok(Self { first, bits })
    }
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Range>);

impl TrustedProxies {
    /// Reads the setting `TRUSTED_PROXIES`: comma-separated addresses and ranges, blank ones ignored.
    ///
    /// # Errors
    /// Every fault.
    pub fn parse(list: &str) -> Result<Self, Vec<Detail>> {
        let (mut ranges, mut faults) = (Vec::new(), Vec::new());
        for (index, entry) in list.split(',').map(str::trim).enumerate() {
            if entry.is_empty() {
                continue;
            }
            match entry.parse() {
                Ok(range) => ranges.push(range),
                Err(issue) => faults.push(Detail::new(format!("TRUSTED_PROXIES[{index}]"), issue)),
            }
        }
        if faults.is_empty() {
            Ok(Self(ranges))
        } else {
            Err(faults)
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(address))
    }

    /// Who asks, where `peer` is at the other end of the connection.
    #[must_use]
    pub fn asker(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut asker = peer;
        if self.0.is_empty() {
            return asker.to_canonical();
        }
        let lists = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lists.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries.take(HOPS) {
            if !self.contains(asker) {
                break;
            }
            // What no proxy of ours would write ends the chain; to pass over it would be to believe
            // what stands left of it.
            let Some(before) = address(entry.trim_ascii()) else {
                break;
            };
            asker = before;
        }
        asker.to_canonical()
    }
}

/// An address, with a port or without.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    let with_port = || text.parse::<SocketAddr>().map(|it| it.ip());
    text.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asker(trusted: &str, peer: &str, lists: &[&str]) -> String {
        let trusted = TrustedProxies::parse(trusted).unwrap();
        let mut headers = HeaderMap::new();
        for list in lists {
            let list = HeaderValue::from_bytes(list.as_bytes()).unwrap();
            headers.append(FORWARDED_FOR, list);
        }
        trusted.asker(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_no_proxy_of_ours() {
        for (trusted, peer, lists, expected) in [
            ("", "10.0.0.1", &["1.2.3.4"][..], "10.0.0.1"),
            ("10.0.0.0/8", "11.0.0.1", &["1.2.3.4"], "11.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            // Whatever stands on the left was written by whoever asks.
            ("10.0.0.0/8", "10.0.0.1", &["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            (
                "10.0.0.0/8",
                "10.0.0.1",
                &["9.9.9.9, 1.2.3.4, 10.0.0.2"],
                "1.2.3.4",
            ),
            ("10.0.0.0/8", "10.0.0.1", &["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4, nonsense"], "10.0.0.1"),
            // Not even if it is no text, in a line of its own or in that of the proxy.
            (
                "10.0.0.0/8",
                "10.0.0.1",
                &["9.9.9.9", "ü, 1.2.3.4"],
                "1.2.3.4",
            ),
            ("10.0.0.0/8", "10.0.0.1", &["9.9.9.9", "ü"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["1.2.3.4:50123"], "1.2.3.4"),
            (
                "10.0.0.0/8",
                "10.0.0.1",
                &["[2001:db8::7]:50123"],
                "2001:db8::7",
            ),
            ("10.0.0.0/8", "10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &[], "10.0.0.1"),
            ("fd00::/8", "fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", "::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("0.0.0.0/0", "10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
        ] {
            assert_eq!(
                asker(trusted, peer, lists),
                expected,
                "{trusted} {peer} {lists:?}"
            );
        }
    }

    #[test]
    fn every_fault_of_the_setting_is_named() {
        let faults = TrustedProxies::parse("10.0.0.0/33, ::1, proxy, 10.0.0.0/x").unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "TRUSTED_PROXIES[0]",
                "TRUSTED_PROXIES[2]",
                "TRUSTED_PROXIES[3]"
            ]
        );
    }
}
