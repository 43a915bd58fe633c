//! Histories and the envelopes of docs/protocol.md survive a round trip through their text form.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use teahouse_checker::wire::{Classic, Request, RequestBody, ServerBody, ServerEnvelope, read_classic, read_v1};
use teahouse_checker::{Dialect, End, Fact, History, ServerEvent, Socket};

/// Envelopes as a server sends them.
const ENVELOPES: &[&str] = &[
    r#"{"type":"welcome","id":"1","data":{"session":3,"epoch":"k3f","user":{"id":7,"username":"amy","role":"user"},"time":"t","heartbeat_ms":25000,"token_expires_in_ms":9,"limits":{},"online":{"count":2},"rooms":[{"id":9,"kind":"direct","name":null,"title":"","version":3,"last_seq":2,"read_seq":1,"unread":1,"members":2,"role":"member","muted":false,"peer":{"id":8,"username":"bo","nickname":"","avatar":"","online":true,"read_seq":2}},{"id":4,"kind":"private","name":"x","title":"","version":3,"last_seq":2,"read_seq":1,"unread":1,"members":2,"role":"member","muted":false,"reads":{"8":2}}]}}"#,
    r#"{"type":"catch_up","data":{"room":1,"from":1042,"reset":false}}"#,
    r#"{"type":"message","data":{"id":81,"room":1,"seq":40,"version":57,"client_id":"c","sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},"content":"hi","kind":"text","reply_to":null,"mentions":[9],"reactions":{"👍":3},"edited_at":null,"deleted":false,"send_time":"t","change":{"kind":"edit","user":9}}}"#,
    r#"{"type":"change","data":{"id":81,"room":1,"version":57,"reactions":{"👍":3},"change":{"kind":"react","user":9,"emoji":"👍","on":true}}}"#,
    r#"{"type":"message","data":{"id":81,"room":1,"seq":40,"version":57,"client_id":null,"sender":{"id":7},"content":"hi","kind":"text","reply_to":null,"mentions":[],"reactions":{},"edited_at":null,"deleted":false,"send_time":"t","change":{"kind":"new"}}}"#,
    r#"{"type":"caught_up","data":{"room":1,"version":1050,"my_reactions":{"81":["👍"]}}}"#,
    r#"{"type":"presence","data":{"room":4,"online":[7],"offline":[],"count":3}}"#,
    r#"{"type":"ack","id":"c-1","data":{"id":81,"seq":40,"version":57,"send_time":"t"}}"#,
    r#"{"type":"ack","id":"c-2","data":{}}"#,
    r#"{"type":"error","id":"c-3","data":{"code":"conflict","message":"…"}}"#,
    r#"{"type":"error","data":{"code":"bad_request","message":"…","field":"id"}}"#,
    r#"{"type":"goodbye","data":{"code":1012,"reason":"restart: come back","reconnect":true,"retry_ms":300}}"#,
];

#[test]
fn envelopes_are_parsed_and_round_trip() {
    for text in ENVELOPES {
        let envelope = read_v1(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        let again: ServerEnvelope = serde_json::from_str(&serde_json::to_string(&envelope).unwrap()).unwrap();
        assert_eq!(again, envelope);
    }
    let article = r#"{"type":"new_article","data":{"id":3}}"#;
    let kind = "new_article".to_owned();
    assert_eq!(read_v1(article).unwrap().body, ServerBody::Published { kind: kind.clone() });
    assert_eq!(read_classic(article).unwrap(), Classic::Published { kind });
    let deleted = read_classic(r#"{"type":"message_deleted","data":{"id":1}}"#).unwrap();
    assert_eq!(deleted, Classic::MessageDeleted { id: 1 });
    read_v1(r#"{"type":"message","data":{"id":81}}"#).unwrap_err();
}

#[test]
fn requests_are_written_as_a_server_reads_them() {
    let check = |body, expect: &str| {
        let request = Request { id: Some("c-1".to_owned()), body };
        assert_eq!(serde_json::to_string(&request).unwrap(), expect);
        assert_eq!(serde_json::from_str::<Request>(expect).unwrap(), request);
    };
    check(RequestBody::Heartbeat {}, r#"{"id":"c-1","type":"heartbeat","data":{}}"#);
    check(RequestBody::Read { room: 1, seq: 2 }, r#"{"id":"c-1","type":"read","data":{"room":1,"seq":2}}"#);
}

#[test]
fn a_stored_history_is_read_again() {
    let socket = Socket { user: 7, device: "phone".into(), dialect: Dialect::V1, number: 1 };
    let mut history = History::default();
    history.record(1, None, Fact::Server(ServerEvent::Started));
    history.record(2, Some(&socket), Fact::HandshakeSent { device: Some("phone".into()) });
    history.record(3, Some(&socket), Fact::HandshakeAnswered { status: 101 });
    history.record(
        4,
        Some(&socket),
        Fact::RequestSent(Request { id: None, body: RequestBody::Hello { epoch: None, rooms: vec![] } }),
    );
    for text in ENVELOPES {
        history.record(5, Some(&socket), Fact::EnvelopeReceived(read_v1(text).unwrap()));
    }
    history.record(6, Some(&socket), Fact::ClassicReceived(Classic::Heartbeat { timestamp: 3 }));
    history.record(7, Some(&socket), Fact::Ended(End::Closed { code: 4501, reason: "elsewhere".to_owned() }));
    history.record(8, None, Fact::ChangesEnded);
    let lines = history.to_lines();
    assert_eq!(History::from_lines(&lines).unwrap(), history, "{lines}");
    assert!(History::from_lines("{}\n").is_err());
}
