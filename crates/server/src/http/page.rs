//! Serves the chat page, whose files (`web/chat/public`) are embedded in the binary, with their security headers and
//! etags. It knows nothing about chat.

use std::borrow::Cow;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rust_embed::Embed;
use sha2::{Digest, Sha256};

/// The files of the page. Debug builds embed them too, so that etags and the policy are computed once in every build.
#[derive(Embed)]
#[folder = "../../web/chat/public"]
struct Files;

/// The page's routes: each file under its name, and `index.html` as `/`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Files::iter().filter_map(|name| Some((Files::get(&name)?.data, name))).fold(
        Router::new(),
        |router, (body, name)| {
            let asset = Asset::new(&name, body);
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            router.route(&path, get(move |request: HeaderMap| async move { asset.answer(&request) }))
        },
    )
}

/// The Content-Security-Policy of a document: it may load and talk to its own origin only. The hash of its one inline
/// style is computed from the document, so that the two always agree.
fn content_security_policy(document: &[u8]) -> String {
    let document = String::from_utf8_lossy(document);
    let style = document.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map_or("", |(s, _)| s);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{}'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(style.as_bytes()))
    )
}

/// A file of the page with its headers.
#[derive(Clone)]
struct Asset {
    etag: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asset {
    fn new(name: &str, body: Cow<'static, [u8]>) -> Self {
        let (content_type, policy) = match name.rsplit('.').next() {
            Some("html") => ("text/html; charset=utf-8", Some(content_security_policy(&body))),
            Some("js") => ("text/javascript; charset=utf-8", None),
            _ => ("application/octet-stream", None),
        };
        let etag = format!("\"{}\"", STANDARD.encode(Sha256::digest(&body)));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            // Browsers cache it and revalidate it each time, so that a new server never meets an old script.
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // Both are printable ASCII by construction; a test checks that they are there.
        for (name, value) in [(header::ETAG, Some(etag.clone())), (header::CONTENT_SECURITY_POLICY, policy)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        let body = match body {
            Cow::Borrowed(body) => Bytes::from_static(body),
            Cow::Owned(body) => body.into(),
        };
        Self { etag, headers, body }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let is_cached =
            request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
                value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.etag || tag.trim() == "*")
            });
        if is_cached {
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

    fn file(name: &str) -> String {
        let body = Files::get(name).expect("a file of the page").data;
        String::from_utf8(body.into_owned()).expect("UTF-8")
    }

    #[test]
    fn only_the_files_of_the_page_are_embedded() {
        assert_eq!(Files::iter().collect::<Vec<_>>(), ["index.html", "teahouse.js"]);
    }

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
        let document = file("index.html");
        assert_eq!(body, document.as_bytes());
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'sha256-"), "{policy}");
        // The document contains nothing that the policy forbids.
        assert_eq!(document.matches("<style>").count(), 1);
        for forbidden in [" style=", "<style ", "onclick", "onload", "javascript:", "http://localhost"] {
            assert!(!document.contains(forbidden), "{forbidden} is in the document");
        }
        assert_eq!(document.matches("<script").count(), 1);
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
        let script = file("teahouse.js");
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!script.contains(forbidden), "{forbidden} is in the script");
        }
    }
}
