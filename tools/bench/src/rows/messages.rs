//! Rows about stored messages: durable sending, many rooms, resume.

use teahouse_load::Transport;
use teahouse_load::scenarios::durable::{self, Durable, Places};
use teahouse_load::scenarios::resume::{self, Resume};
use teahouse_load::scenarios::rooms::{self, Rooms};

use super::Bench;
use crate::cores::Placement;
use crate::error::BenchError;
use crate::results::{Goal, Metric, Results, Unit};

const CHARS: usize = 200;

pub(super) fn durable(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let goals: [(usize, Places, &str, Option<Goal>); 3] = [
        (100, Places::Each, "a room each", Some(("≥ 10 k/s", |rate, _| rate >= 10e3))),
        (1000, Places::Each, "a room each", Some(("≥ 20 k/s", |rate, _| rate >= 20e3))),
        (1000, Places::One, "one room", None),
    ];
    for (senders, places, name, goal) in goals {
        let senders = bench.scaled(senders);
        let server = bench.bed.server(Placement::Server, &[])?;
        let params = Durable {
            senders,
            duration: bench.time,
            transport: Transport::V1,
            places,
            rate: None,
            chars: CHARS,
            server_pid: Some(server.pid()),
        };
        let report = durable::run(&server.target, params, &mut bench.progress)?;
        let what = format!("durable messages over v1, {senders} senders, {name}");
        results.add(Metric { goal, ..Metric::new(what.clone(), Unit::PerSecond) }, report.messages_per_second, None);
        let metric = Metric::new(format!("{what}: p99"), Unit::Millis);
        let metric = if goal.is_some() { metric.with_goal("≤ 50 ms", |ms, _| ms <= 50.0) } else { metric };
        results.add(metric, report.latency.p99_ms, None);
        let cpu = report.server_cpu_micros_per_message.ok_or(BenchError::Missing("CPU time"))?;
        results.add(Metric::new(format!("{what}: server CPU per message"), Unit::Micros), cpu, None);
    }
    Ok(())
}

pub(super) fn rooms(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let count = bench.scaled(10_000);
    let server = bench.bed.server(Placement::Server, &[])?;
    let params = |busy| Rooms {
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
    let (all, one) = (params(count), params(1));
    let mut fixture = rooms::prepare(&server.target, all, &mut bench.progress)?;
    let spread = rooms::measure(&mut fixture, all, &mut bench.progress)?;
    let alone = rooms::measure(&mut fixture, one, &mut bench.progress)?;
    let what = format!("{count} rooms of 10, stored, 1,000 in flight");
    results.add(
        Metric::new(format!("{what}, in all rooms: deliveries"), Unit::PerSecond),
        spread.deliveries_per_second,
        None,
    );
    results.add(
        Metric::new(format!("{what}, in one room: deliveries"), Unit::PerSecond),
        alone.deliveries_per_second,
        None,
    );
    let metric = Metric::new(format!("{what}: all rooms against one"), Unit::Times);
    let share = spread.deliveries_per_second / alone.deliveries_per_second.max(1.0);
    results.add(metric.with_goal("≥ 0.7", |share, _| share >= 0.7), share, None);
    let cpus = spread.server_cpu_micros_per_delivery.zip(alone.server_cpu_micros_per_delivery);
    let (spread_cpu, alone_cpu) = cpus.ok_or(BenchError::Missing("CPU time"))?;
    results.add(Metric::new(format!("{what}, in all rooms: server CPU per delivery"), Unit::Micros), spread_cpu, None);
    results.add(Metric::new(format!("{what}, in one room: server CPU per delivery"), Unit::Micros), alone_cpu, None);
    Ok(())
}

pub(super) fn resume(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let sessions = bench.scaled(1000);
    let changes = bench.scaled(500);
    let server = bench.bed.server(Placement::Server, &[])?;
    let params = Resume { sessions, changes, rooms: 10.min(sessions), chars: CHARS, server_pid: Some(server.pid()) };
    let report = resume::run(&server.target, params, &mut bench.progress)?;
    let what = format!("{sessions} sessions resume after {changes} changes each");
    let metric = Metric::new(format!("{what}: envelopes"), Unit::PerSecond);
    results.add(metric.with_goal("≥ 300 k/s", |rate, _| rate >= 300e3), report.envelopes_per_second, None);
    let metric = Metric::new(format!("{what}: live p99 of another client, against before"), Unit::Times);
    let times = report.live_meanwhile.p99_ms / report.live_before.p99_ms.max(1e-3);
    results.add(metric.with_goal("< 2 ×", |times, _| times < 2.0), times, None);
    results.add(
        Metric::new(format!("{what}: live p99 of another client"), Unit::Millis),
        report.live_meanwhile.p99_ms,
        None,
    );
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let wrong = (report.receipts.lost + report.receipts.duplicated + report.receipts.out_of_order) as f64;
    let metric = Metric::new(format!("{what}: lost, duplicated or out of order"), Unit::Count);
    results.add(metric.with_goal("0", |wrong, _| wrong == 0.0), wrong, None);
    Ok(())
}
