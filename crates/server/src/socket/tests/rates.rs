//! Rate limits of envelopes.

use serde_json::json;
use teahouse_hub::{RequestHandler, RequestOutcome};

use super::{Session, received};
use crate::http::tests::fixture::fixture_with;

#[tokio::test]
async fn h15_sends_count_together_over_all_transports_and_dialects() {
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1")]);
    let (amy, bob) = (fixture.join("amy").await, fixture.join("bob").await);
    let (one, other) = (Session::of(&fixture, &amy), Session::of(&fixture, &amy));
    fixture.say(&amy, "classic, over HTTP").await;
    assert!(other.send_classic("message", json!({ "content": "classic" })).await.envelope.is_none());
    one.say("v1", "c-1").await.ack();
    other.say("v1, another session", "c-2").await.ack();
    let over_http = fixture.post("/api/v1/rooms/1/messages", Some(&amy), json!({ "content": "v1, over HTTP" })).await;
    assert_eq!(over_http.status, 201);

    let refused = one.say("one too many", "c-3").await;
    assert_eq!(refused.error(), ("rate_limited", None));
    let wait = refused.envelope.unwrap()["data"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    let classic = other.send_classic("message", json!({ "content": "one too many" })).await.envelope.unwrap();
    assert_eq!(classic["data"]["code"], "rate_limited");
    let over_http = fixture.post("/api/v1/rooms/1/messages", Some(&amy), json!({ "content": "one too many" })).await;
    assert_eq!(over_http.error(), (429, "rate_limited", None));
    assert_eq!(one.say("v1", "c-1").await.ack()["duplicate"], true, "a repeat succeeds at any rate");
    Session::of(&fixture, &bob).say("not me", "c-1").await.ack();
    assert_eq!(fixture.commits.messages().len(), 6);
}

#[tokio::test]
async fn every_other_envelope_counts_whether_it_succeeds_or_not() {
    let keys = [("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1")];
    for (kind, data) in [
        ("heartbeat", json!({})),
        ("edit", json!({ "message": 999, "content": "" })),
        ("message", json!({ "room": 1, "content": "", "client_id": "c" })),
        ("typing", json!({ "room": 1, "on": true })),
        ("hello", json!({})),
        ("dance", json!({})),
    ] {
        let fixture = fixture_with(&keys);
        let amy = fixture.join("amy").await;
        let (one, other) = (Session::of(&fixture, &amy), Session::of(&fixture, &amy));
        let text = json!({ "type": kind, "id": "r-1", "data": data }).to_string();
        match one.handler.handle_v1(&one.context, true, &text) {
            RequestOutcome::Hub { .. } => {}
            outcome => assert_ne!(received(outcome).await.envelope.unwrap()["data"]["code"], "rate_limited", "{kind}"),
        }
        let refused = other.send("heartbeat", json!({})).await;
        assert_eq!(refused.error(), ("rate_limited", None), "{kind}");
        assert!(refused.envelope.unwrap()["data"]["retry_after_ms"].as_u64().unwrap() > 0, "{kind}");
        let join = fixture.post("/api/v1/rooms/1/join", Some(&amy), json!({})).await;
        assert_eq!(join.status, 429, "{kind}");
    }
}

#[tokio::test]
async fn what_brings_text_to_many_counts_as_a_send_over_all_transports() {
    // Nobody sends anything here, whatever the time: everything that counts as a send is refused, and nothing else.
    let fixture = fixture_with(&[("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "0")]);
    let amy = fixture.join("amy").await;
    let session = Session::of(&fixture, &amy);
    let (limited, limited_here) = ((429, "rate_limited", None), ("rate_limited", None));
    let edit = |content: &str| json!({ "message": 999, "content": content });
    let update = json!({ "room": 1, "title": "T" });
    assert_eq!(session.say("hi", "c-1").await.error(), limited_here);
    assert_eq!(session.send("edit", edit("hi")).await.error(), limited_here);
    assert_eq!(session.send("update", update.clone()).await.error(), limited_here);
    assert_eq!(fixture.patch("/api/v1/messages/999", &amy, json!({ "content": "hi" })).await.error(), limited);
    assert_eq!(fixture.patch("/api/v1/rooms/1", &amy, json!({ "title": "T" })).await.error(), limited);
    assert_eq!(fixture.put("/api/auth/me", &amy, json!({ "avatar": "/a.png" })).await.error(), limited);
    assert_eq!(fixture.app.bounds.times("limits.sends_per_second"), 6);
    // What is invalid costs no send, and is refused for what it is.
    assert_eq!(session.send("edit", edit(" ")).await.error(), ("empty", Some("content")));
    let picture = fixture.put("/api/auth/me", &amy, json!({ "avatar": "data:,x" })).await;
    assert_eq!(picture.error(), (422, "bad_request", Some("avatar")));

    let keys = [("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "0"), ("TEAHOUSE_LIMITS__SENDS_BURST", "100")];
    let fixture = fixture_with(&keys);
    let amy = fixture.join("amy").await;
    let session = Session::of(&fixture, &amy);
    let message = session.say("hi", "c-1").await.ack()["id"].clone();
    for content in ["over a socket", "over a socket"] {
        session.send("edit", json!({ "message": message, "content": content })).await.ack();
    }
    let path = format!("/api/v1/messages/{message}");
    assert_eq!(fixture.patch(&path, &amy, json!({ "content": "over HTTP" })).await.status, 200);
    assert_eq!(fixture.put("/api/auth/me", &amy, json!({ "profile": { "nickname": "Amy" } })).await.status, 200);
    assert_eq!(session.send("update", update).await.error(), ("forbidden", None), "by the role, not the rate");
    assert_eq!(session.send("heartbeat", json!({})).await.error(), ("rate_limited", None));
}
