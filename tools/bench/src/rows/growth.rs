//! How cost grows with the number of connections, the server's and the floor's: what the pictures show.

use teahouse_load::Dialect;
use teahouse_load::process;
use teahouse_load::scenarios::fanout::{self, Pace};

use super::Bench;
use super::delivery::speech;
use crate::book::{Book, Line, Unit};
use crate::cores::Place;
use crate::error::BenchError;
use crate::running::{FloorSends, Running};

const SIZES: [usize; 4] = [100, 1000, 10_000, 19_000];
/// So many deliveries a second are offered where latency is measured, whatever the size: well below what one
/// core bears.
const OFFERED: usize = 100_000;

pub const MEMORY: &str = "bench-memory";
pub const CONNECT: &str = "bench-connect";
pub const COST: &str = "bench-cost";
pub const LATENCY: &str = "bench-latency";

/// The pictures: file name, title, unit.
pub const PICTURES: [(&str, &str, &str); 4] = [
    (MEMORY, "User memory for each idle connection", "bytes"),
    (CONNECT, "Server CPU for each new session", "µs"),
    (COST, "Server CPU for each delivery, eight messages on their way", "µs"),
    (LATENCY, "Latency p99 at 100,000 deliveries a second", "ms"),
];

struct Figures {
    connect: f64,
    cost: f64,
}

pub fn growth(bench: &mut Bench, book: &mut Book) -> Result<(), BenchError> {
    let mut all = Vec::new();
    for full in SIZES {
        let size = bench.some(full);
        let floor = {
            let house = bench.house.floor(FloorSends::Batches)?;
            look(bench, book, &house, "the floor", size)?
        };
        let server = bench.house.server(Place::Server, &[])?;
        let served = look(bench, book, &server, "Teahouse", size)?;
        all.push((size, served, floor));
    }
    let (Some((small, few, few_floor)), Some((large, many, many_floor))) = (all.get(1), all.last()) else {
        return Ok(());
    };
    let line = Line::new(format!("cost of a delivery at {large} against {small}, w8"), Unit::Times);
    let flat = |times: f64, ratio: Option<f64>| times <= 1.15 || ratio <= Some(1.15);
    book.add(
        line.reaching("flat but for the kernel's share", flat),
        many.cost / few.cost.max(1e-9),
        Some(many_floor.cost / few_floor.cost.max(1e-9)),
    );
    let line = Line::new(format!("cost of a new session at {large} against {small}"), Unit::Times);
    book.add(
        line.reaching("flat but for the kernel's share", flat),
        many.connect / few.connect.max(1e-9),
        Some(many_floor.connect / few_floor.connect.max(1e-9)),
    );
    Ok(())
}

fn look(
    bench: &mut Bench,
    book: &mut Book,
    house: &Running,
    name: &'static str,
    size: usize,
) -> Result<Figures, BenchError> {
    #[expect(clippy::cast_precision_loss, reason = "connections of one machine")]
    let (n, count) = (size as u64, size as f64);
    let (memory, cpu) = (process::anonymous_bytes(house.pid())?, process::processor_time(house.pid())?);
    let mut crowd = fanout::gather(&house.target, size, Dialect::Classic, &mut bench.progress)?;
    let used = process::processor_time(house.pid())?.saturating_sub(cpu);
    let grown = process::anonymous_bytes(house.pid())?.saturating_sub(memory);
    let connect = used.as_secs_f64() * 1e6 / count;
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    book.point(MEMORY, name, n, grown as f64 / count);
    book.point(CONNECT, name, n, connect);
    let report = fanout::speak(&mut crowd, speech(bench, Pace::W8, house.pid()), &mut bench.progress)?;
    let cost = report.server_cpu_micros_per_delivery.ok_or(BenchError::Untold("processor time"))?;
    book.point(COST, name, n, cost);
    let rate = u32::try_from((OFFERED / size.max(1)).max(1)).unwrap_or(1);
    let report = fanout::speak(&mut crowd, speech(bench, Pace::Rate(rate), house.pid()), &mut bench.progress)?;
    book.point(LATENCY, name, n, report.latency.p99_ms);
    Ok(Figures { connect, cost })
}
