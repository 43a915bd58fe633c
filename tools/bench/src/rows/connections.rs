//! Rows about connections: idle, new, and reconnect storms.

use teahouse_load::Dialect;
use teahouse_load::scenarios::IN_FLIGHT_MAX;
use teahouse_load::scenarios::connect::{self, Connect};
use teahouse_load::scenarios::idle::{self, Idle};
use teahouse_load::scenarios::storm::{self, Storm};

use super::Bench;
use crate::cores::Placement;
use crate::error::BenchError;
use crate::process::BaselineSend;
use crate::results::{Metric, Results, Unit};

const MANY: usize = 19_000;

pub(super) fn idle(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let connections = bench.scaled(MANY);
    let baseline = {
        let baseline = bench.bed.baseline(BaselineSend::Batches)?;
        let params = Idle { connections, dialect: Dialect::Classic, server_pid: Some(baseline.pid()) };
        idle::run(&baseline.target, params, &mut bench.progress)?
    };
    for (dialect, name) in [(Dialect::Classic, "classic"), (Dialect::V1, "v1")] {
        let server = bench.bed.server(Placement::Server, &[])?;
        let params = Idle { connections, dialect, server_pid: Some(server.pid()) };
        let report = idle::run(&server.target, params, &mut bench.progress)?;
        let metric = Metric::new(
            format!("user memory per idle connection, {connections} open, new accounts, {name}"),
            Unit::Bytes,
        )
        .with_goal("≤ 2,500 B, then ≤ 1,500 B", |bytes, _| bytes <= 2500.0);
        let bytes = report.user_bytes_per_connection.ok_or(BenchError::Missing("memory"))?;
        results.add(metric, bytes, baseline.user_bytes_per_connection);
        if dialect == Dialect::Classic {
            let metric = Metric::new("kernel memory (slab) per connection, both ends", Unit::Bytes);
            let kernel = report.kernel_slab_bytes_per_pair.ok_or(BenchError::Missing("kernel memory"))?;
            results.add(metric, kernel, baseline.kernel_slab_bytes_per_pair);
            results.add(
                Metric::new("load generator's own memory per client", Unit::Bytes),
                report.load_bytes_per_client,
                None,
            );
        }
    }
    Ok(())
}

pub(super) fn storm(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let connections = bench.scaled(MANY);
    let server = bench.bed.server(Placement::Server, &[])?;
    let params = Storm { connections, rounds: 2, dialect: Dialect::Classic, rate: 0, server_pid: Some(server.pid()) };
    let report = storm::run(&server.target, params, &mut bench.progress)?;
    let process = report.server.ok_or(BenchError::Missing("memory"))?;
    let last = process.user_bytes_per_connection_after.last().copied().ok_or(BenchError::Missing("memory"))?;
    let growth = (last / process.user_bytes_per_connection.max(1.0) - 1.0) * 100.0;
    let metric = Metric::new(format!("memory growth after three reconnect storms of {connections}"), Unit::Percent);
    results.add(metric.with_goal("≤ 10 %", |percent, _| percent <= 10.0), growth, None);
    let slowest = report.back_seconds.iter().copied().fold(0.0, f64::max);
    results.add(Metric::new(format!("{connections} reset, all live again, classic"), Unit::Seconds), slowest, None);
    Ok(())
}

pub(super) fn connect(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let connections = bench.scaled(10_000);
    let params =
        |pid| Connect { connections, in_flight_max: IN_FLIGHT_MAX, dialect: Dialect::Classic, server_pid: Some(pid) };
    let baseline = {
        let baseline = bench.bed.baseline(BaselineSend::Batches)?;
        connect::run(&baseline.target, params(baseline.pid()), &mut bench.progress)?
    };
    let server = bench.bed.server(Placement::Server, &[])?;
    let report = connect::run(&server.target, params(server.pid()), &mut bench.progress)?;
    let missing = || BenchError::Missing("CPU time");
    let metric =
        Metric::new(format!("server CPU per new session, {connections} sessions with new accounts"), Unit::Micros);
    results.add(
        metric.with_goal("≤ 60 µs", |micros, _| micros <= 60.0),
        report.server_cpu_micros_per_connect.ok_or_else(missing)?,
        baseline.server_cpu_micros_per_connect,
    );
    let metric = Metric::new("the same, reconnecting (the account exists)", Unit::Micros);
    results.add(
        metric.with_goal("≤ 60 µs", |micros, _| micros <= 60.0),
        report.server_cpu_micros_per_reconnect.ok_or_else(missing)?,
        baseline.server_cpu_micros_per_reconnect,
    );
    results.add(
        Metric::new(format!("{connections} new sessions, all live"), Unit::Seconds),
        report.seconds,
        Some(baseline.seconds),
    );
    Ok(())
}

pub(super) fn resume_storm(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let connections = bench.scaled(MANY);
    let server = bench.bed.server(Placement::Server, &[])?;
    let params = Storm { connections, rounds: 1, dialect: Dialect::V1, rate: 2, server_pid: None };
    let report = storm::run(&server.target, params, &mut bench.progress)?;
    let slowest = report.back_seconds.iter().copied().fold(0.0, f64::max);
    let metric = Metric::new(format!("{connections} reset, all live again with the lobby resumed, v1"), Unit::Seconds);
    results.add(metric.with_goal("≤ 3 s", |seconds, _| seconds <= 3.0), slowest, None);
    let metric = Metric::new("slowest answer to a probe meanwhile", Unit::Millis);
    results.add(metric.with_goal("≤ 100 ms", |ms, _| ms <= 100.0), report.probe.latency.max_ms, None);
    let receipts = report.receipts.unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let wrong = (receipts.lost + receipts.duplicated + receipts.out_of_order) as f64;
    let metric = Metric::new("messages lost, duplicated or out of order in it", Unit::Count);
    results.add(metric.with_goal("0", |wrong, _| wrong == 0.0), wrong, None);
    Ok(())
}

pub(super) fn observer(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    for full in [1000, 10_000] {
        let connections = bench.scaled(full);
        // Without linger, every disconnect and reconnect changes the count.
        let server = bench.bed.server(Placement::Server, &[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0s")])?;
        let params = Storm { connections, rounds: 3, dialect: Dialect::Classic, rate: 0, server_pid: None };
        let report = storm::run(&server.target, params, &mut bench.progress)?;
        #[expect(clippy::cast_precision_loss, reason = "bytes of one run")]
        let rate = report.observer.bytes as f64 / report.observer.seconds;
        let metric = Metric::new(
            format!("traffic to an observer during storms of {connections}, without linger"),
            Unit::BytesPerSecond,
        );
        // Four counts of some fifty bytes per second, and one on joining.
        results.add(metric.with_goal("bounded by time", |bytes, _| bytes <= 300.0), rate, None);
    }
    Ok(())
}
