//! The refresh cookie, which continues a login. Browsers send it only to `/api/auth`, hide it from scripts, and never
//! send it from another site's page.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::config::Config;
use crate::session_tokens::RefreshSecret;

const NAME: &str = "teahouse_refresh";

/// The refresh token of a request.
pub(super) fn refresh_of(headers: &HeaderMap) -> Option<RefreshSecret> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == NAME && !value.is_empty())?;
    Some(RefreshSecret::presented(value.trim_matches('"')))
}

/// The `Set-Cookie` that stores a refresh token.
pub(super) fn keep(secret: &RefreshSecret, config: &Config) -> HeaderValue {
    cookie(secret.expose(), config.auth.refresh_ttl, config)
}

/// The `Set-Cookie` that removes it.
pub(super) fn forget(config: &Config) -> HeaderValue {
    cookie("", Duration::ZERO, config)
}

fn cookie(value: &str, max_age: Duration, config: &Config) -> HeaderValue {
    let https = config.server.public_url.as_ref().is_some_and(|url| url.as_str().starts_with("https://"));
    let secure = if https { "; Secure" } else { "" };
    let max_age = max_age.as_secs();
    let text = format!("{NAME}={value}; Path=/api/auth; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    // The value consists of hexadecimal digits, so that the header is always valid.
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
