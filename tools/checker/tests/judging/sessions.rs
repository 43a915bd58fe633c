//! Which sessions live together and which displace which, as a server could get it wrong. Cleo (3) has a classic tab; the
//! model does not know her other sockets.

use std::collections::BTreeSet;

use serde_json::json;
use teahouse_checker::wire::{Request, RequestBody, ServerBody, ServerEnvelope};
use teahouse_checker::{Bounds, Dialect, End, Fact, Rule, Socket, judge};

use super::model::{BOUNDS, Model};
use super::mutations::{check, nothing, prove_live, story};

/// Opens another tab.
fn open_tab(model: &mut Model, number: u64) -> Socket {
    open(model, &format!("tab {number}"), Dialect::Classic, None, number)
}

/// Opens a v1 socket, with or without a name of its device.
fn open_v1(model: &mut Model, named: Option<&str>, number: u64) -> Socket {
    open(model, &format!("device {number}"), Dialect::V1, named, number)
}

fn open(model: &mut Model, device: &str, dialect: Dialect, named: Option<&str>, number: u64) -> Socket {
    let socket = Socket { user: 3, device: device.into(), dialect, number };
    model.record(&socket, Fact::HandshakeSent { device: named.map(str::to_owned) });
    model.record(&socket, Fact::HandshakeAnswered { status: 101 });
    socket
}

/// Records an answered request, which proves that the session is live.
fn prove(model: &mut Model, socket: &Socket) {
    if socket.dialect == Dialect::Classic {
        return prove_live(model, socket);
    }
    let id = Some(format!("p-{}", model.now_us));
    model.record(socket, Fact::RequestSent(Request { id: id.clone(), body: RequestBody::Heartbeat {} }));
    model.record(socket, Fact::EnvelopeReceived(ServerEnvelope { id, body: ServerBody::Ack(json!({})) }));
}

fn displaced(model: &mut Model, socket: &Socket) {
    model.record(socket, Fact::Ended(End::Closed { code: 4501, reason: "connected elsewhere".to_owned() }));
}

fn cut(model: &mut Model, sockets: &[&Socket]) {
    for socket in sockets {
        model.record(socket, Fact::Ended(End::Cut));
    }
}

#[test]
fn an_older_session_that_wins() {
    check(
        "the newest is displaced",
        &[Rule::Sessions],
        |model| {
            let oldest = model.live(3, "tab").unwrap();
            let (second, newest) = (open_tab(model, 1001), open_tab(model, 1002));
            displaced(model, &newest);
            prove(model, &oldest);
            cut(model, &[&second]);
        },
        nothing,
    );
    check(
        "one is displaced by nothing",
        &[Rule::Sessions],
        |model| {
            let second = open_tab(model, 1001);
            displaced(model, &second);
        },
        nothing,
    );
}

#[test]
fn more_devices_than_allowed() {
    check(
        "three are live",
        &[Rule::Sessions],
        |model| {
            let tab = model.live(3, "tab").unwrap();
            let more = [open_v1(model, None, 1001), open_v1(model, Some("phone"), 1002)];
            for socket in [&tab, &more[0], &more[1]] {
                prove(model, socket);
            }
            cut(model, &[&more[0], &more[1]]);
        },
        nothing,
    );
}

/// What happens to Cleo's tab and her other sockets while eight devices are allowed.
fn check_of_eight(name: &str, is_clean: bool, live: impl FnOnce(&mut Model, &Socket)) {
    let mut model = story();
    let tab = model.live(3, "tab").unwrap();
    live(&mut model, &tab);
    model.quiesce();
    let verdict = judge(&model.history, &model.db, &Bounds { devices_per_user: 8, ..BOUNDS });
    let expect: BTreeSet<Rule> = (!is_clean).then_some(Rule::Sessions).into_iter().collect();
    assert_eq!(verdict.rules(), expect, "{name}:\n{}", verdict.report(&model.history, 10));
}

#[test]
fn a_device_has_one_session_and_leaves_the_others_alone() {
    check_of_eight("three devices, and a phone that reconnects", true, |model, tab| {
        let (phone, laptop) = (open_v1(model, Some("phone"), 1001), open_v1(model, None, 1002));
        let again = open_v1(model, Some("phone"), 1003);
        displaced(model, &phone);
        for socket in [tab, &laptop, &again] {
            prove(model, socket);
        }
        cut(model, &[&laptop, &again]);
    });
    check_of_eight("a tab displaces a tab beside an older phone", true, |model, tab| {
        let phone = open_v1(model, Some("phone"), 1001);
        let second = open_tab(model, 1002);
        model.close(tab, 4501);
        let third = model.connect(3, "tab", Dialect::Classic);
        displaced(model, &second);
        for socket in [&phone, &third] {
            prove(model, socket);
        }
        cut(model, &[&phone]);
    });
    for named in [None, Some("phone")] {
        check_of_eight("two sessions of one device", named.is_none(), |model, _| {
            let two = [open_v1(model, named, 1001), open_v1(model, named, 1002)];
            prove(model, &two[0]);
            prove(model, &two[1]);
            cut(model, &[&two[0], &two[1]]);
        });
    }
    check_of_eight("two tabs", false, |model, tab| {
        let second = open_tab(model, 1001);
        prove(model, tab);
        prove(model, &second);
        cut(model, &[&second]);
    });
    check_of_eight("a phone is displaced by a laptop", false, |model, _| {
        let phone = open_v1(model, Some("phone"), 1001);
        let laptop = open_v1(model, Some("laptop"), 1002);
        displaced(model, &phone);
        cut(model, &[&laptop]);
    });
    check_of_eight("a tab is displaced by a phone of its name", false, |model, _| {
        let tab = open(model, "another tab", Dialect::Classic, Some("phone"), 1001);
        let phone = open_v1(model, Some("phone"), 1002);
        displaced(model, &tab);
        cut(model, &[&phone]);
    });
    check_of_eight("a phone is displaced by its own older session", false, |model, _| {
        let two = [open_v1(model, Some("phone"), 1001), open_v1(model, Some("phone"), 1002)];
        displaced(model, &two[1]);
        cut(model, &[&two[0]]);
    });
    check_of_eight("a session of a device that reconnects counts once", false, |model, _| {
        let laptop = open_v1(model, None, 1001);
        for number in 1002..1012 {
            let phone = open_v1(model, Some("phone"), number);
            cut(model, &[&phone]);
        }
        displaced(model, &laptop);
    });
}

#[test]
fn the_oldest_device_is_displaced() {
    let play = |oldest_stays: bool| {
        move |model: &mut Model| {
            let tab = model.live(3, "tab").unwrap();
            let phone = open_v1(model, Some("phone"), 1001);
            let laptop = open_v1(model, None, 1002);
            if oldest_stays {
                displaced(model, &phone);
                prove(model, &tab);
            } else {
                model.close(&tab, 4501);
                prove(model, &phone);
            }
            prove(model, &laptop);
            cut(model, &[&phone, &laptop]);
            model.connect(3, "tab", Dialect::Classic);
        }
    };
    check("the oldest gives way", &[], play(false), nothing);
    check("a newer one gives way", &[Rule::Sessions], play(true), nothing);
}
