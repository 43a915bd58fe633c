//! One clean story, and each defect that a server could add to it.

use std::collections::BTreeSet;

use serde_json::json;
use teahouse_checker::wire::{Change, Classic, Request, RequestBody, ServerBody, ServerEnvelope};
use teahouse_checker::{Dialect, Event, Fact, Rule, Socket, judge};

use super::model::{BOUNDS, DIRECT, LOBBY, Model, PRIVATE, message};

/// Amy (1) has a phone and a tablet, Bo (2) a phone, Cleo (3) a classic tab. Two reconnects, every kind of change to a
/// message, and a read mark that is asked to go back.
pub(crate) fn story() -> Model {
    let mut model = Model::new();
    let amy = model.connect(1, "phone", Dialect::V1);
    let bo = model.connect(2, "phone", Dialect::V1);
    model.connect(1, "tablet", Dialect::V1);
    let cleo = model.connect(3, "tab", Dialect::Classic);
    model.watch_presence(&amy, PRIVATE);
    let first = model.send_message(&amy, LOBBY, "one");
    model.send_message(&cleo, LOBBY, "two");
    model.send_message(&bo, PRIVATE, "three");
    model.cut(&bo);
    model.edit(&amy, first, "one, edited");
    model.advance(1_000_000);
    let bo = model.connect(2, "phone", Dialect::V1);
    model.react(&bo, first, true);
    let gone = model.send_message(&bo, LOBBY, "four");
    model.delete(&bo, gone);
    model.send_message(&bo, DIRECT, "five");
    model.send_message(&amy, LOBBY, "six");
    model.send_message_as(&amy, LOBBY, "six", "key of six");
    model.send_message(&cleo, LOBBY, "seven");
    model.mark_read(&amy, LOBBY, 4);
    model.mark_read(&amy, LOBBY, 2);
    model.mark_read(&bo, PRIVATE, 1);
    model
}

/// Plays the story, lets the server misbehave (`live`), quiesces, and alters the record (`after`).
pub(crate) fn check(name: &str, expect: &[Rule], live: impl FnOnce(&mut Model), after: impl FnOnce(&mut Model)) {
    let mut model = story();
    live(&mut model);
    model.quiesce();
    after(&mut model);
    let verdict = judge(&model.history, &model.db, &BOUNDS);
    let report = verdict.report(&model.history, 10);
    assert_eq!(verdict.rules(), expect.iter().copied().collect::<BTreeSet<_>>(), "{name}:\n{report}");
    assert!(expect.is_empty() || report.lines().count() > verdict.violations.len(), "{name} has no story:\n{report}");
}

pub(crate) fn nothing(_: &mut Model) {}

/// Positions of the matching events on a device's sockets.
pub(crate) fn positions(model: &Model, device: &str, matches: impl Fn(&Fact) -> bool) -> Vec<usize> {
    let of_device = |event: &Event| event.socket.as_ref().is_some_and(|socket| &*socket.device == device);
    let events = model.history.events.iter().enumerate();
    events.filter(|(_, event)| of_device(event) && matches(&event.fact)).map(|(position, _)| position).collect()
}

fn is_live(fact: &Fact) -> bool {
    matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Message(message), .. }) if message.room == LOBBY && message.change.is_some())
}

fn is_classic(fact: &Fact) -> bool {
    matches!(fact, Fact::ClassicReceived(Classic::Message { .. }))
}

#[test]
fn a_clean_history_is_accepted() {
    check("clean", &[], nothing, nothing);
}

#[test]
fn a_verdict_reports_its_coverage() {
    let mut model = story();
    model.quiesce();
    let coverage = judge(&model.history, &model.db, &BOUNDS).coverage;
    assert_eq!((coverage.messages_acknowledged, coverage.changes_acknowledged, coverage.rooms_compared), (5, 3, 9));
    assert!(coverage.deliveries > 20 && coverage.marks >= 6 && coverage.claims > 10, "{coverage:?}");
}

#[test]
fn a_lost_message() {
    check(
        "acknowledged, and nowhere",
        &[Rule::Stored],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            let body = RequestBody::Message {
                room: LOBBY,
                content: "lost".to_owned(),
                client_id: Some("lost".to_owned()),
                reply_to: None,
            };
            let id = model.send_request(&amy, body);
            model.deliver(&amy, Some(&id), ServerBody::Ack(json!({"id": 99, "seq": 99, "version": 99})));
        },
        nothing,
    );
}

#[test]
fn a_doubled_message() {
    check(
        "stored under one key twice",
        &[Rule::Stored],
        |model| {
            let row = model.store_message(1, LOBBY, "six", Some("key of six".to_owned()));
            model.broadcast_change(row.id, &Change::New);
        },
        nothing,
    );
    check(
        "stored without a key twice",
        &[Rule::Stored],
        |model| {
            let row = model.store_message(3, LOBBY, "seven", None);
            model.broadcast_change(row.id, &Change::New);
        },
        nothing,
    );
}

#[test]
fn a_swapped_message() {
    let swap = |device: &'static str, matches: fn(&Fact) -> bool| {
        move |model: &mut Model| {
            let two = positions(model, device, matches);
            let (earlier, later) = (two[two.len() - 2], two[two.len() - 1]);
            let mut event = model.history.events[earlier].clone();
            event.at_us = model.history.events[later].at_us;
            model.history.events.insert(later + 1, event);
            model.history.events.remove(earlier);
        }
    };
    check("to v1", &[Rule::Viewed], nothing, swap("tablet", is_live));
    check("to classic", &[Rule::Classic], nothing, swap("tab", is_classic));
}

#[test]
fn an_invented_message() {
    check(
        "stored, and sent by no client",
        &[Rule::Stored],
        |model| {
            let row = model.store_message(2, LOBBY, "invented", Some("invented".to_owned()));
            model.broadcast_change(row.id, &Change::New);
        },
        nothing,
    );
    check("delivered in a page, and stored nowhere", &[Rule::Delivered], nothing, |model| {
        let mut row = model.row(1).clone();
        (row.id, row.seq, row.version) = (99, 6, 9);
        (row.content, row.client_id) = ("invented".to_owned(), Some("x".to_owned()));
        let invented = serde_json::to_value(message(&row, None)).unwrap();
        let of_lobby = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) if data["messages"][0]["room"] == 1);
        let page = *positions(model, "phone", of_lobby).last().unwrap();
        if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) =
            &mut model.history.events[page].fact
        {
            data["messages"].as_array_mut().unwrap().push(invented);
        }
    });
}

#[test]
fn a_hole() {
    let drop_one = |device: &'static str, matches: fn(&Fact) -> bool| {
        move |model: &mut Model| {
            let live = positions(model, device, matches);
            model.history.events.remove(live[live.len() - 2]);
        }
    };
    check("in live versions", &[Rule::Viewed], nothing, drop_one("tablet", is_live));
    check("in what a classic tab is sent", &[Rule::Classic], nothing, drop_one("tab", is_classic));
    let is_catching_up = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Message(message), .. }) if message.change.is_none());
    check(
        "in a bracket",
        &[Rule::Viewed],
        |model| {
            let bo = model.live(2, "phone").unwrap();
            model.cut(&bo);
            let amy = model.live(1, "phone").unwrap();
            model.edit(&amy, 6, "six, edited");
        },
        |model| {
            let position = *positions(model, "phone", is_catching_up).last().unwrap();
            model.history.events.remove(position);
        },
    );
}

#[test]
fn a_repeat() {
    let repeat = |device: &'static str, matches: fn(&Fact) -> bool| {
        move |model: &mut Model| {
            let position = positions(model, device, matches)[1];
            let event = model.history.events[position].clone();
            model.history.events.insert(position, event);
        }
    };
    check("to v1", &[Rule::Viewed], nothing, repeat("tablet", is_live));
    check("to classic", &[Rule::Classic], nothing, repeat("tab", is_classic));
}

#[test]
fn another_content_than_was_said() {
    check(
        "stored like that",
        &[Rule::Stored],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            let body = RequestBody::Message {
                room: LOBBY,
                content: "meant".to_owned(),
                client_id: Some("k".to_owned()),
                reply_to: None,
            };
            let id = model.send_request(&amy, body);
            let row = model.store_message(1, LOBBY, "garbled", Some("k".to_owned()));
            let ack = json!({"id": row.id, "seq": row.seq, "version": row.version});
            model.deliver(&amy, Some(&id), ServerBody::Ack(ack));
            model.broadcast_change(row.id, &Change::New);
        },
        nothing,
    );
    check("delivered to one like that", &[Rule::Delivered], nothing, |model| {
        let position = positions(model, "tablet", is_live)[0];
        if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Message(message), .. }) =
            &mut model.history.events[position].fact
        {
            message.content = "garbled".to_owned();
        }
    });
}

#[test]
fn an_ack_under_another_place() {
    for field in ["id", "seq", "version"] {
        check(field, &[Rule::Stored], nothing, |model| {
            let is_ack = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) if data["duplicate"] == false);
            let position = positions(model, "phone", is_ack)[0];
            if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) =
                &mut model.history.events[position].fact
            {
                data[field] = json!(77);
            }
        });
    }
}

#[test]
fn what_was_refused_and_is_stored() {
    check(
        "refused, and there",
        &[Rule::Stored],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            let body = RequestBody::Message {
                room: LOBBY,
                content: "no".to_owned(),
                client_id: Some("no".to_owned()),
                reply_to: None,
            };
            let id = model.send_request(&amy, body);
            model.deliver(&amy, Some(&id), ServerBody::Error { code: "overloaded".to_owned() });
            let row = model.store_message(1, LOBBY, "no", Some("no".to_owned()));
            model.broadcast_change(row.id, &Change::New);
        },
        nothing,
    );
}

#[test]
fn a_change_that_was_acknowledged_and_is_not_there() {
    let asks = |body: RequestBody| {
        move |model: &mut Model| {
            let amy = model.live(1, "phone").unwrap();
            let id = model.send_request(&amy, body);
            model.deliver(&amy, Some(&id), ServerBody::Ack(json!({"version": 1})));
        }
    };
    check("an edit", &[Rule::Changed], asks(RequestBody::Edit { message: 4, content: "x".to_owned() }), nothing);
    check("a deletion", &[Rule::Changed], asks(RequestBody::Delete { message: 1 }), nothing);
    check(
        "a reaction",
        &[Rule::Changed],
        asks(RequestBody::React { message: 1, emoji: "🍵".to_owned(), on: true }),
        nothing,
    );
    check(
        "a deletion that no client requested",
        &[Rule::Changed],
        |model| {
            model.db.rooms.get_mut(&LOBBY).unwrap().version += 1;
            let version = model.db.rooms[&LOBBY].version;
            let row = model.row(1);
            (row.version, row.deleted) = (version, true);
            row.content.clear();
            row.reactions.clear();
            model.broadcast_change(1, &Change::Delete { user: 1 });
        },
        nothing,
    );
}

#[test]
fn marks_that_go_back_or_disagree() {
    check("an ack that goes back", &[Rule::ReadMarks], nothing, |model| {
        let is_mark = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) if data["read_seq"].is_u64());
        let position = positions(model, "phone", is_mark)[1];
        if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) =
            &mut model.history.events[position].fact
        {
            data["read_seq"] = json!(2);
        }
    });
    check(
        "an event that goes back",
        &[Rule::ReadMarks],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            model.deliver(&amy, None, ServerBody::Read { room: LOBBY, user: 1, seq: 1 });
        },
        nothing,
    );
    let last_welcome = |change: fn(&mut teahouse_checker::wire::Entry)| {
        move |model: &mut Model| {
            let is_welcomed = |fact: &Fact| {
                matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Welcome(_), .. }))
            };
            let position = *positions(model, "phone", is_welcomed).last().unwrap();
            if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Welcome(welcome), .. }) =
                &mut model.history.events[position].fact
            {
                change(welcome.rooms.iter_mut().find(|entry| entry.id == LOBBY).unwrap());
            }
        }
    };
    check(
        "a device that receives another mark",
        &[Rule::ReadMarks],
        nothing,
        last_welcome(|entry| entry.read_seq += 1),
    );
    check("another count of unread", &[Rule::ReadMarks], nothing, last_welcome(|entry| entry.unread += 1));
}

#[test]
fn a_ghost_that_is_online() {
    check(
        "long after its goodbye",
        &[Rule::Presence],
        |model| {
            let bo = model.live(2, "phone").unwrap();
            model.leave(&bo);
            model.advance(60_000_000);
            model.list_online(1);
        },
        |model| {
            let is_list = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) if data["online"].is_array());
            let position = positions(model, "http", is_list)[0];
            if let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) =
                &mut model.history.events[position].fact
            {
                *data = json!({"online": [1, 2, 3], "count": 3});
            }
        },
    );
    check("counted at rest", &[Rule::Presence], nothing, |model| {
        let phone = model.live(1, "phone").unwrap();
        let event = Event { at_us: model.now_us, socket: Some(phone), fact: online_count(4) };
        model.history.events.push(event);
    });
}

fn online_count(count: u64) -> Fact {
    Fact::EnvelopeReceived(ServerEnvelope { id: None, body: ServerBody::OnlineCount { count } })
}

#[test]
fn a_present_user_who_is_shown_as_gone() {
    check(
        "by a room's presence",
        &[Rule::Presence],
        |model| {
            let presence =
                |online, offline, count| ServerBody::Presence { room: PRIVATE, online, offline, refresh: false, count };
            refresh_all(model);
            let amy = model.live(1, "phone").unwrap();
            model.deliver(&amy, None, presence(vec![], vec![2], 1));
            model.deliver(&amy, None, presence(vec![2], vec![], 2));
            prove_all_live(model);
        },
        nothing,
    );
    check(
        "by the count",
        &[Rule::Presence],
        |model| {
            refresh_all(model);
            let tablet = model.live(1, "tablet").unwrap();
            model.deliver(&tablet, None, ServerBody::OnlineCount { count: 2 });
            model.deliver(&tablet, None, ServerBody::OnlineCount { count: 3 });
            prove_all_live(model);
        },
        nothing,
    );
}

/// Amy reconnects; then Bo reconnects and sends a message, all while Amy watches.
fn refresh_all(model: &mut Model) {
    for device in ["phone", "tablet"] {
        let amy = model.live(1, device).unwrap();
        model.cut(&amy);
        model.connect(1, device, Dialect::V1);
    }
    let bo = model.live(2, "phone").unwrap();
    model.cut(&bo);
    let bo = model.connect(2, "phone", Dialect::V1);
    model.send_message(&bo, LOBBY, "back");
    let amy = model.live(1, "phone").unwrap();
    model.watch_presence(&amy, PRIVATE);
    prove_all_live(model);
}

fn prove_all_live(model: &mut Model) {
    for socket in model.live_all() {
        prove_live(model, &socket);
    }
}

/// Sends a heartbeat and its answer, which prove that the session is live.
pub(crate) fn prove_live(model: &mut Model, socket: &Socket) {
    if socket.dialect == Dialect::V1 {
        let id = model.send_request(socket, RequestBody::Heartbeat {});
        model.deliver(socket, Some(&id), ServerBody::Ack(json!({})));
    } else {
        model.record(socket, Fact::RequestSent(Request { id: None, body: RequestBody::Heartbeat {} }));
        model.record(socket, Fact::ClassicReceived(Classic::Heartbeat { timestamp: 1 }));
    }
}
