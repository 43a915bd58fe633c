//! What it costs that messages are kept: durable sending, many rooms, catching up.

use teahouse_load::Door;
use teahouse_load::scenarios::durable::{self, Durable, Places};
use teahouse_load::scenarios::resume::{self, Resume};
use teahouse_load::scenarios::rooms::{self, Rooms};

use super::Bench;
use crate::book::{Book, Goal, Line, Unit};
use crate::cores::Place;
use crate::error::BenchError;

const CHARS: usize = 200;

pub fn durable(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let goals: [(usize, Places, &str, Option<Goal>); 3] = [
        (100, Places::Each, "a room each", Some(("≥ 10 k/s", |rate, _| rate >= 10e3))),
        (1000, Places::Each, "a room each", Some(("≥ 20 k/s", |rate, _| rate >= 20e3))),
        (1000, Places::One, "one room", None),
    ];
    for (senders, places, name, goal) in goals {
        let senders = bench.some(senders);
        let server = bench.house.server(Place::Server, &[])?;
        let asked = Durable {
            senders,
            duration: bench.time,
            door: Door::V1,
            places,
            rate: None,
            chars: CHARS,
            server_pid: Some(server.pid()),
        };
        let report = durable::run(&server.target, asked, &mut bench.progress)?;
        let what = format!("durable messages over v1, {senders} senders, {name}");
        book.add(Line { goal, ..Line::new(what.clone(), Unit::PerSecond) }, report.messages_per_second, None);
        let line = Line::new(format!("{what}: p99"), Unit::Millis);
        let line = if goal.is_some() { line.reaching("≤ 50 ms", |ms, _| ms <= 50.0) } else { line };
        book.add(line, report.latency.p99_ms, None);
        let cpu = report.server_cpu_micros_per_message.ok_or(BenchError::Untold("processor time"))?;
        book.add(Line::new(format!("{what}: server CPU for each"), Unit::Micros), cpu, None);
    }
    Ok(())
}

pub fn rooms(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let count = bench.some(10_000);
    let server = bench.house.server(Place::Server, &[])?;
    let asked = |busy| Rooms {
        people: count.max(10),
        rooms: count,
        members: 10,
        busy,
        window: 1000,
        rate: None,
        chars: CHARS,
        duration: bench.time,
        server_pid: Some(server.pid()),
    };
    let (all, one) = (asked(count), asked(1));
    let mut premises = rooms::prepare(&server.target, all, &mut bench.progress)?;
    let spread = rooms::speak(&mut premises, all, &mut bench.progress)?;
    let alone = rooms::speak(&mut premises, one, &mut bench.progress)?;
    let what = format!("{count} rooms of 10, stored, 1,000 on their way");
    book.add(
        Line::new(format!("{what}, in all rooms: deliveries"), Unit::PerSecond),
        spread.deliveries_per_second,
        None,
    );
    book.add(Line::new(format!("{what}, in one room: deliveries"), Unit::PerSecond), alone.deliveries_per_second, None);
    let line = Line::new(format!("{what}: all rooms against one"), Unit::Times);
    let share = spread.deliveries_per_second / alone.deliveries_per_second.max(1.0);
    book.add(line.reaching("≥ 0.7", |share, _| share >= 0.7), share, None);
    let cpus = spread.server_cpu_micros_per_delivery.zip(alone.server_cpu_micros_per_delivery);
    let (spread_cpu, alone_cpu) = cpus.ok_or(BenchError::Untold("processor time"))?;
    book.add(Line::new(format!("{what}, in all rooms: server CPU for each delivery"), Unit::Micros), spread_cpu, None);
    book.add(Line::new(format!("{what}, in one room: server CPU for each delivery"), Unit::Micros), alone_cpu, None);
    Ok(())
}

pub fn resume(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let sessions = bench.some(1000);
    let changes = bench.some(500);
    let server = bench.house.server(Place::Server, &[])?;
    let asked = Resume { sessions, changes, rooms: 10.min(sessions), chars: CHARS, server_pid: Some(server.pid()) };
    let report = resume::run(&server.target, asked, &mut bench.progress)?;
    let what = format!("{sessions} sessions come back after {changes} changes each");
    let line = Line::new(format!("{what}: envelopes"), Unit::PerSecond);
    book.add(line.reaching("≥ 300 k/s", |rate, _| rate >= 300e3), report.envelopes_per_second, None);
    let line = Line::new(format!("{what}: live p99 of another, against before"), Unit::Times);
    let times = report.live_meanwhile.p99_ms / report.live_before.p99_ms.max(1e-3);
    book.add(line.reaching("< 2 ×", |times, _| times < 2.0), times, None);
    book.add(Line::new(format!("{what}: live p99 of another"), Unit::Millis), report.live_meanwhile.p99_ms, None);
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let wrong = (report.receipts.lost + report.receipts.doubled + report.receipts.out_of_order) as f64;
    let line = Line::new(format!("{what}: lost, doubled or out of order"), Unit::Count);
    book.add(line.reaching("0", |wrong, _| wrong == 0.0), wrong, None);
    Ok(())
}
