//! Rows about fan-out: throughput, cost and latency of lobby messages, beside the baseline.

use teahouse_load::scenarios::fanout::{self, Fanout, FanoutReport, Pace};
use teahouse_load::{ClientPool, Dialect};

use super::Bench;
use crate::cores::Placement;
use crate::error::BenchError;
use crate::process::{BaselineSend, Process};
use crate::results::{Metric, Results, Unit};

/// Characters per message.
const CHARS: usize = 200;

/// A report, and the average number of deliveries per write.
struct Run {
    report: FanoutReport,
    batch: f64,
}

impl Run {
    fn cpu(&self) -> Result<f64, BenchError> {
        self.report.server_cpu_micros_per_delivery.ok_or(BenchError::Missing("processor time"))
    }

    /// Deliveries per write, and the CPU time of a write.
    fn write(&self) -> Result<(f64, f64), BenchError> {
        Ok((self.batch, self.batch * self.cpu()?))
    }
}

/// CPU time of a write of `batch` deliveries, interpolated between measurements that are sorted by batch size.
fn write_cost(batch: f64, measured: &[(f64, f64)]) -> Option<f64> {
    let after = measured.iter().position(|(size, _)| *size >= batch).unwrap_or(measured.len() - 1).max(1);
    let ((smaller, low), (larger, high)) = (*measured.get(after - 1)?, *measured.get(after)?);
    Some(low + (high - low) * (batch - smaller) / (larger - smaller))
}

pub(super) fn fanout_params(bench: &Bench, pace: Pace, pid: u32) -> Fanout {
    Fanout {
        subscribers: 0,
        pace,
        chars: CHARS,
        duration: bench.time,
        dialect: Dialect::Classic,
        server_pid: Some(pid),
    }
}

fn measure(bench: &mut Bench, process: &Process, pool: &mut ClientPool, pace: Pace) -> Result<Run, BenchError> {
    let params = fanout_params(bench, pace, process.pid());
    let before = process.writes()?;
    let report = fanout::measure(pool, params, &mut bench.progress)?;
    let writes = process.writes()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let batch = report.receipts.received as f64 / writes.max(1) as f64;
    Ok(Run { report, batch })
}

/// Number of wrong deliveries; figures count only if it is zero.
fn wrong(report: &FanoutReport) -> f64 {
    let receipts = report.receipts;
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let wrong = (receipts.lost + receipts.duplicated + receipts.out_of_order) as f64;
    wrong
}

pub(super) fn fanout(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let mut failures = 0.0;
    for full in [1000, 10_000] {
        failures += fanout_to(bench, results, full)?;
    }
    let metric = Metric::new("messages lost, duplicated or out of order in all of these", Unit::Count);
    results.add(metric.with_goal("0", |wrong, _| wrong == 0.0), failures, None);
    Ok(())
}

fn fanout_to(bench: &mut Bench, results: &mut Results, full: usize) -> Result<f64, BenchError> {
    let paces = [(Pace::W1, "w1"), (Pace::W8, "w8"), (Pace::DEEP, "deep")];
    let mut failures = 0.0;
    let subscribers = bench.scaled(full);
    let mut server_runs = Vec::new();
    {
        let server = bench.bed.server(Placement::Server, &[])?;
        let mut pool = fanout::connect(&server.target, subscribers, Dialect::Classic, &mut bench.progress)?;
        for (pace, _) in paces {
            server_runs.push(measure(bench, &server, &mut pool, pace)?);
        }
    }
    let mut baseline_runs = Vec::new();
    for (pace, _) in paces {
        // With one message in flight there is nothing to batch, so the baseline sends frame by frame.
        let sends = if pace == Pace::W1 { BaselineSend::Frames } else { BaselineSend::Batches };
        let baseline = bench.bed.baseline(sends)?;
        let mut pool = fanout::connect(&baseline.target, subscribers, Dialect::Classic, &mut bench.progress)?;
        baseline_runs.push(measure(bench, &baseline, &mut pool, pace)?);
    }
    let baseline_writes = baseline_runs.iter().map(Run::write).collect::<Result<Vec<_>, _>>()?;
    for (((_, name), server), baseline) in paces.into_iter().zip(server_runs).zip(baseline_runs) {
        let what = format!("fan-out to {subscribers}, {name}");
        results.add(
            Metric::new(format!("{what}: deliveries"), Unit::PerSecond),
            server.report.deliveries_per_second,
            Some(baseline.report.deliveries_per_second),
        );
        let (batch, write) = server.write()?;
        // 1.18 is 1 / 0.85: the goal is 0.85 of the baseline's rate, at the same batch size.
        let metric =
            Metric::new(format!("{what}: server CPU per write, baseline at the same batch size"), Unit::Micros);
        results.add(
            metric.with_goal("≤ 1.18 × baseline", |_, ratio| ratio <= Some(1.0 / 0.85)),
            write,
            write_cost(batch, &baseline_writes),
        );
        let metric = Metric::new(format!("{what}: server CPU per delivery"), Unit::Micros);
        results.add(metric, server.cpu()?, Some(baseline.cpu()?));
        let metric = Metric::new(format!("{what}: deliveries per write"), Unit::Times);
        results.add(metric, server.batch, Some(baseline.batch));
        failures += wrong(&server.report);
    }
    Ok(failures)
}

pub(super) fn latency(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let subscribers = bench.scaled(1000);
    let pace = Pace::Rate(400);
    let baseline = {
        let process = bench.bed.baseline(BaselineSend::Batches)?;
        let mut pool = fanout::connect(&process.target, subscribers, Dialect::Classic, &mut bench.progress)?;
        measure(bench, &process, &mut pool, pace)?.report
    };
    for (dialect, name) in [(Dialect::Classic, "classic"), (Dialect::V1, "v1")] {
        let server = bench.bed.server(Placement::Server, &[])?;
        let mut pool = fanout::connect(&server.target, subscribers, dialect, &mut bench.progress)?;
        let params = Fanout { dialect, ..fanout_params(bench, pace, server.pid()) };
        let report = fanout::measure(&mut pool, params, &mut bench.progress)?;
        for (quantile, value, baseline) in [
            ("p50", report.latency.p50_ms, baseline.latency.p50_ms),
            ("p99", report.latency.p99_ms, baseline.latency.p99_ms),
        ] {
            let what = format!("400 messages/s to {subscribers}, stored, {name}: latency {quantile}");
            let metric = Metric::new(what, Unit::Millis);
            results.add(metric.with_goal("≤ 2 × baseline", |_, ratio| ratio <= Some(2.0)), value, Some(baseline));
        }
    }
    Ok(())
}

pub(super) fn shards(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let subscribers = bench.scaled(1000);
    if bench.bed.cores.count() < 2 {
        results.record_missing("shards", &"the machine has only one core");
        return Ok(());
    }
    let mut rates = Vec::new();
    for (shards, name) in [("1", "one shard"), ("2", "two shards")] {
        let server = bench.bed.server(Placement::Anywhere, &[("TEAHOUSE_SERVER__SHARDS", shards)])?;
        let mut pool = fanout::connect(&server.target, subscribers, Dialect::Classic, &mut bench.progress)?;
        let run = measure(bench, &server, &mut pool, Pace::W8)?;
        let what = format!("{name}, all cores shared with the load, {subscribers}, w8");
        results.add(
            Metric::new(format!("{what}: deliveries"), Unit::PerSecond),
            run.report.deliveries_per_second,
            None,
        );
        results.add(Metric::new(format!("{what}: server CPU per delivery"), Unit::Micros), run.cpu()?, None);
        rates.push(run.report.deliveries_per_second);
    }
    bench.bed.cores.pin(Placement::Load)?;
    if let [one, two] = rates[..] {
        let metric = Metric::new("two shards against one, deliveries", Unit::Times).with_goal("reported", |_, _| true);
        results.add(metric, two / one, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::write_cost;

    #[test]
    fn the_cost_of_a_write_is_interpolated() {
        let measured = [(1.0, 7.0), (8.0, 9.0), (32.0, 12.0)];
        let costs = [1.0, 4.5, 8.0, 20.0, 32.0, 40.0].map(|batch| write_cost(batch, &measured));
        assert_eq!(costs, [7.0, 8.0, 9.0, 10.5, 12.0, 13.0].map(Some));
    }
}
