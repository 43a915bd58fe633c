//! What connections cost: open, coming, and cut off all at once.

use teahouse_load::Dialect;
use teahouse_load::scenarios::IN_FLIGHT_MAX;
use teahouse_load::scenarios::connect::{self, Connect};
use teahouse_load::scenarios::idle::{self, Idle};
use teahouse_load::scenarios::storm::{self, Storm};

use super::Bench;
use crate::book::{Book, Line, Unit};
use crate::cores::Place;
use crate::error::BenchError;
use crate::running::FloorSends;

const MANY: usize = 19_000;

pub fn idle(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let connections = bench.some(MANY);
    let floor = {
        let floor = bench.house.floor(FloorSends::Batches)?;
        let asked = Idle { connections, dialect: Dialect::Classic, server_pid: Some(floor.pid()) };
        idle::run(&floor.target, asked, &mut bench.progress)?
    };
    for (dialect, name) in [(Dialect::Classic, "classic"), (Dialect::V1, "v1")] {
        let server = bench.house.server(Place::Server, &[])?;
        let asked = Idle { connections, dialect, server_pid: Some(server.pid()) };
        let report = idle::run(&server.target, asked, &mut bench.progress)?;
        let line = Line::new(
            format!("user memory for each idle connection, {connections} open, accounts new, {name}"),
            Unit::Bytes,
        )
        .reaching("≤ 2,500 B, then ≤ 1,500 B", |bytes, _| bytes <= 2500.0);
        let bytes = report.user_bytes_per_connection.ok_or(BenchError::Untold("memory"))?;
        book.add(line, bytes, floor.user_bytes_per_connection);
        if dialect == Dialect::Classic {
            let line = Line::new("kernel memory (slab) for each, both ends", Unit::Bytes);
            let kernel = report.kernel_slab_bytes_per_pair.ok_or(BenchError::Untold("kernel memory"))?;
            book.add(line, kernel, floor.kernel_slab_bytes_per_pair);
            book.add(
                Line::new("the crowd's own memory for each client", Unit::Bytes),
                report.crowd_bytes_per_client,
                None,
            );
        }
    }
    Ok(())
}

pub fn storm(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let connections = bench.some(MANY);
    let server = bench.house.server(Place::Server, &[])?;
    let asked = Storm { connections, rounds: 2, dialect: Dialect::Classic, rate: 0, server_pid: Some(server.pid()) };
    let report = storm::run(&server.target, asked, &mut bench.progress)?;
    let told = report.server.ok_or(BenchError::Untold("memory"))?;
    let last = told.user_bytes_per_connection_after.last().copied().ok_or(BenchError::Untold("memory"))?;
    let growth = (last / told.user_bytes_per_connection.max(1.0) - 1.0) * 100.0;
    let line = Line::new(format!("growth of memory after three reconnect storms of {connections}"), Unit::Percent);
    book.add(line.reaching("≤ 10 %", |percent, _| percent <= 10.0), growth, None);
    let slowest = report.back_seconds.iter().copied().fold(0.0, f64::max);
    book.add(Line::new(format!("{connections} cut off, all live again, classic"), Unit::Seconds), slowest, None);
    Ok(())
}

pub fn connect(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let connections = bench.some(10_000);
    let asked =
        |pid| Connect { connections, in_flight_max: IN_FLIGHT_MAX, dialect: Dialect::Classic, server_pid: Some(pid) };
    let floor = {
        let floor = bench.house.floor(FloorSends::Batches)?;
        connect::run(&floor.target, asked(floor.pid()), &mut bench.progress)?
    };
    let server = bench.house.server(Place::Server, &[])?;
    let report = connect::run(&server.target, asked(server.pid()), &mut bench.progress)?;
    let untold = || BenchError::Untold("processor time");
    let line = Line::new(
        format!("server CPU for each of {connections} new sessions, account made, registered, presence told"),
        Unit::Micros,
    );
    book.add(
        line.reaching("≤ 60 µs", |micros, _| micros <= 60.0),
        report.server_cpu_micros_per_connect.ok_or_else(untold)?,
        floor.server_cpu_micros_per_connect,
    );
    let line = Line::new("the same, coming back (the account is there)", Unit::Micros);
    book.add(
        line.reaching("≤ 60 µs", |micros, _| micros <= 60.0),
        report.server_cpu_micros_per_reconnect.ok_or_else(untold)?,
        floor.server_cpu_micros_per_reconnect,
    );
    book.add(
        Line::new(format!("{connections} new sessions, all live"), Unit::Seconds),
        report.seconds,
        Some(floor.seconds),
    );
    Ok(())
}

pub fn resume_storm(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let connections = bench.some(MANY);
    let server = bench.house.server(Place::Server, &[])?;
    let asked = Storm { connections, rounds: 1, dialect: Dialect::V1, rate: 2, server_pid: None };
    let report = storm::run(&server.target, asked, &mut bench.progress)?;
    let slowest = report.back_seconds.iter().copied().fold(0.0, f64::max);
    let line = Line::new(format!("{connections} cut off, all live again with the lobby resumed, v1"), Unit::Seconds);
    book.add(line.reaching("≤ 3 s", |seconds, _| seconds <= 3.0), slowest, None);
    let line = Line::new("a probe's slowest answer meanwhile", Unit::Millis);
    book.add(line.reaching("≤ 100 ms", |ms, _| ms <= 100.0), report.probe.latency.max_ms, None);
    let receipts = report.receipts.unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let wrong = (receipts.lost + receipts.doubled + receipts.out_of_order) as f64;
    let line = Line::new("messages lost, doubled or out of order in it", Unit::Count);
    book.add(line.reaching("0", |wrong, _| wrong == 0.0), wrong, None);
    Ok(())
}

pub fn onlooker(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    for full in [1000, 10_000] {
        let connections = bench.some(full);
        // Nobody lingers, so that each going and each coming changes the number.
        let server = bench.house.server(Place::Server, &[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0s")])?;
        let asked = Storm { connections, rounds: 3, dialect: Dialect::Classic, rate: 0, server_pid: None };
        let report = storm::run(&server.target, asked, &mut bench.progress)?;
        #[expect(clippy::cast_precision_loss, reason = "bytes of one run")]
        let rate = report.onlooker.bytes as f64 / report.onlooker.seconds;
        let line = Line::new(
            format!("what an onlooker hears in a second of storms of {connections}, without linger"),
            Unit::BytesPerSecond,
        );
        // Four counts a second of some fifty bytes, and one on joining.
        book.add(line.reaching("bounded by time", |bytes, _| bytes <= 300.0), rate, None);
    }
    Ok(())
}
