//! The types of values: how each is parsed from text and printed. It knows no key.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::secret::Secret;

/// A type of values.
pub(super) trait Setting: Sized {
    /// Whether the value is printed without quotes.
    const BARE: bool = false;

    /// Parses the text; the error says what a valid text is.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text of this value.
    fn text(&self) -> String;

    /// The value as `teahouse config` prints it.
    fn show(&self) -> String {
        if Self::BARE { self.text() } else { format!("{:?}", self.text()) }
    }
}

impl Setting for Secret {
    const BARE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::new(text.to_owned()))
    }

    fn text(&self) -> String {
        "(set)".to_owned()
    }
}

/// A number of bytes, such as `65536`, `64KiB` or `1MiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ByteCount(pub usize);

const BYTE_UNITS: [(&str, usize); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl Setting for ByteCount {
    fn parse(text: &str) -> Result<Self, String> {
        BYTE_UNITS
            .iter()
            .find_map(|(unit, size)| text.strip_suffix(unit)?.trim().parse::<usize>().ok()?.checked_mul(*size))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a number of bytes such as 65536, 64KiB or 1MiB"))
    }

    fn text(&self) -> String {
        let unit = BYTE_UNITS.iter().find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size));
        unit.map_or_else(|| self.0.to_string(), |(unit, size)| format!("{}{unit}", self.0 / size))
    }
}

const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

impl Setting for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::ZERO);
        }
        TIME_UNITS
            .iter()
            .find_map(|(unit, millis)| text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(*millis))
            .map(Self::from_millis)
            .ok_or_else(|| format!("{text:?} is not a time such as 250ms, 10s, 5m, 24h or 30d"))
    }

    fn text(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let (unit, size) = TIME_UNITS[1..]
            .iter()
            .find(|(_, size)| millis != 0 && millis.is_multiple_of(*size))
            .unwrap_or(if millis == 0 { &TIME_UNITS[4] } else { &TIME_UNITS[0] });
        format!("{}{unit}", millis / size)
    }
}

/// The origin of a page (scheme, host, port), spelled as browsers send it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct WebOrigin(String);

impl WebOrigin {
    /// The text of an `Origin` header.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for WebOrigin {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not an origin such as https://www.example.org or http://localhost:5173");
        let lower = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or_else(invalid)?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(invalid()),
        };
        let host = rest.strip_suffix(default_port).unwrap_or(rest);
        let authority: axum::http::uri::Authority = host.parse().map_err(|_| invalid())?;
        let port = host.strip_prefix(authority.host()).ok_or_else(invalid)?;
        let port_is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let host_is_valid = !authority.host().is_empty() && !authority.host().contains(['*', '@']);
        if port_is_valid && host_is_valid { Ok(Self(format!("{scheme}://{host}"))) } else { Err(invalid()) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Setting for IpNet {
    fn parse(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(Self::from);
        address
            .or_else(|_| text.parse())
            .map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not an address with a port such as 127.0.0.1:8080 or [::]:8080"))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.into()) }
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for String {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Setting for bool {
    const BARE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            const BARE: bool = true;

            fn parse(text: &str) -> Result<Self, String> {
                text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a whole number from 0 up"))
            }

            fn text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

whole_numbers!(u32, usize);

impl<T: Setting> Setting for Option<T> {
    const BARE: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map(T::text).unwrap_or_default()
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "(not set)".to_owned(), T::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }

    fn text(&self) -> String {
        self.iter().map(T::text).collect::<Vec<_>>().join(",")
    }
}

/// The reverse proxies that are trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TrustedProxies {
    /// Those on this machine, while only this machine can connect.
    Loopback,
    /// These, and no others.
    Listed(Vec<IpNet>),
}

impl Setting for TrustedProxies {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "loopback" { Ok(Self::Loopback) } else { Vec::parse(text).map(Self::Listed) }
    }

    fn text(&self) -> String {
        match self {
            Self::Loopback => "loopback".to_owned(),
            Self::Listed(networks) => networks.text(),
        }
    }
}

/// A filter of log lines, in the syntax of `tracing_subscriber::EnvFilter`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogFilter(pub String);

impl Setting for LogFilter {
    fn parse(text: &str) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err(format!("{text:?} is not a filter such as info, debug or warn,teahouse_hub=debug")),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The format of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

impl Setting for LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither text nor json")),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}

/// A default as an operator would write it.
pub(super) struct DefaultText(pub(super) String);

impl From<&str> for DefaultText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<usize> for DefaultText {
    fn from(number: usize) -> Self {
        Self(number.to_string())
    }
}

impl From<Duration> for DefaultText {
    fn from(time: Duration) -> Self {
        Self(time.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Setting>(text: &str, expect: Option<&str>) {
        let read = T::parse(text).ok().map(|value| value.text());
        assert_eq!(read.as_deref(), expect, "{text:?} as {}", std::any::type_name::<T>());
    }

    #[test]
    fn times_are_a_number_with_a_unit_or_zero() {
        for (text, expect) in [
            ("10s", Some("10s")),
            ("250ms", Some("250ms")),
            ("1500ms", Some("1500ms")),
            ("24h", Some("1d")),
            ("30d", Some("30d")),
            ("90s", Some("90s")),
            ("5 m", Some("5m")),
            ("0", Some("0s")),
            ("0ms", Some("0s")),
            ("10", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("s", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            check::<Duration>(text, expect);
        }
    }

    #[test]
    fn byte_counts_take_binary_units() {
        for (text, expect) in [
            ("65536", Some("64KiB")),
            ("64KiB", Some("64KiB")),
            ("1MiB", Some("1MiB")),
            ("1000", Some("1000")),
            ("0", Some("0")),
            ("64kb", None),
            ("", None),
            ("-1", None),
        ] {
            check::<ByteCount>(text, expect);
        }
    }

    #[test]
    fn origins_are_spelled_as_browsers_spell_them() {
        for (text, expect) in [
            ("https://www.example.org", Some("https://www.example.org")),
            ("https://WWW.Example.org/", Some("https://www.example.org")),
            ("https://example.org:443", Some("https://example.org")),
            ("http://example.org:80", Some("http://example.org")),
            ("http://example.org:443", Some("http://example.org:443")),
            ("http://localhost:5173", Some("http://localhost:5173")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("*", None),
            ("https://*.example.org", None),
            ("https://example.org/chat", None),
            ("https://user@example.org", None),
            ("https://example.org:99999", None),
            ("example.org", None),
            ("ftp://example.org", None),
            ("https://", None),
            ("null", None),
        ] {
            check::<WebOrigin>(text, expect);
        }
    }

    #[test]
    fn lists_options_networks_and_enums_are_parsed() {
        check::<Vec<IpNet>>("10.0.0.0/8, 127.0.0.1,", Some("10.0.0.0/8,127.0.0.1/32"));
        check::<Vec<IpNet>>("", Some(""));
        check::<Vec<IpNet>>("10.0.0.0/8,proxy", None);
        check::<TrustedProxies>("loopback", Some("loopback"));
        check::<TrustedProxies>("", Some(""));
        check::<TrustedProxies>("10.0.0.1", Some("10.0.0.1/32"));
        check::<TrustedProxies>("loopback,10.0.0.1", None);
        check::<Option<u32>>("", Some(""));
        check::<Option<u32>>("0", Some("0"));
        check::<u32>("100_000", Some("100000"));
        check::<u32>("4294967296", None);
        check::<bool>("yes", None);
        check::<SocketAddr>("localhost", None);
        check::<SocketAddr>("[::]:8080", Some("[::]:8080"));
        check::<LogFormat>("xml", None);
        check::<LogFilter>("info,teahouse_hub=debug", Some("info,teahouse_hub=debug"));
        check::<LogFilter>("info,=,", None);
    }

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Some(Secret::new("hunter2".to_owned()));
        assert_eq!(format!("{secret:?}{}{}", secret.text(), secret.show()), "Some((set))(set)(set)");
    }
}
