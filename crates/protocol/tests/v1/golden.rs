//! Every v1 envelope, byte for byte: what clients read must never change by accident.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use teahouse_core::{
    CloseCode, DirectsPosition, ErrorCode, LOBBY, Language, Message, MessageChange, MessageId, MessageKind,
    MoreDirects, Role, RoomCard, RoomId, RoomList, Seq, Timestamp, User, UserId, UserRole, Version,
};
use teahouse_protocol::classic;
use teahouse_protocol::v1::*;

use crate::fixtures::{self, NOW, amy, bob, message, person, user};

/// A frame, and its expected bytes.
pub(crate) struct Golden {
    pub frame: String,
    pub expect: String,
}

fn golden(frame: String, expect: impl Into<String>) -> Golden {
    Golden { frame, expect: expect.into() }
}

/// The response to a request.
pub(crate) struct GoldenAck {
    /// The request's type.
    pub of: &'static str,
    pub frame: String,
    /// Its expected `data`.
    pub expect: &'static str,
}

pub(crate) fn events() -> Vec<Golden> {
    [beginning(), messages(), marks(), rooms(), notices()].into_iter().flatten().collect()
}

const MESSAGE: &str = concat!(
    r#"{"id":81,"room":1,"seq":40,"version":57,"client_id":"c-1","#,
    r#""sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},"content":"hi","kind":"text","#,
    r#""reply_to":null,"mentions":[],"reactions":{},"edited_at":null,"deleted":false,"#,
    r#""send_time":"2026-11-22T06:25:36.120Z"}"#
);

const LOBBY_ENTRY: &str = concat!(
    r#"{"id":1,"kind":"public","name":"lobby","title":"","version":57,"last_seq":40,"read_seq":38,"unread":2,"#,
    r#""members":12,"role":"member","muted":false}"#
);

fn private_entry() -> String {
    let start = concat!(
        r#"{"id":7,"kind":"private","name":"tea","title":"All about tea","version":57,"last_seq":40,"read_seq":38,"#,
        r#""unread":2,"members":2,"role":"owner","muted":true,"last_message":"#
    );
    let last = MESSAGE.replace(r#""room":1"#, r#""room":7"#);
    format!(r#"{start}{last},"reads":{{"9":39,"11":4}}}}"#)
}

const DIRECT_ENTRY: &str = concat!(
    r#"{"id":3,"kind":"direct","name":null,"title":"","version":57,"last_seq":40,"read_seq":38,"unread":2,"#,
    r#""members":2,"role":"member","muted":false,"peer":{"id":9,"username":"bob","nickname":"Bob","#,
    r#""avatar":"https://example.org/bob.png","online":true,"read_seq":40}}"#
);

const INVITE: &str = concat!(
    r#"{"room":{"id":7,"kind":"private","name":"tea","title":"All about tea","members":2},"inviter":{"id":9,"#,
    r#""username":"bob","nickname":"Bob","avatar":"https://example.org/bob.png"},"time":"2026-11-22T06:25:36.120Z"}"#
);

fn beginning() -> Vec<Golden> {
    let entries = vec![fixtures::lobby(), fixtures::direct_room(), fixtures::private_room()];
    let more_directs = Some(MoreDirects { rooms: 3, unread: 5, requests: 2 });
    let (list, empty) =
        (RoomList { rooms: entries, more_directs, invites: vec![fixtures::invite()] }, RoomList::default());
    let amy = user();
    let admin = User { role: UserRole::Admin, ..user() };
    let limits = concat!(
        r#"{"content_chars_max":4000,"frame_bytes_max":65536,"sends_per_second":3,"sends_burst":5,"#,
        r#""envelopes_per_second":20,"envelopes_burst":60,"history_messages_max":100}"#
    );
    let expect = |id: &str, role: &str, rooms: &str| {
        let user = format!(r#"{{"id":7,"username":"amy","nickname":"Amy","avatar":"","role":"{role}"}}"#);
        let times =
            r#""time":"2026-11-22T06:25:36.120Z","heartbeat_ms":25000,"token_expires_in_ms":86400000,"limits":"#;
        format!(
            r#"{{"type":"welcome",{id}"data":{{"session":4,"epoch":"k3f","user":{user},{times}{limits},"online":{{"count":12}},"rooms":{rooms}}}}}"#
        )
    };
    let rooms = format!(
        r#"[{LOBBY_ENTRY},{DIRECT_ENTRY},{}],"more_directs":{{"rooms":3,"unread":5,"requests":2}},"invites":[{INVITE}]"#,
        private_entry()
    );
    let own = own_reactions([(MessageId(81), "👍".into()), (MessageId(82), "❤️".into()), (MessageId(81), "茶".into())]);
    vec![
        golden(
            welcome(Some("1"), &fixtures::welcome(&amy, &list), |user| user == UserId(9)),
            expect(r#""id":"1","#, "user", &rooms),
        ),
        golden(welcome(None, &fixtures::welcome(&admin, &empty), |_| false), expect("", "admin", "[]")),
        golden(
            catch_up(LOBBY, Version(1042), false),
            r#"{"type":"catch_up","data":{"room":1,"from":1042,"reset":false}}"#,
        ),
        golden(catch_up(RoomId(7), Version(0), true), r#"{"type":"catch_up","data":{"room":7,"from":0,"reset":true}}"#),
        golden(
            caught_up(LOBBY, Version(1050), &own),
            r#"{"type":"caught_up","data":{"room":1,"version":1050,"my_reactions":{"81":["👍","茶"],"82":["❤️"]}}}"#,
        ),
        golden(
            caught_up(RoomId(7), Version(0), &OwnReactions::new()),
            r#"{"type":"caught_up","data":{"room":7,"version":0,"my_reactions":{}}}"#,
        ),
    ]
}

fn messages() -> Vec<Golden> {
    let plain = format!(r#"{{"type":"message","data":{MESSAGE}}}"#);
    let with = |change: &str| {
        let open = plain.strip_suffix("}}").unwrap_or_default();
        format!(r#"{open},"change":{change}}}}}"#)
    };
    let by = UserId(9);
    let react = |on| MessageChange::React { by, emoji: "👍".into(), on };
    let full = concat!(
        r#"{"type":"message","data":{"id":81,"room":1,"seq":40,"version":57,"client_id":"c-1","#,
        r#""sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},"content":"hi @bob @cat","kind":"text","#,
        r#""reply_to":80,"mentions":[9,11],"reactions":{"❤️":1,"👍":3},"edited_at":"2026-11-22T06:25:37.120Z","#,
        r#""deleted":false,"send_time":"2026-11-22T06:25:36.120Z"}}"#
    );
    let notice = Message {
        kind: MessageKind::System,
        client_id: None,
        content: String::new(),
        deleted: true,
        sender: bob(),
        ..message("")
    };
    let notice_expect = concat!(
        r#"{"type":"message","data":{"id":81,"room":1,"seq":40,"version":57,"client_id":null,"#,
        r#""sender":{"id":9,"username":"bob","nickname":"Bob","avatar":"https://example.org/bob.png"},"content":"","#,
        r#""kind":"system","reply_to":null,"mentions":[],"reactions":{},"edited_at":null,"deleted":true,"#,
        r#""send_time":"2026-11-22T06:25:36.120Z"}}"#
    );
    let strange = "\"},\"x\":\n\r\u{1}\u{2028}</script>茶👍";
    let strange_expect = "\"content\":\"\\\"},\\\"x\\\":\\n\\r\\u0001\u{2028}</script>茶👍\"";
    vec![
        golden(message_event(&message("hi"), None), plain.as_str()),
        golden(message_event(&message("hi"), Some(&MessageChange::New)), with(r#"{"kind":"new"}"#)),
        golden(message_event(&message("hi"), Some(&MessageChange::Edit { by })), with(r#"{"kind":"edit","user":9}"#)),
        golden(
            message_event(&message("hi"), Some(&MessageChange::Delete { by })),
            with(r#"{"kind":"delete","user":9}"#),
        ),
        golden(
            message_event(&message("hi"), Some(&react(true))),
            with(r#"{"kind":"react","user":9,"emoji":"👍","on":true}"#),
        ),
        golden(
            message_event(&message("hi"), Some(&react(false))),
            with(r#"{"kind":"react","user":9,"emoji":"👍","on":false}"#),
        ),
        golden(message_event(&fixtures::full_message(), None), full),
        golden(message_event(&notice, None), notice_expect),
        // Whatever a text contains, it stays inside of its string.
        golden(message_event(&message(strange), None), plain.replace(r#""content":"hi""#, strange_expect)),
    ]
}

use teahouse_protocol::v1::message as message_event;

fn marks() -> Vec<Golden> {
    let users = |ids: &[u64]| ids.iter().map(|id| UserId(*id)).collect::<Vec<_>>();
    let diff = |online: &[u64], offline: &[u64], refresh, count| {
        presence(RoomId(7), &PresenceDiff { online: users(online), offline: users(offline), refresh, count })
    };
    vec![
        golden(read(RoomId(7), UserId(9), Seq(40)), r#"{"type":"read","data":{"room":7,"user":9,"seq":40}}"#),
        golden(typing(RoomId(7), &users(&[7, 9])), r#"{"type":"typing","data":{"room":7,"users":[7,9]}}"#),
        golden(typing(RoomId(7), &[]), r#"{"type":"typing","data":{"room":7,"users":[]}}"#),
        golden(
            diff(&[7, 9], &[11], false, 12),
            r#"{"type":"presence","data":{"room":7,"online":[7,9],"offline":[11],"count":12}}"#,
        ),
        golden(
            diff(&[], &[], true, 480),
            r#"{"type":"presence","data":{"room":7,"online":[],"offline":[],"refresh":true,"count":480}}"#,
        ),
        // The same in both dialects.
        golden(classic::online_count(12), r#"{"type":"online_count","data":{"count":12}}"#),
    ]
}

fn rooms() -> Vec<Golden> {
    let entry = |entry| room(&entry, |user| user == UserId(9));
    vec![
        golden(invited(&fixtures::invite()), format!(r#"{{"type":"invited","data":{INVITE}}}"#)),
        golden(entry(fixtures::lobby()), format!(r#"{{"type":"room","data":{LOBBY_ENTRY}}}"#)),
        golden(entry(fixtures::private_room()), format!(r#"{{"type":"room","data":{}}}"#, private_entry())),
        golden(entry(fixtures::direct_room()), format!(r#"{{"type":"room","data":{DIRECT_ENTRY}}}"#)),
        golden(
            room(&fixtures::direct_room(), |_| false),
            format!(r#"{{"type":"room","data":{}}}"#, DIRECT_ENTRY.replace(r#""online":true"#, r#""online":false"#)),
        ),
        golden(removed(RoomId(7)), r#"{"type":"removed","data":{"room":7}}"#),
        golden(
            teahouse_protocol::v1::user(&bob()),
            r#"{"type":"user","data":{"id":9,"username":"bob","nickname":"Bob","avatar":"https://example.org/bob.png"}}"#,
        ),
    ]
}

fn notices() -> Vec<Golden> {
    let mut all = vec![
        golden(
            system("maintenance", "Back soon."),
            r#"{"type":"system","data":{"code":"maintenance","message":"Back soon."}}"#,
        ),
        golden(
            events_missed(Language::En),
            r#"{"type":"system","data":{"code":"events_missed","message":"Some events were missed because this connection was too slow; please reload."}}"#,
        ),
        golden(
            events_missed(Language::Zh),
            r#"{"type":"system","data":{"code":"events_missed","message":"由于连接过慢，部分事件已丢失，请刷新页面。"}}"#,
        ),
    ];
    // Only a client that should reconnect gets a delay.
    let goodbyes = [
        (CloseCode::Done, r#""code":1000,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::ProtocolError, r#""code":1002,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::Binary, r#""code":1003,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::NotUtf8, r#""code":1007,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::Policy, r#""code":1008,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::TooLarge, r#""code":1009,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::Internal, r#""code":1011,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::Restart, r#""code":1012,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::Overloaded, r#""code":1013,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::Stalled, r#""code":4000,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::NoSignOfLife, r#""code":4001,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::NoHello, r#""code":4002,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::Expired, r#""code":4101,"reason":"bye","reconnect":true,"retry_ms":1500"#),
        (CloseCode::Displaced, r#""code":4501,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::Banned, r#""code":4502,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::Revoked, r#""code":4503,"reason":"bye","reconnect":false,"retry_ms":0"#),
        (CloseCode::Malformed, r#""code":4504,"reason":"bye","reconnect":false,"retry_ms":0"#),
    ];
    assert_eq!(goodbyes.map(|(code, _)| code).as_slice(), CloseCode::ALL);
    for (code, data) in goodbyes {
        all.push(golden(goodbye(code, "bye", 1500), format!(r#"{{"type":"goodbye","data":{{{data}}}}}"#)));
    }
    all
}

pub(crate) fn errors() -> Vec<Golden> {
    let body = |field, retry_after_ms| ErrorBody {
        field,
        retry_after_ms,
        ..ErrorBody::new(ErrorCode::RateLimited, Language::En)
    };
    let said = r#""code":"rate_limited","message":"Too fast: please wait a moment.""#;
    vec![
        golden(error(Some("c-17"), &body(None, None)), format!(r#"{{"type":"error","id":"c-17","data":{{{said}}}}}"#)),
        golden(
            error(Some("\"\n茶"), &body(Some("content"), None)),
            format!(r#"{{"type":"error","id":"\"\n茶","data":{{{said},"field":"content"}}}}"#),
        ),
        golden(
            error(None, &body(None, Some(250))),
            format!(r#"{{"type":"error","data":{{{said},"retry_after_ms":250}}}}"#),
        ),
        golden(
            error(None, &body(Some("rooms[1].version"), Some(250))),
            format!(r#"{{"type":"error","data":{{{said},"field":"rooms[1].version","retry_after_ms":250}}}}"#),
        ),
        golden(
            error(None, &ErrorBody::new(ErrorCode::Muted, Language::Zh)),
            r#"{"type":"error","data":{"code":"muted","message":"你已被禁言。"}}"#,
        ),
    ]
}

pub(crate) fn acks() -> Vec<GoldenAck> {
    let one = |of, frame, expect| GoldenAck { of, frame, expect };
    let directs = |next| ack("1", &Directs::new(&[], next, |_| false));
    let next = DirectsPosition { request: false, time: Timestamp(5), room: RoomId(7) };
    let mut all = acks_of_rooms_and_messages();
    all.extend([
        one("accept", ack("1", &RoomBody::new(&fixtures::lobby(), |_| false)), LOBBY_ENTRY),
        one("decline", ack("1", &Nothing {}), "{}"),
        one("directs", directs(Some(next)), r#"{"rooms":[],"next":"0-5-7"}"#),
        one("directs", directs(None), r#"{"rooms":[],"next":null}"#),
    ]);
    all
}

fn acks_of_rooms_and_messages() -> Vec<GoldenAck> {
    let stored = |duplicate| Stored { id: 81, seq: 40, version: 57, send_time: NOW, duplicate };
    let first = r#"{"id":81,"seq":40,"version":57,"send_time":"2026-11-22T06:25:36.120Z"}"#;
    let again = r#"{"id":81,"seq":40,"version":57,"send_time":"2026-11-22T06:25:36.120Z","duplicate":true}"#;
    let changed = |of| GoldenAck { of, frame: ack("1", &Changed::new(Version(57))), expect: r#"{"version":57}"# };
    let entry =
        |of| GoldenAck { of, frame: ack("1", &RoomBody::new(&fixtures::lobby(), |_| false)), expect: LOBBY_ENTRY };
    let own = own_reactions([(MessageId(81), "👍".into())]);
    let page = concat!(
        r#"{"messages":[{"id":81,"room":1,"seq":40,"version":57,"client_id":"c-1","#,
        r#""sender":{"id":7,"username":"amy","nickname":"Amy","avatar":""},"content":"hi","kind":"text","#,
        r#""reply_to":null,"mentions":[],"reactions":{},"edited_at":null,"deleted":false,"#,
        r#""send_time":"2026-11-22T06:25:36.120Z"}],"has_more_before":true,"has_more_after":false,"#,
        r#""my_reactions":{"81":["👍"]}}"#
    );
    let cards = [
        RoomCard { id: RoomId(7), name: "tea".into(), title: "All about tea".into(), members: 2 },
        RoomCard { id: RoomId(8), name: "茶".into(), title: String::new(), members: 1 },
    ];
    let cards_expect = concat!(
        r#"{"rooms":[{"id":7,"name":"tea","title":"All about tea","members":2},"#,
        r#"{"id":8,"name":"茶","title":"","members":1}],"next":8}"#
    );
    let members = [(amy(), Role::Owner), (bob(), Role::Member)];
    let members_expect = concat!(
        r#"{"members":[{"id":7,"username":"amy","nickname":"Amy","avatar":"","role":"owner"},"#,
        r#"{"id":9,"username":"bob","nickname":"Bob","avatar":"https://example.org/bob.png","role":"member"}],"next":9}"#
    );
    let people = [amy(), person(11, "cat", "Cat")];
    let people_expect = concat!(
        r#"{"users":[{"id":7,"username":"amy","nickname":"Amy","avatar":""},"#,
        r#"{"id":11,"username":"cat","nickname":"Cat","avatar":""}],"next":null}"#
    );
    let now = |online: &[u64], truncated| PresenceNow { online: online.to_vec(), count: 12, truncated };
    let one = |of, frame, expect| GoldenAck { of, frame, expect };
    vec![
        one("message", ack("1", &stored(false)), first),
        one("message", ack("1", &stored(true)), again),
        changed("edit"),
        changed("delete"),
        changed("react"),
        changed("sync"),
        one("read", ack("1", &Marked::new(Seq(40), 2)), r#"{"read_seq":40,"unread":2}"#),
        one("history", ack("1", &History::new(&[message("hi")], (true, false), &own)), page),
        one(
            "history",
            ack("1", &History::new(&[], (false, false), &OwnReactions::new())),
            r#"{"messages":[],"has_more_before":false,"has_more_after":false,"my_reactions":{}}"#,
        ),
        one("presence", ack("1", &now(&[7, 9], false)), r#"{"online":[7,9],"count":12,"truncated":false}"#),
        one("presence", ack("1", &now(&[], true)), r#"{"online":[],"count":12,"truncated":true}"#),
        one("presence", ack("1", &Nothing {}), "{}"),
        one("typing", ack("1", &Nothing {}), "{}"),
        one("rooms", ack("1", &Cards::new(&cards, true)), cards_expect),
        one("rooms", ack("1", &Cards::new(&[], false)), r#"{"rooms":[],"next":null}"#),
        entry("create"),
        entry("update"),
        entry("join"),
        entry("leave"),
        entry("invite"),
        entry("remove"),
        entry("role"),
        entry("open"),
        one("members", ack("1", &Members::new(&members, true)), members_expect),
        one("members", ack("1", &Members::new(&[], false)), r#"{"members":[],"next":null}"#),
        one("users", ack("1", &Users::new(&people, false)), people_expect),
        one("auth", ack("1", &Renewed { expires_in_ms: 86_400_000 }), r#"{"expires_in_ms":86400000}"#),
        one("heartbeat", heartbeat(Some("1"), NOW), r#"{"time":"2026-11-22T06:25:36.120Z"}"#),
    ]
}

fn check(goldens: Vec<Golden>) {
    for Golden { frame, expect } in goldens {
        assert_eq!(frame, expect);
    }
}

fn kind_of(frame: &str) -> String {
    let frame: serde_json::Value = serde_json::from_str(frame).expect("a frame is JSON");
    frame["type"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_session_starts_with_a_welcome_and_catch_ups() {
    check(beginning());
}

#[test]
fn a_message_has_one_shape_and_perhaps_a_change() {
    check(messages());
}

#[test]
fn marks_typing_and_presence() {
    check(marks());
}

#[test]
fn rooms_and_people_change() {
    check(rooms());
}

#[test]
fn notices_and_goodbyes() {
    check(notices());
}

#[test]
fn errors_name_the_field_and_the_delay() {
    check(errors());
}

#[test]
fn every_request_has_its_response() {
    for GoldenAck { of, frame, expect } in acks() {
        assert_eq!(frame, format!(r#"{{"type":"ack","id":"1","data":{expect}}}"#), "{of}");
    }
    let beat = r#"{"type":"ack","data":{"time":"2026-11-22T06:25:36.120Z"}}"#;
    assert_eq!(heartbeat(None, NOW), beat);
}

#[test]
fn published_data_is_unchanged_but_on_one_line() {
    let data = RawValue::from_string("{\n  \"n\": 1.10,\r\n  \"text\": \"a\\nb 茶\"\n}".into()).unwrap();
    let expect = "{\"type\":\"new_article\",\"data\":{   \"n\": 1.10,    \"text\": \"a\\nb 茶\" }}";
    assert_eq!(published("new_article", &data), expect);
}

#[test]
fn every_event_and_every_ack_has_a_golden_frame() {
    let mut kinds: BTreeSet<String> = events().iter().chain(&errors()).map(|golden| kind_of(&golden.frame)).collect();
    kinds.extend(acks().iter().map(|golden| kind_of(&golden.frame)));
    assert_eq!(kinds, EVENT_TYPES.iter().map(|kind| (*kind).to_owned()).collect());
    let answered: BTreeSet<&str> = acks().iter().map(|golden| golden.of).collect();
    // `hello` is answered by `welcome`.
    assert_eq!(answered, REQUEST_TYPES.iter().copied().filter(|kind| *kind != "hello").collect());
}
