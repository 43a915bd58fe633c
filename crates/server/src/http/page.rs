//! The first chat page, inside the binary: one document and one script, with the headers that keep them to themselves.
//! It knows nothing of chatting; a page that outgrows it takes its place here.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

const DOCUMENT: &str = include_str!("../../../../web/chat/index.html");
const SCRIPT: &str = include_str!("../../../../web/chat/teahouse.js");

/// The page's routes: `/` and `/teahouse.js`.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let document = Asset::new("text/html; charset=utf-8", DOCUMENT, Some(policy(DOCUMENT)));
    let script = Asset::new("text/javascript; charset=utf-8", SCRIPT, None);
    Router::new()
        .route("/", get(move |request: HeaderMap| async move { document.answer(&request) }))
        .route("/teahouse.js", get(move |request: HeaderMap| async move { script.answer(&request) }))
}

/// What the document may load and talk to: itself. Its one inline style is allowed by its hash, which is taken from
/// the document when the server starts, so that the two cannot drift apart.
fn policy(document: &str) -> String {
    let style = document.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map_or("", |(s, _)| s);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{}'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(style.as_bytes()))
    )
}

/// A file of the page with its headers, made once.
#[derive(Clone)]
struct Asset {
    etag: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asset {
    fn new(content_type: &'static str, text: &'static str, policy: Option<String>) -> Self {
        let etag = format!("\"{}\"", STANDARD.encode(Sha256::digest(text.as_bytes())));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            // Kept, but asked for again each time: a new server never meets an old script.
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // Both are printable ASCII by construction; a header that cannot be made is left out, and a test looks for it.
        for (name, value) in [(header::ETAG, Some(etag.clone())), (header::CONTENT_SECURITY_POLICY, policy)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        Self { etag, headers, body: Bytes::from_static(text.as_bytes()) }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let known =
            request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
                value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.etag || tag.trim() == "*")
            });
        if known {
            let mut headers = self.headers.clone();
            headers.remove(header::CONTENT_TYPE);
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (self.headers.clone(), self.body.clone()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::Service;

    use super::*;

    async fn get(path: &str, none_match: Option<&str>) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::get(path);
        if let Some(tag) = none_match {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = routes::<()>().call(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.expect("a body").to_bytes())
    }

    #[tokio::test]
    async fn the_document_allows_its_own_style_and_script_and_nothing_else() {
        let (status, headers, body) = get("/", None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, DOCUMENT.as_bytes());
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'sha256-"), "{policy}");
        // What the policy would forbid has no place in the document.
        assert_eq!(DOCUMENT.matches("<style>").count(), 1);
        for forbidden in [" style=", "<style ", "onclick", "onload", "javascript:", "http://localhost"] {
            assert!(!DOCUMENT.contains(forbidden), "{forbidden} is in the document");
        }
        assert_eq!(DOCUMENT.matches("<script").count(), 1);
    }

    #[tokio::test]
    async fn both_files_are_asked_for_again_and_not_sent_again() {
        for path in ["/", "/teahouse.js"] {
            let (_, headers, body) = get(path, None).await;
            assert!(!body.is_empty());
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
            let etag = headers[header::ETAG].to_str().expect("ASCII").to_owned();
            let weak = format!("\"other\", W/{etag}");
            for (none_match, status) in [(etag.as_str(), 304), (weak.as_str(), 304), ("*", 304), ("\"other\"", 200)] {
                let (got, headers, body) = get(path, Some(none_match)).await;
                assert_eq!(got.as_u16(), status);
                assert_eq!(body.is_empty(), status == 304);
                assert_eq!(headers[header::ETAG], etag.as_str());
            }
        }
    }

    #[test]
    fn the_script_writes_text_and_never_markup() {
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden} is in the script");
        }
    }
}
