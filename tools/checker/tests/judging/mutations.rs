//! One clean story, and each thing that a server can do wrong in it.

use std::collections::BTreeSet;

use serde_json::json;
use teahouse_checker::wire::{Ask, Change, Classic, Heard, Request, Said};
use teahouse_checker::{Dialect, End, Event, Fact, Rule, Socket, judge};

use super::model::{BOUNDS, DIRECT, LOBBY, Model, PRIVATE, message};

/// Amy (1) has a phone and a tablet, Bo (2) a phone, Cleo (3) a tab of the old page. Two refreshes, everything that
/// can be done to a message, a read mark that is asked to go back.
fn story() -> Model {
    let mut model = Model::new();
    let amy = model.comes(1, "phone", Dialect::V1);
    let bo = model.comes(2, "phone", Dialect::V1);
    model.comes(1, "tablet", Dialect::V1);
    let cleo = model.comes(3, "tab", Dialect::Classic);
    model.watches(&amy, PRIVATE);
    let first = model.says(&amy, LOBBY, "one");
    model.says(&cleo, LOBBY, "two");
    model.says(&bo, PRIVATE, "three");
    model.is_cut(&bo);
    model.edits(&amy, first, "one, edited");
    model.waits(1_000_000);
    let bo = model.comes(2, "phone", Dialect::V1);
    model.reacts(&bo, first, true);
    let gone = model.says(&bo, LOBBY, "four");
    model.deletes(&bo, gone);
    model.says(&bo, DIRECT, "five");
    model.says(&amy, LOBBY, "six");
    model.says_as(&amy, LOBBY, "six", "key of six");
    model.says(&cleo, LOBBY, "seven");
    model.reads(&amy, LOBBY, 4);
    model.reads(&amy, LOBBY, 2);
    model.reads(&bo, PRIVATE, 1);
    model
}

/// The story, something done by the server at its end, rest, and then something done to what was recorded.
fn check(name: &str, expect: &[Rule], live: impl FnOnce(&mut Model), after: impl FnOnce(&mut Model)) {
    let mut model = story();
    live(&mut model);
    model.comes_to_rest();
    after(&mut model);
    let verdict = judge(&model.history, &model.truth, &BOUNDS);
    let report = verdict.report(&model.history, 10);
    assert_eq!(verdict.rules(), expect.iter().copied().collect::<BTreeSet<_>>(), "{name}:\n{report}");
    assert!(expect.is_empty() || report.lines().count() > verdict.violations.len(), "{name} has no story:\n{report}");
}

fn nothing(_: &mut Model) {}

/// The places of the events on a socket like this one's device.
fn places(model: &Model, device: &str, is_it: impl Fn(&Fact) -> bool) -> Vec<usize> {
    let of_device = |event: &Event| event.socket.as_ref().is_some_and(|socket| &*socket.device == device);
    let events = model.history.events.iter().enumerate();
    events.filter(|(_, event)| of_device(event) && is_it(&event.fact)).map(|(place, _)| place).collect()
}

fn is_live(fact: &Fact) -> bool {
    matches!(fact, Fact::Heard(Heard { said: Said::Message(message), .. }) if message.room == LOBBY && message.change.is_some())
}

fn is_classic(fact: &Fact) -> bool {
    matches!(fact, Fact::HeardClassic(Classic::Message { .. }))
}

#[test]
fn a_clean_history_is_accepted() {
    check("clean", &[], nothing, nothing);
}

#[test]
fn a_verdict_tells_how_much_it_looked_at() {
    let mut model = story();
    model.comes_to_rest();
    let looked_at = judge(&model.history, &model.truth, &BOUNDS).looked_at;
    assert_eq!((looked_at.messages_acknowledged, looked_at.changes_acknowledged, looked_at.rooms_compared), (5, 3, 9));
    assert!(looked_at.deliveries > 20 && looked_at.marks >= 6 && looked_at.claims > 10, "{looked_at:?}");
}

#[test]
fn a_lost_message() {
    check(
        "acknowledged, and nowhere",
        &[Rule::Said],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            let ask = Ask::Message {
                room: LOBBY,
                content: "lost".to_owned(),
                client_id: Some("lost".to_owned()),
                reply_to: None,
            };
            let id = model.asks(&amy, ask);
            model.hears(&amy, Some(&id), Said::Ack(json!({"id": 99, "seq": 99, "version": 99})));
        },
        nothing,
    );
}

#[test]
fn a_doubled_message() {
    check(
        "stored under one key twice",
        &[Rule::Said],
        |model| {
            let row = model.stores(1, LOBBY, "six", Some("key of six".to_owned()));
            model.tells(row.id, &Change::New);
        },
        nothing,
    );
    check(
        "stored without a key twice",
        &[Rule::Said],
        |model| {
            let row = model.stores(3, LOBBY, "seven", None);
            model.tells(row.id, &Change::New);
        },
        nothing,
    );
}

#[test]
fn a_swapped_message() {
    let swap = |device: &'static str, is_it: fn(&Fact) -> bool| {
        move |model: &mut Model| {
            let two = places(model, device, is_it);
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
        "stored, and said by nobody",
        &[Rule::Said],
        |model| {
            let row = model.stores(2, LOBBY, "invented", Some("invented".to_owned()));
            model.tells(row.id, &Change::New);
        },
        nothing,
    );
    check("delivered in a page, and stored nowhere", &[Rule::Delivered], nothing, |model| {
        let mut row = model.row(1).clone();
        (row.id, row.seq, row.version) = (99, 6, 9);
        (row.content, row.client_id) = ("invented".to_owned(), Some("x".to_owned()));
        let invented = serde_json::to_value(message(&row, None)).unwrap();
        let of_lobby = |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Ack(data), .. }) if data["messages"][0]["room"] == 1);
        let page = *places(model, "phone", of_lobby).last().unwrap();
        if let Fact::Heard(Heard { said: Said::Ack(data), .. }) = &mut model.history.events[page].fact {
            data["messages"].as_array_mut().unwrap().push(invented);
        }
    });
}

#[test]
fn a_hole() {
    let drop_one = |device: &'static str, is_it: fn(&Fact) -> bool| {
        move |model: &mut Model| {
            let live = places(model, device, is_it);
            model.history.events.remove(live[live.len() - 2]);
        }
    };
    check("in live versions", &[Rule::Viewed], nothing, drop_one("tablet", is_live));
    check("in what a classic tab is sent", &[Rule::Classic], nothing, drop_one("tab", is_classic));
    let is_in_bracket = |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Message(message), .. }) if message.change.is_none());
    check(
        "in a bracket",
        &[Rule::Viewed],
        |model| {
            let bo = model.live(2, "phone").unwrap();
            model.is_cut(&bo);
            let amy = model.live(1, "phone").unwrap();
            model.edits(&amy, 6, "six, edited");
        },
        |model| {
            let place = *places(model, "phone", is_in_bracket).last().unwrap();
            model.history.events.remove(place);
        },
    );
}

#[test]
fn a_repeat() {
    let repeat = |device: &'static str, is_it: fn(&Fact) -> bool| {
        move |model: &mut Model| {
            let place = places(model, device, is_it)[1];
            let event = model.history.events[place].clone();
            model.history.events.insert(place, event);
        }
    };
    check("to v1", &[Rule::Viewed], nothing, repeat("tablet", is_live));
    check("to classic", &[Rule::Classic], nothing, repeat("tab", is_classic));
}

#[test]
fn another_content_than_was_said() {
    check(
        "stored like that",
        &[Rule::Said],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            let ask = Ask::Message {
                room: LOBBY,
                content: "meant".to_owned(),
                client_id: Some("k".to_owned()),
                reply_to: None,
            };
            let id = model.asks(&amy, ask);
            let row = model.stores(1, LOBBY, "garbled", Some("k".to_owned()));
            let ack = json!({"id": row.id, "seq": row.seq, "version": row.version});
            model.hears(&amy, Some(&id), Said::Ack(ack));
            model.tells(row.id, &Change::New);
        },
        nothing,
    );
    check("delivered to one like that", &[Rule::Delivered], nothing, |model| {
        let place = places(model, "tablet", is_live)[0];
        if let Fact::Heard(Heard { said: Said::Message(message), .. }) = &mut model.history.events[place].fact {
            message.content = "garbled".to_owned();
        }
    });
}

#[test]
fn an_ack_under_another_place() {
    for field in ["id", "seq", "version"] {
        check(field, &[Rule::Said], nothing, |model| {
            let is_ack = |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Ack(data), .. }) if data["duplicate"] == false);
            let place = places(model, "phone", is_ack)[0];
            if let Fact::Heard(Heard { said: Said::Ack(data), .. }) = &mut model.history.events[place].fact {
                data[field] = json!(77);
            }
        });
    }
}

#[test]
fn what_was_refused_and_is_stored() {
    check(
        "refused, and there",
        &[Rule::Said],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            let ask = Ask::Message {
                room: LOBBY,
                content: "no".to_owned(),
                client_id: Some("no".to_owned()),
                reply_to: None,
            };
            let id = model.asks(&amy, ask);
            model.hears(&amy, Some(&id), Said::Error { code: "overloaded".to_owned() });
            let row = model.stores(1, LOBBY, "no", Some("no".to_owned()));
            model.tells(row.id, &Change::New);
        },
        nothing,
    );
}

#[test]
fn a_change_that_was_acknowledged_and_is_not_there() {
    let asks = |ask: Ask| {
        move |model: &mut Model| {
            let amy = model.live(1, "phone").unwrap();
            let id = model.asks(&amy, ask);
            model.hears(&amy, Some(&id), Said::Ack(json!({"version": 1})));
        }
    };
    check("an edit", &[Rule::Changed], asks(Ask::Edit { message: 4, content: "x".to_owned() }), nothing);
    check("a deletion", &[Rule::Changed], asks(Ask::Delete { message: 1 }), nothing);
    check("a reaction", &[Rule::Changed], asks(Ask::React { message: 1, emoji: "🍵".to_owned(), on: true }), nothing);
    check(
        "a deletion that nobody asked for",
        &[Rule::Changed],
        |model| {
            model.truth.rooms.get_mut(&LOBBY).unwrap().version += 1;
            let version = model.truth.rooms[&LOBBY].version;
            let row = model.row(1);
            (row.version, row.deleted) = (version, true);
            row.content.clear();
            row.reactions.clear();
            model.tells(1, &Change::Delete { user: 1 });
        },
        nothing,
    );
}

#[test]
fn marks_that_go_back_or_disagree() {
    check("an ack that goes back", &[Rule::Marked], nothing, |model| {
        let is_mark =
            |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Ack(data), .. }) if data["read_seq"].is_u64());
        let place = places(model, "phone", is_mark)[1];
        if let Fact::Heard(Heard { said: Said::Ack(data), .. }) = &mut model.history.events[place].fact {
            data["read_seq"] = json!(2);
        }
    });
    check(
        "an event that goes back",
        &[Rule::Marked],
        |model| {
            let amy = model.live(1, "phone").unwrap();
            model.hears(&amy, None, Said::Read { room: LOBBY, user: 1, seq: 1 });
        },
        nothing,
    );
    let last_welcome = |change: fn(&mut teahouse_checker::wire::Entry)| {
        move |model: &mut Model| {
            let is_welcome = |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Welcome(_), .. }));
            let place = *places(model, "phone", is_welcome).last().unwrap();
            if let Fact::Heard(Heard { said: Said::Welcome(welcome), .. }) = &mut model.history.events[place].fact {
                change(welcome.rooms.iter_mut().find(|entry| entry.id == LOBBY).unwrap());
            }
        }
    };
    check("a device that is told another mark", &[Rule::Marked], nothing, last_welcome(|entry| entry.read_seq += 1));
    check("another count of unread", &[Rule::Marked], nothing, last_welcome(|entry| entry.unread += 1));
}

#[test]
fn a_ghost_that_is_online() {
    check(
        "long after it said goodbye",
        &[Rule::Present],
        |model| {
            let bo = model.live(2, "phone").unwrap();
            model.leaves(&bo);
            model.waits(60_000_000);
            model.lists_online(1);
        },
        |model| {
            let is_list = |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Ack(data), .. }) if data["online"].is_array());
            let place = places(model, "http", is_list)[0];
            if let Fact::Heard(Heard { said: Said::Ack(data), .. }) = &mut model.history.events[place].fact {
                *data = json!({"online": [1, 2, 3], "count": 3});
            }
        },
    );
    check("counted at rest", &[Rule::Present], nothing, |model| {
        let phone = model.live(1, "phone").unwrap();
        let event = Event { at_us: model.now_us, socket: Some(phone), fact: online_count(4) };
        model.history.events.push(event);
    });
}

fn online_count(count: u64) -> Fact {
    Fact::Heard(Heard { id: None, said: Said::OnlineCount { count } })
}

#[test]
fn a_present_user_who_is_shown_as_gone() {
    check(
        "by a room's presence",
        &[Rule::Present],
        |model| {
            let presence =
                |online, offline, count| Said::Presence { room: PRIVATE, online, offline, refresh: false, count };
            refreshes(model);
            let amy = model.live(1, "phone").unwrap();
            model.hears(&amy, None, presence(vec![], vec![2], 1));
            model.hears(&amy, None, presence(vec![2], vec![], 2));
            all_beat(model);
        },
        nothing,
    );
    check(
        "by the count",
        &[Rule::Present],
        |model| {
            refreshes(model);
            let tablet = model.live(1, "tablet").unwrap();
            model.hears(&tablet, None, Said::OnlineCount { count: 2 });
            model.hears(&tablet, None, Said::OnlineCount { count: 3 });
            all_beat(model);
        },
        nothing,
    );
}

/// Bo refreshes the page and says something; Amy comes anew before that, so that all of it happens while she looks.
fn refreshes(model: &mut Model) {
    for device in ["phone", "tablet"] {
        let amy = model.live(1, device).unwrap();
        model.is_cut(&amy);
        model.comes(1, device, Dialect::V1);
    }
    let bo = model.live(2, "phone").unwrap();
    model.is_cut(&bo);
    let bo = model.comes(2, "phone", Dialect::V1);
    model.says(&bo, LOBBY, "back");
    let amy = model.live(1, "phone").unwrap();
    model.watches(&amy, PRIVATE);
    all_beat(model);
}

fn all_beat(model: &mut Model) {
    for socket in model.live_all() {
        beats(model, &socket);
    }
}

/// A heartbeat and its answer: it is live.
fn beats(model: &mut Model, socket: &Socket) {
    if socket.dialect == Dialect::V1 {
        let id = model.asks(socket, Ask::Heartbeat {});
        model.hears(socket, Some(&id), Said::Ack(json!({})));
    } else {
        model.note(socket, Fact::Asked(Request { id: None, ask: Ask::Heartbeat {} }));
        model.note(socket, Fact::HeardClassic(Classic::Heartbeat { timestamp: 1 }));
    }
}

/// Another tab of Cleo's, about which the model knows nothing.
fn opens(model: &mut Model, number: u64) -> Socket {
    let tab = Socket { user: 3, device: format!("tab {number}").into(), dialect: Dialect::Classic, number };
    model.note(&tab, Fact::Begun { device: None });
    model.note(&tab, Fact::Answered { status: 101 });
    tab
}

#[test]
fn an_older_session_that_wins() {
    let displaced = || Fact::Ended(End::Closed { code: 4501, reason: "connected elsewhere".to_owned() });
    check(
        "the newest is displaced",
        &[Rule::Newest],
        |model| {
            let oldest = model.live(3, "tab").unwrap();
            let (second, newest) = (opens(model, 1001), opens(model, 1002));
            model.note(&newest, displaced());
            beats(model, &oldest);
            model.note(&second, Fact::Ended(End::Cut));
        },
        nothing,
    );
    check(
        "one is displaced by nothing",
        &[Rule::Newest],
        |model| {
            let second = opens(model, 1001);
            model.note(&second, displaced());
        },
        nothing,
    );
}

#[test]
fn too_many_sessions() {
    check(
        "three are live",
        &[Rule::Newest],
        |model| {
            let oldest = model.live(3, "tab").unwrap();
            let more = [opens(model, 1001), opens(model, 1002)];
            beats(model, &oldest);
            for tab in &more {
                beats(model, tab);
            }
            for tab in &more {
                model.note(tab, Fact::Ended(End::Cut));
            }
        },
        nothing,
    );
}
