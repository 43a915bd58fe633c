//! Invariants of request heads: query and headers are parsed or refused by name, a token never reaches the log, forwarded
//! addresses are trusted from listed proxies only, and only pages of the site may connect.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use teahouse::fuzzing::{Refused, read_head};
use teahouse_core::ids::ID_MAX;
use teahouse_core::limits::PAGE_MESSAGES_MAX;

use crate::json;

/// Characters of a logged URL, including the truncation mark.
const LOGGED_CHARS_MAX: usize = 513;

/// The first line is the URL, each other line a header.
pub(crate) fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(uri) = lines.next().and_then(|line| Uri::try_from(line).ok()) else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value)
            && headers.try_append(name, value).is_err()
        {
            return;
        }
    }
    let peer = IpAddr::from([203, 0, 113, 7]);
    let Some(head) = read_head(&uri, &headers, peer) else { return };

    assert!(head.redacted.chars().count() <= LOGGED_CHARS_MAX);
    if let Some(other) = with_other_tokens(&uri) {
        let other = read_head(&other, &headers, peer).map(|head| head.redacted);
        assert_eq!(other.as_ref(), Some(&head.redacted), "the log depends on a token");
    }
    match head.limit {
        Ok(limit) => assert!((1..=PAGE_MESSAGES_MAX).contains(&limit)),
        Err(refused) => assert_names(&refused, "limit"),
    }
    match head.before {
        Ok(id) => assert!(id.is_none_or(|id| (1..=ID_MAX).contains(&id))),
        Err(refused) => assert_names(&refused, "before_id"),
    }
    match head.users {
        Some(Ok(users)) => assert!(users.iter().all(|id| *id <= ID_MAX)),
        Some(Err(refused)) => assert_eq!(refused.status / 100, 4, "{refused:?}"),
        None => {}
    }
    assert!(head.id.is_none_or(|id| id <= ID_MAX));
    if let Err(refused) = head.key {
        assert_names(&refused, "Idempotency-Key");
    }
    assert!(head.cookie.is_none_or(|cookie| !cookie.contains(';')));
    let [untrusted, proxy] = head.client_addrs;
    assert_eq!(untrusted, (peer, false), "only a trusted proxy may name another address");
    assert!(proxy.1);
    if head.may_connect {
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let origin = headers["origin"].to_str().unwrap_or_default();
        assert_allowed(origin, host);
    }
}

/// The same URL with other token values.
fn with_other_tokens(uri: &Uri) -> Option<Uri> {
    let (path, query) = uri.path_and_query()?.as_str().split_once('?')?;
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.strip_prefix("token=") {
            Some(token) => format!("token={}", "x".repeat(token.len())),
            None => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&")).parse().ok()
}

fn assert_names(refused: &Refused, field: &str) {
    assert_eq!((refused.status, refused.field.as_deref()), (400, Some(field)));
    for body in &refused.bodies {
        assert_eq!(json(body).expect("an error is JSON")["data"]["field"], field);
    }
}

/// An origin is a listed one, or its host is the requested host; an independent formulation of the server's rule.
fn assert_allowed(origin: &str, host: &str) {
    let lower = origin.to_ascii_lowercase();
    let (scheme, site) = lower.split_once("://").expect("an origin has a scheme");
    assert!(["http", "https"].contains(&scheme), "{origin}");
    assert!(!site.contains(['/', '@', '?', '#', ' ', ',']), "{origin}");
    let default = if scheme == "http" { ":80" } else { ":443" };
    let bare = |site: &str| {
        let site = site.trim().to_ascii_lowercase();
        let (name, port) = match site.rsplit_once(':') {
            // The colons of an IPv6 address are within brackets.
            Some((name, port)) if !port.contains(']') => (name.to_owned(), format!(":{port}")),
            _ => (site, default.to_owned()),
        };
        // Port 080 equals 80.
        let number = port[1..].parse::<u16>().expect("a port is a number");
        format!("{name}:{number}")
    };
    let listed = [("https", "www.example.org"), ("http", "localhost:5173")];
    let is_listed = listed.iter().any(|(known, name)| *known == scheme && bare(name) == bare(site));
    assert!(is_listed || bare(site) == bare(host), "{origin} at {host}");
}
