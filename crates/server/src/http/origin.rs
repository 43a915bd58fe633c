//! Which pages may open a WebSocket. A browser names the page's origin in `Origin`; it must be the server's own or a
//! configured one. A request without `Origin` does not come from a browser and passes.

use std::net::Ipv4Addr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use teahouse_core::ErrorCode;

use super::context::Context;
use crate::app::App;
use crate::errors::ApiError;
use crate::errors::messages as texts;

/// The origins that may connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllowedOrigins<'a> {
    /// The origin of the site (`server.public_url`).
    pub public_url: Option<&'a str>,
    /// Other configured origins (`server.allowed_origins`).
    pub listed: &'a [&'a str],
    /// The request's `Host`.
    pub host: Option<&'a str>,
    /// The `X-Forwarded-Host` of a trusted proxy.
    pub forwarded_host: Option<&'a str>,
    /// The server listens on loopback only: pages on any loopback port may connect, for development.
    pub loopback_only: bool,
}

/// Checks the origin of a handshake.
///
/// # Errors
/// 403, with the origin and the configuration key that would allow it.
pub(crate) fn check(app: &App, context: &Context, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // What a client sent comes before what its proxy added.
    let last_line = |name| headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
    // An origin that is not text matches none, like `null`.
    let Some(origin) = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("null")) else { return Ok(()) };
    let server = &app.config.server;
    let listed: Vec<&str> = server.allowed_origins.iter().map(|origin| origin.as_str()).collect();
    let allowed = AllowedOrigins {
        public_url: server.public_url.as_ref().map(|url| url.as_str()),
        listed: &listed,
        host: text(HOST.as_str()),
        forwarded_host: if context.through_proxy { last_line("x-forwarded-host") } else { None },
        loopback_only: server.listen.ip().to_canonical().is_loopback(),
    };
    let repeated = headers.get_all(ORIGIN).iter().nth(1).is_some();
    if !repeated && may_connect(origin, &allowed) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::Forbidden).with_message(texts::origin_not_allowed(origin)))
}

/// Whether a page of this origin may connect.
#[must_use]
pub(crate) fn may_connect(origin: &str, allowed: &AllowedOrigins<'_>) -> bool {
    let Some(page) = Site::of_origin(origin) else { return false };
    let configured = allowed.public_url.iter().chain(allowed.listed).filter_map(|origin| Site::of_origin(origin));
    // The trusted proxy wrote the last of several forwarded hosts.
    let forwarded = allowed.forwarded_host.and_then(|hosts| hosts.rsplit(',').next());
    let mut requested =
        allowed.host.into_iter().chain(forwarded).filter_map(|host| Site::of_host(host.trim(), page.scheme));
    configured.into_iter().any(|site| site == page)
        || requested.any(|site| site == page)
        || (allowed.loopback_only && page.is_loopback())
}

/// A scheme, a host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Site {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scheme {
    Http,
    Https,
}

impl Site {
    /// Parses an origin: a scheme and an authority, and nothing after them.
    fn of_origin(origin: &str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return None,
        };
        Self::of_host(authority, scheme)
    }

    /// Parses a `Host`. It has no scheme, and a proxy may have terminated TLS, so it gets the scheme of the page.
    fn of_host(host: &str, scheme: Scheme) -> Option<Self> {
        let authority: Authority = host.parse().ok()?;
        if host.contains('@') || authority.host().is_empty() {
            return None;
        }
        let default = match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let port = match host.strip_prefix(authority.host())? {
            "" => default,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self { scheme, host: authority.host().to_ascii_lowercase(), port })
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.parse::<Ipv4Addr>();
        self.host == "localhost" || self.host == "[::1]" || address.is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: AllowedOrigins<'_> =
        AllowedOrigins { public_url: None, listed: &[], host: None, forwarded_host: None, loopback_only: false };

    fn check(allowed: &AllowedOrigins<'_>, origin: &str, expect: bool) {
        assert_eq!(may_connect(origin, allowed), expect, "{origin} against {allowed:?}");
    }

    #[test]
    fn the_public_url_and_listed_origins_may_connect() {
        let allowed =
            AllowedOrigins { public_url: Some("https://example.org"), listed: &["http://localhost:5173"], ..NONE };
        for (origin, expect) in [
            ("https://example.org", true),
            ("https://EXAMPLE.org", true),
            ("https://example.org:443", true),
            ("http://localhost:5173", true),
            ("http://example.org", false),
            ("https://example.org:8443", false),
            ("http://localhost:5174", false),
            ("https://www.example.org", false),
        ] {
            check(&allowed, origin, expect);
        }
    }

    #[test]
    fn look_alikes_and_invalid_origins_may_not_connect() {
        let allowed = AllowedOrigins { public_url: Some("https://example.org"), host: Some("example.org"), ..NONE };
        for origin in [
            "null",
            "",
            "https://",
            "https://example.org.evil.com",
            "https://evil.com/example.org",
            "https://evilexample.org",
            "https://example.org@evil.com",
            "https://evil.com#example.org",
            "https://evil.com?example.org",
            "https://example.org.",
            "https://example.org/",
            "https://example.org:443:80",
            "https://example.org:",
            "https://example.org evil.com",
            "https://exаmple.org",
            "file://example.org",
            "chrome-extension://example.org",
            "//example.org",
            "example.org",
        ] {
            check(&allowed, origin, false);
        }
    }

    #[test]
    fn the_requested_host_may_connect_with_its_port() {
        for (host, origin, expect) in [
            ("chat.example.org", "https://chat.example.org", true),
            ("chat.example.org", "http://chat.example.org", true),
            ("chat.example.org:8080", "http://chat.example.org:8080", true),
            ("Chat.Example.org", "https://chat.example.org", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("chat.example.org:443", "https://chat.example.org", true),
            ("chat.example.org:8080", "http://chat.example.org", false),
            ("chat.example.org", "http://chat.example.org:8080", false),
            ("chat.example.org", "https://example.org", false),
            ("", "https://example.org", false),
        ] {
            check(&AllowedOrigins { host: Some(host), ..NONE }, origin, expect);
        }
    }

    #[test]
    fn of_several_forwarded_hosts_the_last_counts() {
        let allowed =
            |forwarded| AllowedOrigins { host: Some("backend:8080"), forwarded_host: Some(forwarded), ..NONE };
        check(&allowed("example.org"), "https://example.org", true);
        check(&allowed("evil.com, example.org"), "https://example.org", true);
        check(&allowed("evil.com, example.org"), "https://evil.com", false);
        check(&AllowedOrigins { host: Some("backend:8080"), ..NONE }, "https://example.org", false);
    }

    #[test]
    fn pages_on_loopback_may_connect_while_the_server_listens_there_only() {
        let allowed = AllowedOrigins { loopback_only: true, ..NONE };
        for (origin, expect) in [
            ("http://localhost:5173", true),
            ("http://127.0.0.1:3000", true),
            ("https://127.8.9.1", true),
            ("http://[::1]:5173", true),
            ("http://localhost.evil.com", false),
            ("http://127.0.0.1.evil.com", false),
            ("http://192.168.0.7:5173", false),
            ("null", false),
        ] {
            check(&allowed, origin, expect);
            check(&NONE, origin, false);
        }
    }
}
