//! What it costs that one speaks and many hear it.

use teahouse_load::scenarios::fanout::{self, Fanout, FanoutReport, Pace};
use teahouse_load::{Crowd, Dialect};

use super::Bench;
use crate::book::{Book, Line, Unit};
use crate::cores::Place;
use crate::error::BenchError;
use crate::running::{FloorSends, Running};

/// Characters of a message, as in MEASURED's sketches.
const CHARS: usize = 200;

/// A report, and how many deliveries went into a write.
struct Spoken {
    report: FanoutReport,
    batch: f64,
}

impl Spoken {
    fn cpu(&self) -> Result<f64, BenchError> {
        self.report.server_cpu_micros_per_delivery.ok_or(BenchError::Untold("processor time"))
    }

    /// How many deliveries went into a write, and what that write cost.
    fn write(&self) -> Result<(f64, f64), BenchError> {
        Ok((self.batch, self.batch * self.cpu()?))
    }
}

/// What a write of `batch` deliveries costs, by those that were measured, which are in the order of their size.
fn write_of(batch: f64, measured: &[(f64, f64)]) -> Option<f64> {
    let after = measured.iter().position(|(size, _)| *size >= batch).unwrap_or(measured.len() - 1).max(1);
    let ((less, cheap), (more, dear)) = (*measured.get(after - 1)?, *measured.get(after)?);
    Some(cheap + (dear - cheap) * (batch - less) / (more - less))
}

pub fn speech(bench: &Bench, pace: Pace, pid: u32) -> Fanout {
    Fanout {
        subscribers: 0,
        pace,
        chars: CHARS,
        duration: bench.time,
        dialect: Dialect::Classic,
        server_pid: Some(pid),
    }
}

fn speak(bench: &mut Bench, house: &Running, crowd: &mut Crowd, pace: Pace) -> Result<Spoken, BenchError> {
    let asked = speech(bench, pace, house.pid());
    let before = house.writes()?;
    let report = fanout::speak(crowd, asked, &mut bench.progress)?;
    let writes = house.writes()?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let batch = report.receipts.heard as f64 / writes.max(1) as f64;
    Ok(Spoken { report, batch })
}

/// Everything that came is what should have come, or the figure is worth nothing.
fn wrong(report: &FanoutReport) -> f64 {
    let receipts = report.receipts;
    #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
    let wrong = (receipts.lost + receipts.doubled + receipts.out_of_order) as f64;
    wrong
}

pub fn fanout(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let paces = [(Pace::W1, "w1"), (Pace::W8, "w8"), (Pace::DEEP, "deep")];
    let mut failures = 0.0;
    for full in [1000, 10_000] {
        let subscribers = bench.some(full);
        let mut served = Vec::new();
        {
            let server = bench.house.server(Place::Server, &[])?;
            let mut crowd = fanout::gather(&server.target, subscribers, Dialect::Classic, &mut bench.progress)?;
            for (pace, _) in paces {
                served.push(speak(bench, &server, &mut crowd, pace)?);
            }
        }
        let mut floors = Vec::new();
        for (pace, _) in paces {
            // Where nothing can be gathered, a send a frame is the floor.
            let sends = if pace == Pace::W1 { FloorSends::Frames } else { FloorSends::Batches };
            let house = bench.house.floor(sends)?;
            let mut crowd = fanout::gather(&house.target, subscribers, Dialect::Classic, &mut bench.progress)?;
            floors.push(speak(bench, &house, &mut crowd, pace)?);
        }
        let floor_writes = floors.iter().map(Spoken::write).collect::<Result<Vec<_>, _>>()?;
        for (((_, name), served), floor) in paces.into_iter().zip(served).zip(floors) {
            let what = format!("fan-out to {subscribers}, {name}");
            book.add(
                Line::new(format!("{what}: deliveries"), Unit::PerSecond),
                served.report.deliveries_per_second,
                Some(floor.report.deliveries_per_second),
            );
            let (batch, write) = served.write()?;
            // 0.85 of the floor's rate, at the same number of deliveries in a write.
            let line = Line::new(format!("{what}: server CPU for each write, the floor's of as many"), Unit::Micros);
            book.add(
                line.reaching("≤ 1.18 × the floor", |_, ratio| ratio <= Some(1.0 / 0.85)),
                write,
                write_of(batch, &floor_writes),
            );
            book.add(
                Line::new(format!("{what}: server CPU for each delivery"), Unit::Micros),
                served.cpu()?,
                Some(floor.cpu()?),
            );
            book.add(Line::new(format!("{what}: deliveries in a write"), Unit::Times), served.batch, Some(floor.batch));
            failures += wrong(&served.report);
        }
    }
    let line = Line::new("messages lost, doubled or out of order in all of these", Unit::Count);
    book.add(line.reaching("0", |wrong, _| wrong == 0.0), failures, None);
    Ok(())
}

pub fn latency(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let subscribers = bench.some(1000);
    let pace = Pace::Rate(400);
    let floor = {
        let house = bench.house.floor(FloorSends::Batches)?;
        let mut crowd = fanout::gather(&house.target, subscribers, Dialect::Classic, &mut bench.progress)?;
        speak(bench, &house, &mut crowd, pace)?.report
    };
    for (dialect, name) in [(Dialect::Classic, "classic"), (Dialect::V1, "v1")] {
        let server = bench.house.server(Place::Server, &[])?;
        let mut crowd = fanout::gather(&server.target, subscribers, dialect, &mut bench.progress)?;
        let asked = Fanout { dialect, ..speech(bench, pace, server.pid()) };
        let report = fanout::speak(&mut crowd, asked, &mut bench.progress)?;
        for (quantile, value, floor) in
            [("p50", report.latency.p50_ms, floor.latency.p50_ms), ("p99", report.latency.p99_ms, floor.latency.p99_ms)]
        {
            let what = format!("400 messages/s to {subscribers}, stored, {name}: latency {quantile}");
            let line = Line::new(what, Unit::Millis);
            book.add(line.reaching("≤ 2 × the floor", |_, ratio| ratio <= Some(2.0)), value, Some(floor));
        }
    }
    Ok(())
}

pub fn shards(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let subscribers = bench.some(1000);
    if bench.house.cores.count() < 2 {
        book.miss("shards", &"there is only one core");
        return Ok(());
    }
    let mut rates = Vec::new();
    for (shards, name) in [("1", "one shard"), ("2", "two shards")] {
        let server = bench.house.server(Place::Anywhere, &[("TEAHOUSE_SERVER__SHARDS", shards)])?;
        let mut crowd = fanout::gather(&server.target, subscribers, Dialect::Classic, &mut bench.progress)?;
        let spoken = speak(bench, &server, &mut crowd, Pace::W8)?;
        let what = format!("{name}, all cores shared with the load, {subscribers}, w8");
        book.add(Line::new(format!("{what}: deliveries"), Unit::PerSecond), spoken.report.deliveries_per_second, None);
        book.add(Line::new(format!("{what}: server CPU for each delivery"), Unit::Micros), spoken.cpu()?, None);
        rates.push(spoken.report.deliveries_per_second);
    }
    bench.house.cores.go(Place::Load)?;
    if let [one, two] = rates[..] {
        let line = Line::new("two shards against one, deliveries", Unit::Times).reaching("reported", |_, _| true);
        book.add(line, two / one, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::write_of;

    #[test]
    fn what_a_write_costs_lies_between_those_that_were_measured() {
        let measured = [(1.0, 7.0), (8.0, 9.0), (32.0, 12.0)];
        let costs = [1.0, 4.5, 8.0, 20.0, 32.0, 40.0].map(|batch| write_of(batch, &measured));
        assert_eq!(costs, [7.0, 8.0, 9.0, 10.5, 12.0, 13.0].map(Some));
    }
}
