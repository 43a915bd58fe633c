//! Golden bodies: every classic HTTP response, byte for byte.

use serde::Serialize;
use teahouse_core::{
    ErrorCode, Message, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, User, UserId, UserRole, Version,
};

use super::*;
use crate::http::{Done, error, raw_json, success};

const NOON: Timestamp = Timestamp(1_795_328_736_120);

fn profile(id: u64, name: &str) -> Profile {
    Profile { id: UserId(id), username: name.to_lowercase(), nickname: name.into(), avatar: String::new() }
}

fn amy() -> User {
    User {
        profile: profile(7, "Amy"),
        email: Some("amy@example.org".into()),
        bio: "tea".into(),
        role: UserRole::User,
        disabled: false,
        muted_until: None,
        created_at: NOON,
    }
}

fn message(id: u64, seq: u64, sender: Profile) -> Message {
    Message {
        id: MessageId(id),
        room: RoomId(3),
        seq: Seq(seq),
        version: Version(seq),
        sender,
        client_id: Some("c".into()),
        content: "hi".into(),
        kind: MessageKind::Text,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: None,
        deleted: false,
        sent_at: NOON,
    }
}

fn check<T: Serialize>(body: &T, golden: &str) {
    assert_eq!(raw_json(body).get(), golden.split('\n').map(str::trim).collect::<String>());
}

const AMY: &str = r#""id":7,"username":"amy","email":"amy@example.org","auth_status":1,"account_status":1,"avatar":"","nickname":"Amy","bio":"tea","role":"user""#;

#[test]
fn every_response_has_the_envelope() {
    let data = raw_json(&Done::OK);
    assert_eq!(
        success(200, "OK", &data, "r-1"),
        r#"{"code":200,"message":"OK","data":{"ok":true},"request_id":"r-1"}"#
    );
    assert_eq!(
        error(404, ErrorCode::NotFound, "No.", None, "r-1"),
        r#"{"code":404,"message":"No.","error_code":"not_found","data":null,"request_id":"r-1"}"#
    );
    assert_eq!(
        error(422, ErrorCode::BadRequest, "No.", Some("email"), "r-1"),
        r#"{"code":422,"message":"No.","error_code":"bad_request","data":{"field":"email"},"request_id":"r-1"}"#
    );
}

#[test]
fn accounts() {
    check(&LoggedIn::new("t", &amy()), &format!(r#"{{"token":"t","user":{{{AMY}}}}}"#));
    check(&Refreshed::new("t", NOON), r#"{"token":"t","expires_at":"2026-11-22T06:25:36.120Z"}"#);
    check(
        &OwnAccount::from(&amy()),
        &format!(
            r#"{{{AMY},"profile":{{"nickname":"Amy","bio":"tea","avatar_url":""}},"created_at":"2026-11-22T06:25:36.120Z"}}"#
        ),
    );
    check(
        &PublicUser::from(&amy()),
        r#"{"id":7,"username":"amy","nickname":"Amy","avatar":"","role":"user",
            "profile":{"nickname":"Amy","bio":"tea","avatar_url":""},"created_at":"2026-11-22T06:25:36.120Z"}"#,
    );
}

#[test]
fn an_account_without_an_address_has_an_empty_one() {
    let user = User { email: None, ..amy() };
    assert!(raw_json(&Account::from(&user)).get().contains(r#""email":"","#));
}

#[test]
fn the_lobby() {
    check(&Sent::new(MessageId(1), NOON), r#"{"message_id":1,"send_time":"2026-11-22T06:25:36.120Z"}"#);
    check(
        &ChatPage::new(&[message(1, 1, profile(7, "Amy"))], true),
        r#"{"messages":[{"id":1,"user_id":7,"username":"amy","nickname":"Amy","avatar":"","content":"hi",
            "message_type":1,"send_time":"2026-11-22T06:25:36.120Z","status":1,
            "created_at":"2026-11-22T06:25:36.120Z"}],"has_more":true}"#,
    );
    check(&OnlineCount { count: 12 }, r#"{"count":12}"#);
    check(
        &OnlineUsers::new(&[profile(7, "Amy")]),
        r#"{"users":[{"user_id":7,"username":"amy","nickname":"Amy","avatar":""}],"count":1}"#,
    );
}

#[test]
fn conversations() {
    let bo = profile(9, "Bo");
    let entries = vec![
        ConversationBody::new(RoomId(3), &bo, Some(("hi", NOON)), 2, NOON),
        ConversationBody::new(RoomId(4), &bo, None, 0, NOON),
    ];
    check(
        &Conversations::new(entries),
        r#"{"conversations":[{"id":3,"other_user":{"id":9,"username":"bo","nickname":"Bo","avatar":""},
            "last_message":"hi","last_message_time":"2026-11-22T06:25:36.120Z","unread_count":2,
            "created_at":"2026-11-22T06:25:36.120Z"},
            {"id":4,"other_user":{"id":9,"username":"bo","nickname":"Bo","avatar":""},"last_message":"",
            "last_message_time":null,"unread_count":0,"created_at":"2026-11-22T06:25:36.120Z"}],"total_unread":2}"#,
    );
    check(&UnreadCount { unread_count: 2 }, r#"{"unread_count":2}"#);
    check(&Started::new(RoomId(3)), r#"{"conversation_id":3}"#);
    check(&PrivateSent::new(MessageId(1), RoomId(3)), r#"{"message_id":1,"conversation_id":3}"#);
}

#[test]
fn a_message_is_read_when_the_other_side_has_read_it() {
    let (own, peer) = (profile(7, "Amy"), profile(9, "Bo"));
    let glance = ConversationReader { own: &own, peer: &peer, read_seq: Seq(2), peer_read_seq: Seq(1) };
    let messages = [message(1, 1, own.clone()), message(2, 2, peer.clone()), message(3, 3, own.clone())];
    check(
        &ConversationPage::new(&messages, &glance),
        r#"{"messages":[
            {"id":1,"conversation_id":3,"sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},
             "receiver":{"id":9,"username":"bo","nickname":"Bo","avatar":""},"content":"hi",
             "is_read":true,"is_self":true,"created_at":"2026-11-22T06:25:36.120Z"},
            {"id":2,"conversation_id":3,"sender":{"id":9,"username":"bo","nickname":"Bo","avatar":""},
             "receiver":{"id":7,"username":"amy","nickname":"Amy","avatar":""},"content":"hi",
             "is_read":true,"is_self":false,"created_at":"2026-11-22T06:25:36.120Z"},
            {"id":3,"conversation_id":3,"sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},
             "receiver":{"id":9,"username":"bo","nickname":"Bo","avatar":""},"content":"hi",
             "is_read":false,"is_self":true,"created_at":"2026-11-22T06:25:36.120Z"}],"total":3}"#,
    );
}

#[test]
fn request_bodies_ignore_unknown_fields_and_allow_absent_ones() {
    let body: ProfileBody = serde_json::from_str(r#"{"_t":1,"profile":{"nickname":"A","province":"x"}}"#).unwrap();
    assert!(body.avatar.is_none());
    assert_eq!(body.profile.unwrap().nickname.as_deref(), Some("A"));
    let body: ChangePasswordBody =
        serde_json::from_str(r#"{"currentPassword":"a","newPassword":"b","confirmPassword":"b"}"#).unwrap();
    assert_eq!((body.current.as_str(), body.new.as_str()), ("a", "b"));
}

#[test]
fn a_profile_is_an_object_or_null() {
    let read = |text: &str| serde_json::from_str::<ProfileBody>(text).map(|body| body.profile.is_some()).ok();
    assert_eq!(read("{}"), Some(false));
    assert_eq!(read(r#"{"profile":null}"#), Some(false));
    assert_eq!(read(r#"{"profile":{}}"#), Some(true));
    for wrong in [r#"{"profile":[null,null]}"#, r#"{"profile":7}"#, r#"{"profile":{"bio":7}}"#] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}
