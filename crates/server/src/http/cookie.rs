//! Two cookies: the refresh cookie, which continues a login, and the browser cookie, which says to which accounts a
//! browser logged in and outlives the login. Browsers send them only to `/api/auth`, hide them from scripts, and never
//! send them from another site's page.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::config::Config;
use crate::known_clients::KNOWN_FOR;
use crate::session_tokens::RefreshSecret;

const REFRESH: &str = "teahouse_refresh";
const BROWSER: &str = "teahouse_browser";

/// The refresh token of a request.
pub(super) fn refresh_of(headers: &HeaderMap) -> Option<RefreshSecret> {
    value_of(headers, REFRESH).map(RefreshSecret::presented)
}

/// The browser cookie of a request.
pub(super) fn browser_of(headers: &HeaderMap) -> Option<&str> {
    value_of(headers, BROWSER)
}

fn value_of<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == wanted && !value.is_empty())?;
    Some(value.trim_matches('"'))
}

/// The `Set-Cookie` that stores a refresh token.
pub(super) fn keep(secret: &RefreshSecret, config: &Config) -> HeaderValue {
    cookie(REFRESH, secret.expose(), config.auth.refresh_ttl, config)
}

/// The `Set-Cookie` that stores the browser cookie.
pub(super) fn keep_browser(value: &str, config: &Config) -> HeaderValue {
    cookie(BROWSER, value, KNOWN_FOR, config)
}

/// The `Set-Cookie` that removes the refresh token.
pub(super) fn forget(config: &Config) -> HeaderValue {
    cookie(REFRESH, "", Duration::ZERO, config)
}

fn cookie(name: &str, value: &str, max_age: Duration, config: &Config) -> HeaderValue {
    let https = config.server.public_url.as_ref().is_some_and(|url| url.as_str().starts_with("https://"));
    let secure = if https { "; Secure" } else { "" };
    let max_age = max_age.as_secs();
    let text = format!("{name}={value}; Path=/api/auth; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    // The value consists of letters, digits and `.-_~`, so that the header is always valid.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let check = |lines: &[&'static str], expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            assert_eq!(refresh_of(&headers).as_ref().map(RefreshSecret::expose), expect, "{lines:?}");
        };
        check(&["teahouse_refresh=abc"], Some("abc"));
        check(&["a=b; teahouse_refresh=abc; c=d"], Some("abc"));
        check(&["a=b", "teahouse_refresh=abc"], Some("abc"));
        check(&["xteahouse_refresh=abc"], None);
        check(&["teahouse_refresh="], None);
        check(&["teahouse_refresh"], None);
        check(&[], None);
    }
}
