//! Every classic envelope, byte for byte: what the old front end reads must never change by accident.
#![allow(missing_docs)]

use teahouse_core::{
    ErrorCode, Language, Message, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, UserId, Version,
};
use teahouse_protocol::classic::{self, Level};

fn person(id: u64, username: &str, nickname: &str) -> Profile {
    Profile { id: UserId(id), username: username.into(), nickname: nickname.into(), avatar: String::new() }
}

fn message(content: &str) -> Message {
    Message {
        id: MessageId(1),
        room: RoomId(3),
        seq: Seq(40),
        version: Version(57),
        sender: person(7, "amy", "Amy"),
        client_id: Some("c-1".into()),
        content: content.into(),
        kind: MessageKind::Text,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: None,
        deleted: false,
        // 2026-11-22T06:25:36.120Z
        sent_at: Timestamp(1_795_328_736_120),
    }
}

#[test]
fn message_is_a_lobby_message() {
    let expect = concat!(
        r#"{"type":"message","data":{"id":1,"user_id":7,"username":"amy","nickname":"Amy","avatar":"","content":"hi","#,
        r#""message_type":1,"send_time":"2026-11-22T06:25:36.120Z","status":1,"created_at":"2026-11-22T06:25:36.120Z"}}"#
    );
    assert_eq!(classic::message(&message("hi")), expect);
}

#[test]
fn content_cannot_break_out_of_its_string() {
    let text = classic::message(&message("\"},\"x\":\n\u{1}</script>茶👍"));
    assert!(text.contains(r#""content":"\"},\"x\":\n\u0001</script>茶👍","message_type":1"#), "{text}");
    assert!(!text.contains('\n'));
}

#[test]
fn online_count() {
    assert_eq!(classic::online_count(12), r#"{"type":"online_count","data":{"count":12}}"#);
}

#[test]
fn private_message_goes_to_the_receiver() {
    let expect = concat!(
        r#"{"type":"private_message","data":{"message":{"id":1,"conversation_id":3,"#,
        r#""sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},"#,
        r#""receiver":{"id":9,"username":"bob","nickname":"Bob","avatar":""},"#,
        r#""content":"hi","is_read":false,"is_self":false,"created_at":"2026-11-22T06:25:36.120Z"},"#,
        r#""sender_id":7,"message_id":1}}"#
    );
    assert_eq!(classic::private_message(&message("hi"), &person(9, "bob", "Bob")), expect);
}

#[test]
fn message_read() {
    let expect = r#"{"type":"message_read","data":{"conversation_id":3,"reader_id":7}}"#;
    assert_eq!(classic::message_read(RoomId(3), UserId(7)), expect);
}

#[test]
fn message_deleted() {
    assert_eq!(classic::message_deleted(MessageId(1)), r#"{"type":"message_deleted","data":{"id":1}}"#);
}

#[test]
fn heartbeat_has_the_time_in_whole_seconds() {
    let expect = r#"{"type":"heartbeat","data":{"timestamp":1795328736}}"#;
    assert_eq!(classic::heartbeat(Timestamp(1_795_328_736_120)), expect);
}

#[test]
fn notification() {
    let expect = r#"{"type":"notification","data":{"level":"error","code":"x","message":"y"}}"#;
    assert_eq!(classic::notification(Level::Error, "x", "y"), expect);
    let expect = r#"{"type":"notification","data":{"level":"error","code":"too_long","message":"内容过长。"}}"#;
    assert_eq!(classic::refusal(ErrorCode::TooLong, Language::Zh), expect);
    for language in [Language::En, Language::Zh] {
        let start = r#"{"type":"notification","data":{"level":"warning","code":""#;
        assert!(classic::displaced(language).starts_with(&format!("{start}displaced\",\"message\":\"")));
        assert!(classic::events_missed(language).starts_with(&format!("{start}events_missed\",\"message\":\"")));
    }
}
