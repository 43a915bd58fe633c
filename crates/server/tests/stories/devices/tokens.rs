//! At the door of v1: who gets in, how long a token keeps one in, what ends a session, and what the log says of it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::house_with;
use crate::stage::{
    DEVICES, Device, PASSWORD, Person, Server, Wire, claims, handshake, now_seconds, signed, site_token,
};

const SOON: Duration = Duration::from_secs(1);

/// A token of the site that is good for so many seconds.
fn token_for(seconds: i64, id: u64, name: &str) -> String {
    let mut claims = claims(id, name);
    claims["exp"] = json!(now_seconds() + seconds);
    signed(&claims)
}

#[tokio::test]
async fn a_session_without_hello_is_closed_and_may_reconnect() {
    let (_server, [amy, bea]) = house_with(&[("TEAHOUSE_SESSIONS__HELLO_TIMEOUT", "2s")], ["amy", "bea"]);
    let (mut silent, mut talking) = (Device::of(&amy), Device::of(&bea));
    silent.connects().await;
    talking.connects().await;
    // To talk is not to say hello.
    talking.is_refused("heartbeat", json!({}), "bad_request").await;
    for device in [&mut silent, &mut talking] {
        let goodbye = device.is_closed(4002).await;
        assert_eq!(goodbye["reconnect"], true);
    }
    silent.comes_back().await;
    silent.is_alive().await;
}

#[tokio::test]
async fn h17_a_session_lives_exactly_as_long_as_its_newest_token() {
    let grace = ("TEAHOUSE_SESSIONS__TOKEN_GRACE", "1s");
    let (_server, [amy, bea]) = house_with(&[grace], ["amy", "bea"]);
    // Two seconds, of which a busy machine may use one to connect.
    let short = amy.clone().with_token(&token_for(3, amy.id, "amy"));
    let (mut careless, mut careful) = (Device::of(&short), Device::of(&short));
    let welcome = careless.comes().await;
    careful.comes().await;
    let expires = welcome["token_expires_in_ms"].as_u64().unwrap();
    assert!((1..=3000).contains(&expires), "{expires}");
    let began = now_seconds();

    // Neither a bad token nor somebody else's keeps it alive, and neither ends it.
    for (token, code) in [
        ("not.a.token".to_owned(), "unauthorized"),
        (token_for(-60, amy.id, "amy"), "unauthorized"),
        (bea.token.clone(), "forbidden"),
    ] {
        careful.is_refused("auth", json!({"token": token}), code).await;
    }
    let renewed = careful.does("auth", json!({"token": token_for(3600, amy.id, "amy")})).await;
    let expires = renewed["expires_in_ms"].as_u64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&expires), "{expires}");

    let goodbye = careless.is_closed(4101).await;
    assert_eq!(goodbye["reconnect"], true);
    assert!(now_seconds() >= began + 2, "not before the grace is over");
    careful.is_alive().await;
    // With a new token it resumes.
    careless.person = amy.clone().with_token(&site_token(amy.id, "amy"));
    careless.comes().await;
    careless.shows_the_same_as_a_fresh_load().await;
    careful.is_alive().await;
}

#[tokio::test]
async fn h17_p19_a_logout_ends_only_the_sessions_of_that_login() {
    let server = Server::alone(DEVICES);
    let amy = Person::register(&server, "amy").await;
    let elsewhere = amy.log_in().await;
    let (mut here, mut there, mut renewed) = (amy.device().await, elsewhere.device().await, elsewhere.device().await);
    // One goes on under another login's token, and so ends with that one.
    renewed.does("auth", json!({"token": amy.token})).await;
    let asked = Instant::now();
    amy.post("/api/auth/logout", json!({})).await.expect(200);
    for device in [&mut here, &mut renewed] {
        let goodbye = device.is_closed(4503).await;
        assert_eq!(goodbye["reconnect"], false);
    }
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    there.is_alive().await;
    assert!(here.tries_to_connect().await.unwrap_err().contains("401"));
    there.is_refused("auth", json!({"token": amy.token}), "unauthorized").await;
    there.is_alive().await;
}

#[tokio::test]
async fn h17_p19_a_password_change_ends_all_other_sessions() {
    let server = Server::alone(DEVICES);
    let amy = Person::register(&server, "amy").await;
    let elsewhere = amy.log_in().await;
    let (mut here, mut there) = (amy.device().await, elsewhere.device().await);
    let change = json!({"currentPassword": PASSWORD, "newPassword": "sencha8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    let asked = Instant::now();
    there.is_closed(4503).await;
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    here.is_alive().await;
    here.comes_back().await;
    here.is_alive().await;
}

#[tokio::test]
async fn h17_p19_disabling_a_user_ends_their_sessions_with_a_reason_and_no_others() {
    let server = Server::alone(DEVICES);
    let (amy, bea) = (Person::register(&server, "amy").await, Person::register(&server, "bea").await);
    let (mut phone, mut laptop, mut other) = (amy.device().await, amy.device().await, bea.device().await);
    server.command(&["user", "disable", "amy"]);
    let asked = Instant::now();
    for device in [&mut phone, &mut laptop] {
        let goodbye = device.is_closed(4502).await;
        assert_eq!(goodbye["reconnect"], false);
    }
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    other.is_alive().await;
    // Gone is gone: no linger for who was sent away.
    other.until_view("one", |view| view.online == 1).await;
    assert_eq!(bea.sees_online().await, [bea.id]);
    assert!(phone.tries_to_connect().await.unwrap_err().contains("401"));
    server.command(&["user", "enable", "amy"]);
    amy.log_in().await.device().await.is_alive().await;
}

#[tokio::test]
async fn only_the_v1_subprotocol_speaks_v1_and_a_token_is_required() {
    let server = Server::of_a_site(&[]);
    let token = site_token(7, "amy");
    let shake = async |offer: &str| {
        let mut wire = Wire::connect(server.address()).await;
        let head = handshake("", &format!("Sec-WebSocket-Protocol: {offer}\r\n")).replace("?token=", "");
        wire.write(head.as_bytes()).await;
        let answer = wire.read_head().await;
        (answer, wire)
    };
    for offer in ["teahouse.v1", "teahouse.v1, bearer.", "teahouse.v1, bearer.a.b.c", "bearer.a.b.c"] {
        assert!(shake(offer).await.0.starts_with("HTTP/1.1 401 "), "{offer}");
    }
    // What is not v1 by name is classic, whose first word is how many are online.
    for offer in [format!("teahouse.v2, bearer.{token}"), format!("Teahouse.V1, bearer.{token}")] {
        let (answer, mut wire) = shake(&offer).await;
        assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("teahouse"), "{answer}");
        let frame = wire.next_frame().await.unwrap();
        assert!(frame.text().contains("online_count"), "{}", frame.text());
    }
    // In v1 nothing is said before hello.
    let (answer, mut wire) = shake(&format!("teahouse.v1, bearer.{token}, device.{}", "x".repeat(300))).await;
    assert!(answer.to_lowercase().contains("sec-websocket-protocol: teahouse.v1\r\n"), "{answer}");
    assert!(!answer.contains(&token) && !answer.contains("device."), "{answer}");
    wire.send_frame(0x89, b"?").await;
    assert_eq!(wire.next_frame().await.unwrap().opcode, 0xA, "a pong, and nothing before it");
    wire.send_frame(0x82, b"binary").await;
    let goodbye = wire.next_frame().await.unwrap();
    assert!(goodbye.text().contains(r#""type":"goodbye""#) && goodbye.text().contains("1003"), "{}", goodbye.text());
    assert_eq!(wire.until_close_frame().await.0, 1003);
}

#[tokio::test]
async fn p18_h20_neither_tokens_nor_message_contents_are_logged() {
    let log = ("TEAHOUSE_LOG__FILTER", "trace");
    let server = Server::alone(&[DEVICES, &[log]].concat());
    let amy = Person::register(&server, "amy").await;
    let again = amy.log_in().await;
    let mut device = amy.device_named("her phone 4711".replace(' ', "-").as_str()).await;
    device.says(1, "a secret of mine").await;
    device.does("auth", json!({"token": again.token})).await;
    device.is_refused("auth", json!({"token": format!("{}x", again.token)}), "unauthorized").await;
    let room = device.does("create", json!({"kind": "private", "name": "hidden place"})).await["id"].clone();
    device.does("message", json!({"room": room, "content": "another secret", "client_id": "k"})).await;
    let bad = Person::stranger(&server).with_token(&format!("{}y", amy.token));
    assert!(Device::of(&bad).tries_to_connect().await.unwrap_err().contains("401"));
    device.sends("a secret that is no envelope").await;
    device.next_of("error").await;
    device.closes(1000).await;
    amy.post("/api/auth/logout", json!({})).await.expect(200);

    let log = server.log_line("path=\"/api/auth/logout\"") + &server.log();
    for person in [&amy, &again] {
        let (_, signature) = person.token.rsplit_once('.').unwrap();
        assert!(!log.contains(signature), "a token is in the log");
    }
    assert!(!log.contains("secret of mine") && !log.contains("another secret"), "what was said is in the log");
    assert!(!log.contains("secret that is no envelope"), "what was sent is in the log");
}
