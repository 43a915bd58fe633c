//! Rows about growth: cost over the number of connections, for the server and the baseline.

use teahouse_load::Dialect;
use teahouse_load::process;
use teahouse_load::scenarios::fanout::{self, Pace};

use super::Bench;
use super::delivery::fanout_params;
use crate::cores::Placement;
use crate::error::BenchError;
use crate::process::{BaselineSend, Process};
use crate::results::{Metric, Results, Unit};

const SIZES: [usize; 4] = [100, 1000, 10_000, 19_000];
/// Deliveries per second at which latency is measured, whatever the number of connections: well below the capacity of
/// one core.
const DELIVERIES_PER_SECOND: usize = 100_000;

struct Figures {
    memory: f64,
    connect: f64,
    delivery: f64,
    latency: f64,
}

pub(super) fn growth(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let mut all = Vec::new();
    for full in SIZES {
        let size = bench.scaled(full);
        let baseline = {
            let process = bench.bed.baseline(BaselineSend::Batches)?;
            measure(bench, &process, size)?
        };
        let process = bench.bed.server(Placement::Server, &[])?;
        let server = measure(bench, &process, size)?;
        add_figures(results, size, &server, &baseline);
        all.push((size, server, baseline));
    }
    let (Some((small, few, few_baseline)), Some((large, many, many_baseline))) = (all.get(1), all.last()) else {
        return Ok(());
    };
    let flat = |times: f64, ratio: Option<f64>| times <= 1.15 || ratio <= Some(1.15);
    let metric = Metric::new(format!("cost of a delivery at {large} against {small}, w8"), Unit::Times);
    results.add(
        metric.with_goal("flat but for the kernel's share", flat),
        many.delivery / few.delivery.max(1e-9),
        Some(many_baseline.delivery / few_baseline.delivery.max(1e-9)),
    );
    let metric = Metric::new(format!("cost of a new session at {large} against {small}"), Unit::Times);
    results.add(
        metric.with_goal("flat but for the kernel's share", flat),
        many.connect / few.connect.max(1e-9),
        Some(many_baseline.connect / few_baseline.connect.max(1e-9)),
    );
    Ok(())
}

fn add_figures(results: &mut Results, size: usize, server: &Figures, baseline: &Figures) {
    let mut add = |what: &str, unit, value, baseline| {
        results.add(Metric::new(format!("{size} connections: {what}"), unit), value, Some(baseline));
    };
    add("user memory per idle connection", Unit::Bytes, server.memory, baseline.memory);
    add("server CPU per new session", Unit::Micros, server.connect, baseline.connect);
    add("server CPU per delivery, w8", Unit::Micros, server.delivery, baseline.delivery);
    add("latency p99 at 100,000 deliveries/s", Unit::Millis, server.latency, baseline.latency);
}

fn measure(bench: &mut Bench, server: &Process, size: usize) -> Result<Figures, BenchError> {
    let (memory, cpu) = (process::anonymous_bytes(server.pid())?, process::processor_time(server.pid())?);
    let mut pool = fanout::connect(&server.target, size, Dialect::Classic, &mut bench.progress)?;
    let used = process::processor_time(server.pid())?.saturating_sub(cpu);
    let growth = process::anonymous_bytes(server.pid())?.saturating_sub(memory);
    let report = fanout::measure(&mut pool, fanout_params(bench, Pace::W8, server.pid()), &mut bench.progress)?;
    let delivery = report.server_cpu_micros_per_delivery.ok_or(BenchError::Missing("CPU time"))?;
    let rate = u32::try_from((bench.scaled(DELIVERIES_PER_SECOND) / size.max(1)).max(1)).unwrap_or(1);
    let report = fanout::measure(&mut pool, fanout_params(bench, Pace::Rate(rate), server.pid()), &mut bench.progress)?;
    #[expect(clippy::cast_precision_loss, reason = "connections and bytes of one machine")]
    let (memory, connect) = (growth as f64 / size as f64, used.as_secs_f64() * 1e6 / size as f64);
    Ok(Figures { memory, connect, delivery, latency: report.latency.p99_ms })
}
