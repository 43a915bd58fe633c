//! What the table of routes promises of every route: authentication, rates, addresses, the OpenAPI document. And how the
//! routes of `/api/v1` read their input.

use std::collections::BTreeSet;

use axum::body::Body;
use serde_json::json;
use teahouse_protocol::routes::{Auth, Endpoint, Handler, Input, ROUTES, RateClass, Route};

use super::fixture::*;

/// A path with something in the place of its parameters.
pub(super) fn filled(path: &str, with: &str) -> String {
    let filled = path.split('/').map(|part| if part.starts_with('{') { with } else { part });
    filled.collect::<Vec<_>>().join("/")
}

/// Every route but those that the router does not mount.
fn mounted() -> impl Iterator<Item = &'static Route> {
    let others = [Endpoint::Connect, Endpoint::Metrics].map(Handler::Endpoint);
    ROUTES.iter().filter(move |route| !others.contains(&route.handler))
}

#[tokio::test]
async fn every_route_is_mounted_and_wants_the_credentials_of_the_table() {
    let fixture = fixture();
    for route in mounted() {
        let (method, path) = (route.method.as_str(), filled(route.path, "1"));
        let answer = fixture.ask(request(method, &path, None).body(Body::empty()).unwrap()).await;
        let scheme = match route.auth {
            Auth::None => {
                // Nothing is wrong with the request but its body.
                let expect = if matches!(route.input, Input::Body(_)) { 422 } else { 200 };
                assert_eq!(answer.status, expect, "{method} {path}");
                continue;
            }
            Auth::ApiKey => "ApiKey",
            Auth::Bearer | Auth::Handshake | Auth::Cookie | Auth::BearerOrCookie => "Bearer",
        };
        assert_eq!(answer.status, UNAUTHORIZED, "{method} {path}");
        assert_eq!(answer.body["error_code"], "unauthorized", "{method} {path}");
        assert_eq!(answer.headers["www-authenticate"], scheme, "{method} {path}");
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_read_is_400_with_its_name() {
    let fixture =
        fixture_with(&[("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000"), ("TEAHOUSE_LIMITS__SENDS_BURST", "1000")]);
    let amy = fixture.join("amy").await;
    for route in mounted().filter(|route| route.path.contains('{') && route.auth == Auth::Bearer) {
        for wrong in ["x", "-1", "1.5", "9007199254740992"] {
            let (method, path) = (route.method.as_str(), filled(route.path, wrong));
            let answer = fixture.ask(request(method, &path, Some(&amy)).body(Body::empty()).unwrap()).await;
            let (status, code, field) = answer.error();
            assert_eq!((status, code), (400, "bad_request"), "{method} {path}");
            assert!(field.is_some_and(|field| route.has_path_parameter(field)), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn every_route_counts_against_the_limit_of_the_table() {
    let fixture = fixture_with(&[
        ("TEAHOUSE_LIMITS__READS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__READS_BURST", "1"),
        ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1"),
        ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__SENDS_BURST", "1"),
    ]);
    let body = r#"{"content":"hi","receiver_id":1}"#;
    for (at, route) in mounted().filter(|route| route.auth == Auth::Bearer).enumerate() {
        let someone = fixture.join(&format!("user{at}")).await;
        let ask = async |method: &str, path: &str| {
            fixture.ask(request(method, path, Some(&someone)).body(Body::from(body)).unwrap()).await.status
        };
        // One call of each class empties it; the other classes stay as they are.
        let (method, path) = (route.method.as_str(), filled(route.path, "1"));
        ask(method, &path).await;
        for (class, method, path) in [
            (RateClass::Reads, "GET", "/api/v1/rooms"),
            (RateClass::Envelopes, "POST", "/api/v1/rooms/1/join"),
            (RateClass::Sends, "POST", "/api/v1/rooms/1/messages"),
        ] {
            let is_limited = ask(method, path).await == 429;
            assert_eq!(is_limited, route.rate == class, "{} and {class:?}", route.name);
        }
    }
}

#[tokio::test]
async fn an_invalid_query_is_400_and_an_invalid_body_422() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__SENDS_BURST", "1000")]);
    let amy = fixture.join("amy").await;
    for (method, path, body, expect) in [
        ("GET", "/api/v1/rooms/1/messages?limit=0", "", (400, "bad_request", Some("limit"))),
        ("GET", "/api/v1/rooms/1/messages?limit=x", "", (400, "bad_request", Some("limit"))),
        ("GET", "/api/v1/rooms/1/messages?before=x", "", (400, "bad_request", Some("before"))),
        ("GET", "/api/v1/rooms/1/messages?before=9&after=1", "", (400, "bad_request", None)),
        ("GET", "/api/v1/rooms/1/messages?around=-1", "", (400, "bad_request", Some("around"))),
        ("GET", "/api/v1/rooms/1/changes", "", (400, "bad_request", Some("since"))),
        ("GET", "/api/v1/rooms/1/changes?since=", "", (400, "bad_request", Some("since"))),
        ("GET", "/api/v1/rooms/1/members?after=x", "", (400, "bad_request", Some("after"))),
        ("PUT", "/api/v1/messages/1/reactions/like", "", (400, "bad_request", Some("emoji"))),
        ("POST", "/api/v1/rooms/1/messages", "", (422, "bad_request", Some("content"))),
        ("POST", "/api/v1/rooms/1/messages", "{", (400, "bad_request", None)),
        ("POST", "/api/v1/rooms/1/messages", "[]", (400, "bad_request", None)),
        ("POST", "/api/v1/rooms/1/messages", r#"{"content":7}"#, (422, "bad_request", Some("content"))),
        ("POST", "/api/v1/rooms/1/messages", r#"{"content":" "}"#, (422, "empty", Some("content"))),
        (
            "POST",
            "/api/v1/rooms/1/messages",
            r#"{"content":"a","client_id":""}"#,
            (422, "bad_request", Some("client_id")),
        ),
        (
            "POST",
            "/api/v1/rooms/1/messages",
            r#"{"content":"a","client_id":7}"#,
            (422, "bad_request", Some("client_id")),
        ),
        (
            "POST",
            "/api/v1/rooms/1/messages",
            r#"{"content":"a","reply_to":"7"}"#,
            (422, "bad_request", Some("reply_to")),
        ),
        ("POST", "/api/v1/rooms/1/messages", r#"{"content":"a","content":"b"}"#, (422, "bad_request", Some("content"))),
        (
            "POST",
            "/api/v1/rooms/1/messages",
            r#"{"content":"a","client_id":"c","client_id":"c"}"#,
            (422, "bad_request", Some("client_id")),
        ),
        ("PATCH", "/api/v1/messages/1", "{}", (422, "bad_request", Some("content"))),
        ("PATCH", "/api/v1/messages/1", r#"{"content":"a","content":"a"}"#, (422, "bad_request", Some("content"))),
        ("POST", "/api/v1/rooms/1/read", r#"{"seq":-1}"#, (422, "bad_request", Some("seq"))),
        ("POST", "/api/v1/rooms", r#"{"name":"tea"}"#, (422, "bad_request", Some("kind"))),
        ("POST", "/api/v1/rooms", r#"{"kind":"secret","name":"tea"}"#, (422, "bad_request", Some("kind"))),
        ("POST", "/api/v1/rooms", r#"{"kind":"direct","name":"tea"}"#, (422, "bad_request", Some("kind"))),
        ("POST", "/api/v1/rooms", r#"{"kind":"public"}"#, (422, "bad_request", Some("name"))),
        ("POST", "/api/v1/rooms", r#"{"kind":"public","name":" "}"#, (422, "empty", Some("name"))),
        ("PUT", "/api/v1/rooms/1/members/1/role", r#"{"role":"king"}"#, (422, "bad_request", Some("role"))),
    ] {
        let asked = request(method, path, Some(&amy)).body(Body::from(body)).unwrap();
        assert_eq!(fixture.ask(asked).await.error(), expect, "{method} {path} {body}");
    }
    for (path, body, field) in [
        ("/api/v1/rooms", json!({ "kind": "public", "name": "茶".repeat(51) }), "name"),
        ("/api/v1/rooms", json!({ "kind": "public", "name": "tea", "title": "茶".repeat(201) }), "title"),
        ("/api/v1/rooms/1/messages", json!({ "content": "茶".repeat(4001) }), "content"),
    ] {
        assert_eq!(fixture.post(path, Some(&amy), body).await.error(), (422, "too_long", Some(field)), "{path}");
    }
    let long = format!("?query={}", "a".repeat(51));
    for path in ["/api/v1/rooms/browse", "/api/v1/users"] {
        let answer = fixture.get(&format!("{path}{long}"), Some(&amy)).await;
        assert_eq!(answer.error(), (422, "too_long", Some("query")), "{path}");
    }
    assert!(fixture.commits.messages().is_empty(), "nothing was stored");
}

#[tokio::test]
async fn the_address_takes_precedence_and_unknown_fields_are_ignored() {
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    let body = format!(r#"{{"content":"hi","room":999,"x":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let asked = request("POST", "/api/v1/rooms/1/messages?room=998&_t=1", Some(&amy)).body(body.into()).unwrap();
    assert_eq!(fixture.ask(asked).await.status, 201);
    assert_eq!(fixture.commits.messages()[0].0.room.0, 1);
    // A route without fields accepts any object, and no body.
    for body in ["", "{}", r#"{"room":999}"#, r#"{"room":998,"room":999,"x":1,"x":2}"#] {
        let asked = request("POST", "/api/v1/rooms/1/join", Some(&amy)).body(Body::from(body)).unwrap();
        assert_eq!(fixture.ask(asked).await.status, 200, "{body:?}");
    }
}

#[tokio::test]
async fn each_kind_of_request_has_its_rate() {
    let fixture = fixture_with(&[
        ("TEAHOUSE_LIMITS__READS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__READS_BURST", "2"),
        ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "2"),
        ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1"),
        ("TEAHOUSE_LIMITS__SENDS_BURST", "2"),
    ]);
    let amy = fixture.join("amy").await;
    for (method, path, body, good) in [
        ("GET", "/api/v1/rooms", "", 200),
        ("POST", "/api/v1/rooms/1/join", "", 200),
        ("POST", "/api/v1/rooms/1/messages", r#"{"content":"hi"}"#, 201),
    ] {
        for expect in [good, good, 429, 429] {
            let asked = request(method, path, Some(&amy)).body(Body::from(body)).unwrap();
            let answer = fixture.ask(asked).await;
            assert_eq!(answer.status, expect, "{method} {path} {answer:?}");
            assert_eq!(answer.headers.contains_key("retry-after"), expect == 429);
        }
    }
}

#[tokio::test]
async fn listed_origins_may_patch_too() {
    let fixture = fixture_with(&[("TEAHOUSE_SERVER__ALLOWED_ORIGINS", "https://www.example.org")]);
    let preflight = request("OPTIONS", "/api/v1/messages/1", None)
        .header("origin", "https://www.example.org")
        .header("access-control-request-method", "PATCH");
    let answer = fixture.ask(preflight.body(Body::empty()).unwrap()).await;
    let methods = answer.headers["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.split(',').any(|method| method == "PATCH"), "{methods}");
}

#[tokio::test]
async fn the_description_has_every_route_and_no_other() {
    let fixture = fixture();
    let description = fixture.get("/api/v1/openapi.json", None).await;
    assert_eq!(description.headers["content-type"], "application/json");
    assert!(description.body["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut described = BTreeSet::new();
    for (path, item) in description.body["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let table = ROUTES.iter().map(|route| (route.method.as_str().to_owned(), route.path.to_owned()));
    assert_eq!(described, table.collect());
}

#[tokio::test]
async fn a_whole_number_is_an_integer_however_json_writes_it() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__SENDS_BURST", "1000")]);
    let amy = fixture.join("amy").await;
    for (path, body, expect) in [
        ("/api/v1/rooms/1/messages", r#"{"content":"hi"}"#, 201),
        ("/api/v1/rooms/1/read", r#"{"seq":1.0}"#, 200),
        ("/api/v1/rooms/1/read", r#"{"seq":1e0}"#, 200),
        ("/api/v1/rooms/1/read", r#"{"seq":1.5}"#, 422),
        ("/api/v1/rooms/1/messages", r#"{"content":"hi","reply_to":30591789.0}"#, 404),
        // The classic dialect stays as it is.
        ("/api/messages/send", r#"{"content":"hi","receiver_id":1.0}"#, 422),
    ] {
        let asked = request("POST", path, Some(&amy)).body(Body::from(body)).unwrap();
        assert_eq!(fixture.ask(asked).await.status, expect, "{path} {body}");
    }
}

#[tokio::test]
async fn what_would_send_and_cannot_be_read_counts_as_another_envelope() {
    let fixture =
        fixture_with(&[("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "2")]);
    let sends = mounted().filter(|route| route.auth == Auth::Bearer && route.rate == RateClass::Sends);
    for (at, route) in sends.enumerate() {
        let someone = fixture.join(&format!("user{at}")).await;
        let ask = async |body: &str| {
            let asked = request(route.method.as_str(), &filled(route.path, "1"), Some(&someone));
            fixture.ask(asked.body(Body::from(body.to_owned())).unwrap()).await.status
        };
        let statuses = [ask("{").await, ask(r#"{"content":7,"name":7,"avatar":7}"#).await, ask("{").await];
        assert_eq!(statuses, [400, 422, 429], "{}", route.name);
    }
}
