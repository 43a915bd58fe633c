//! Clients split v1 frames at line breaks, so no envelope may contain one, whatever texts and names contain.

use proptest::prelude::*;
use serde_json::value::RawValue;
use teahouse_core::{
    CloseCode, ErrorCode, Language, Message, MessageChange, Profile, RoomEntry, RoomList, User, UserId,
};
use teahouse_protocol::v1::*;

use crate::fixtures;

fn is_one_line(envelope: &str) {
    assert!(!envelope.contains(['\n', '\r']), "{envelope}");
    assert!(serde_json::from_str::<serde_json::Value>(envelope).is_ok(), "{envelope}");
}

/// Texts in which everything that could break a line or a string is frequent.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![Just('\n'), Just('\r'), Just('"'), Just('\\'), Just('\u{2028}'), any::<char>()];
    prop::collection::vec(piece, 0..20).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn every_envelope_is_one_line(a in text(), b in text(), c in text()) {
        let profile = Profile { username: a.clone(), nickname: b.clone(), avatar: c.clone(), ..fixtures::amy() };
        let message = Message {
            sender: profile.clone(),
            client_id: Some(b.clone()),
            content: a.clone(),
            reactions: vec![(c.clone(), 1)],
            ..fixtures::message("")
        };
        let entry = RoomEntry {
            name: Some(a.clone()),
            title: b.clone(),
            peer: Some((profile.clone(), teahouse_core::Seq(1))),
            last_message: Some(message.clone()),
            ..fixtures::lobby()
        };
        let user = User { profile: profile.clone(), ..fixtures::user() };
        let entries = [entry.clone()];
        let list = RoomList { rooms: entries.to_vec(), ..RoomList::default() };
        let greeting = Welcome { epoch: &c, ..fixtures::welcome(&user, &list) };
        let own = own_reactions([(message.id, a.clone())]);
        let react = MessageChange::React { by: UserId(9), emoji: b.clone(), on: true };
        let refusal = ErrorBody { message: &b, field: Some(&c), ..ErrorBody::new(ErrorCode::BadRequest, Language::Zh) };

        is_one_line(&welcome(Some(&a), &greeting, |_| true));
        is_one_line(&caught_up(message.room, message.version, &own));
        is_one_line(&teahouse_protocol::v1::message(&message, Some(&react)));
        is_one_line(&room(&entry, |_| true));
        is_one_line(&teahouse_protocol::v1::user(&profile));
        is_one_line(&system(&a, &b));
        is_one_line(&error(Some(&a), &refusal));
        is_one_line(&goodbye(CloseCode::Banned, &a, 0));
        is_one_line(&ack(&a, &History::new(std::slice::from_ref(&message), (true, true), &own)));
        is_one_line(&ack(&a, &Users::new(&[profile], false)));
        is_one_line(&heartbeat(Some(&a), fixtures::NOW));
        is_one_line(&published(&a, &RawValue::from_string(format!("{{\n\"text\":\r\n{}}}", serde_json::json!(b))).unwrap()));
    }

    /// Also with texts that look like the end of an envelope.
    #[test]
    fn a_live_message_loses_its_change_in_a_catch_up(before in text(), after in text(), emoji in text()) {
        use teahouse_protocol::v1::{message, without_change};
        let content = format!("{before},\"change\":{{\"kind\":\"new\"}}}}}}{after}");
        let said = Message { content, ..fixtures::message("") };
        let by = UserId(9);
        let react = MessageChange::React { by, emoji, on: false };
        for what in [MessageChange::New, MessageChange::Edit { by }, MessageChange::Delete { by }, react] {
            let in_bracket = without_change(message(&said, Some(&what)).as_bytes());
            prop_assert_eq!(String::from_utf8(in_bracket).unwrap(), message(&said, None));
        }
    }
}
