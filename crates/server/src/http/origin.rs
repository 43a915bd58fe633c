//! Which pages may open a WebSocket. A browser says by `Origin` whose page asks; that must be our own
//! origin or a listed one. Whoever sends none is no browser.

use std::net::Ipv4Addr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use teahouse_core::ErrorCode;

use super::context::Context;
use crate::app::App;
use crate::errors::{ApiError, messages as texts};

/// What an origin is held against.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The site as browsers see it, as an origin.
    pub public_url: Option<&'a str>,
    /// Other origins whose pages may connect.
    pub allowed: &'a [&'a str],
    /// The request's `Host`.
    pub host: Option<&'a str>,
    /// The host that a listed proxy says was asked for; `None` from anybody else.
    pub forwarded_host: Option<&'a str>,
    /// The server listens on loopback only: whoever develops a page may do it on any port there.
    pub loopback_only: bool,
}

/// Refuses a handshake from a page that may not connect, naming the origin and the key to change.
///
/// # Errors
/// 403.
pub fn check(app: &App, context: &Context, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // An origin that is no text is somebody's, but nobody's whom we know.
    let Some(origin) = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("null")) else { return Ok(()) };
    let server = &app.config.server;
    let allowed: Vec<&str> = server.allowed_origins.iter().map(|origin| origin.as_str()).collect();
    let own = Own {
        public_url: server.public_url.as_ref().map(|url| url.as_str()),
        allowed: &allowed,
        host: text(HOST.as_str()),
        forwarded_host: if context.through_proxy { text("x-forwarded-host") } else { None },
        loopback_only: server.listen.ip().to_canonical().is_loopback(),
    };
    let twice = headers.get_all(ORIGIN).iter().nth(1).is_some();
    if !twice && may_connect(origin, &own) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::Forbidden).with_message(texts::origin_not_allowed(origin)))
}

/// Whether a page of this origin may connect.
#[must_use]
pub fn may_connect(origin: &str, own: &Own<'_>) -> bool {
    let Some(page) = Site::of_origin(origin) else { return false };
    let listed = own.public_url.iter().chain(own.allowed).filter_map(|origin| Site::of_origin(origin));
    // Of several forwarded hosts the last was written by the proxy that we know.
    let forwarded = own.forwarded_host.and_then(|hosts| hosts.rsplit(',').next());
    let mut asked = own.host.into_iter().chain(forwarded).filter_map(|host| Site::of_host(host.trim(), page.scheme));
    listed.into_iter().any(|site| site == page)
        || asked.any(|site| site == page)
        || (own.loopback_only && page.is_loopback())
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
    /// An origin is a scheme and an authority, and nothing behind it.
    fn of_origin(origin: &str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return None,
        };
        Self::of_host(authority, scheme)
    }

    /// A `Host` does not say its scheme: TLS may have ended at a proxy, so it is taken to be the page's.
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

    const NOBODY: Own<'_> =
        Own { public_url: None, allowed: &[], host: None, forwarded_host: None, loopback_only: false };

    fn check(own: &Own<'_>, origin: &str, expect: bool) {
        assert_eq!(may_connect(origin, own), expect, "{origin} against {own:?}");
    }

    #[test]
    fn the_public_address_and_listed_origins_may() {
        let own = Own { public_url: Some("https://example.org"), allowed: &["http://localhost:5173"], ..NOBODY };
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
            check(&own, origin, expect);
        }
    }

    #[test]
    fn look_alikes_and_what_is_no_origin_may_not() {
        let own = Own { public_url: Some("https://example.org"), host: Some("example.org"), ..NOBODY };
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
            check(&own, origin, false);
        }
    }

    #[test]
    fn the_host_that_was_asked_for_may_with_its_port() {
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
            check(&Own { host: Some(host), ..NOBODY }, origin, expect);
        }
    }

    #[test]
    fn of_forwarded_hosts_the_proxys_own_counts() {
        let own = |forwarded| Own { host: Some("backend:8080"), forwarded_host: Some(forwarded), ..NOBODY };
        check(&own("example.org"), "https://example.org", true);
        check(&own("evil.com, example.org"), "https://example.org", true);
        check(&own("evil.com, example.org"), "https://evil.com", false);
        check(&Own { host: Some("backend:8080"), ..NOBODY }, "https://example.org", false);
    }

    #[test]
    fn pages_on_loopback_may_while_the_server_listens_there_only() {
        let own = Own { loopback_only: true, ..NOBODY };
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
            check(&own, origin, expect);
            check(&NOBODY, origin, false);
        }
    }
}
