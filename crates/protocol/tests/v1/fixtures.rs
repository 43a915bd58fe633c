//! Users, rooms and messages of the tests.

use teahouse_core::{
    Invite, LOBBY, Message, MessageId, MessageKind, Profile, Role, RoomCard, RoomEntry, RoomId, RoomKind, RoomList,
    Seq, SessionId, Timestamp, User, UserId, UserRole, Version,
};
use teahouse_protocol::v1::{self, LimitsBody};

/// 2026-11-22T06:25:36.120Z
pub(crate) const NOW: Timestamp = Timestamp(1_795_328_736_120);

pub(crate) fn person(id: u64, username: &str, nickname: &str) -> Profile {
    Profile { id: UserId(id), username: username.into(), nickname: nickname.into(), avatar: String::new() }
}

pub(crate) fn amy() -> Profile {
    person(7, "amy", "Amy")
}

pub(crate) fn bob() -> Profile {
    Profile { avatar: "https://example.org/bob.png".into(), ..person(9, "bob", "Bob") }
}

/// Amy, with an e-mail address.
pub(crate) fn user() -> User {
    User {
        profile: amy(),
        email: Some("amy@example.org".into()),
        bio: "tea".into(),
        role: UserRole::User,
        disabled: false,
        muted_until: None,
        created_at: NOW,
    }
}

pub(crate) fn message(content: &str) -> Message {
    Message {
        id: MessageId(81),
        room: LOBBY,
        seq: Seq(40),
        version: Version(57),
        sender: amy(),
        client_id: Some("c-1".into()),
        content: content.into(),
        kind: MessageKind::Text,
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: None,
        deleted: false,
        sent_at: NOW,
    }
}

/// A message with every optional field.
pub(crate) fn full_message() -> Message {
    Message {
        reply_to: Some(MessageId(80)),
        mentions: vec![UserId(9), UserId(11)],
        reactions: vec![("❤️".into(), 1), ("👍".into(), 3)],
        edited_at: Some(Timestamp(NOW.0 + 1000)),
        ..message("hi @bob @cat")
    }
}

pub(crate) fn lobby() -> RoomEntry {
    RoomEntry {
        id: LOBBY,
        kind: RoomKind::Public,
        name: Some("lobby".into()),
        title: String::new(),
        version: Version(57),
        last_seq: Seq(40),
        members: 12,
        role: Role::Member,
        read_seq: Seq(38),
        unread: 2,
        muted: false,
        peer: None,
        last_message: None,
        reads: Vec::new(),
        request: false,
    }
}

pub(crate) fn private_room() -> RoomEntry {
    RoomEntry {
        id: RoomId(7),
        kind: RoomKind::Private,
        name: Some("tea".into()),
        title: "All about tea".into(),
        members: 2,
        role: Role::Owner,
        muted: true,
        last_message: Some(Message { room: RoomId(7), ..message("hi") }),
        reads: vec![(UserId(9), Seq(39)), (UserId(11), Seq(4))],
        ..lobby()
    }
}

pub(crate) fn direct_room() -> RoomEntry {
    RoomEntry { id: RoomId(3), kind: RoomKind::Direct, name: None, members: 2, peer: Some((bob(), Seq(40))), ..lobby() }
}

pub(crate) fn invite() -> Invite {
    let room = RoomCard { id: RoomId(7), name: "tea".into(), title: "All about tea".into(), members: 2 };
    Invite { room, kind: RoomKind::Private, inviter: bob(), time: NOW }
}

pub(crate) const LIMITS: LimitsBody = LimitsBody {
    content_chars_max: 4000,
    frame_bytes_max: 65_536,
    sends_per_second: 3,
    sends_burst: 5,
    envelopes_per_second: 20,
    envelopes_burst: 60,
    history_messages_max: 100,
};

pub(crate) fn welcome<'a>(user: &'a User, rooms: &'a RoomList) -> v1::Welcome<'a> {
    v1::Welcome {
        session: SessionId(4),
        epoch: "k3f",
        user,
        time: NOW,
        heartbeat_ms: 25_000,
        token_expires_in_ms: 86_400_000,
        limits: LIMITS,
        online: 12,
        rooms,
    }
}
