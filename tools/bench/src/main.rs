//! The binary `teahouse-bench`: measures the server and the baseline in turn, over several rounds, and prints one table.

mod cores;
mod document;
mod error;
mod process;
mod results;
mod rows;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use teahouse_load::Progress;

use crate::cores::{Cores, Placement};
use crate::error::BenchError;
use crate::process::TestBed;
use crate::results::Results;
use crate::rows::{Bench, ROWS, Row};

const EXAMPLES: &str = "\
Examples:
  teahouse-bench --list                                    the rows
  teahouse-bench --rounds 1 --rows fanout,latency          a quick look at two of them
  teahouse-bench --rounds 1 --scale 0.01                   whether everything works at all
  teahouse-bench --page docs/performance.md                everything, into the document

The baseline answers the same handshake on bare epoll and sends prepared frames: it shows what the kernel alone
costs. The server has one core, the load the others. `make bench` builds the binaries and runs this.";

/// Measure a Teahouse server beside a kernel baseline on this machine.
#[derive(Parser)]
#[command(name = "teahouse-bench", version, after_help = EXAMPLES)]
struct Cli {
    /// Number of rounds; the table shows medians
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Rows to measure, separated by commas [default: all]; see --list
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// List the rows
    #[arg(long)]
    list: bool,
    /// Scale of all sizes, for a trial: 0.01 has 190 connections instead of 19,000
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Measured seconds per rate
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Messages in the database of the `past` row
    #[arg(long, default_value_t = 1_000_000)]
    past: u64,
    /// The server's binary
    #[arg(long, default_value = "target/release/teahouse")]
    teahouse: PathBuf,
    /// The baseline's binary
    #[arg(long, default_value = "target/release/teahouse-baseline")]
    baseline: PathBuf,
    /// Directory for data; must be on a real disk, since fsync is free in memory
    #[arg(long, default_value = "target/bench")]
    data: PathBuf,
    /// Markdown document that receives the table between its markers [default: none]
    #[arg(long)]
    page: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for row in ROWS {
            println!("{:<14}{}", row.name, row.about);
        }
        return ExitCode::SUCCESS;
    }
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), BenchError> {
    let unknown = cli.rows.iter().find(|name| ROWS.iter().all(|row| row.name != name.as_str()));
    if let Some(name) = unknown {
        return Err(BenchError::Start(format!("the row {name:?}"), "there is no such row; see --list".to_owned()));
    }
    let chosen: Vec<&Row> =
        ROWS.iter().filter(|row| cli.rows.is_empty() || cli.rows.iter().any(|name| name == row.name)).collect();
    teahouse_load::process::raise_descriptor_limit()?;
    std::fs::create_dir_all(&cli.data)?;
    let cores = Cores::of_process()?;
    cores.pin(Placement::Load)?;
    let machine = document::machine(cores.count());
    let mut results = Results::default();
    if cores.count() < 2 {
        results.record_missing("separate cores for server and load", &"the machine has only one core");
    }
    let bed = TestBed { teahouse: cli.teahouse.clone(), baseline: cli.baseline.clone(), data: cli.data.clone(), cores };
    let mut bench = Bench {
        bed,
        progress: Progress::on_stderr(),
        scale: cli.scale,
        time: Duration::from_secs(cli.seconds.max(1)),
        past: cli.past,
    };
    let began = Instant::now();
    for round in 0..cli.rounds.max(1) {
        for row in chosen.iter().filter(|row| round == 0 || !row.once) {
            let label =
                format!("[{}/{} {:>4.0} s] {}: ", round + 1, cli.rounds, began.elapsed().as_secs_f64(), row.name);
            bench.progress.clear();
            eprintln!("{label}{}", row.about);
            bench.progress.set_prefix(&label);
            // A row that fails is reported, and the other rows are measured.
            if let Err(error) = (row.run)(&mut bench, &mut results) {
                bench.progress.clear();
                eprintln!("{label}failed: {error}");
                results.record_missing(&format!("{} (round {})", row.name, round + 1), &error);
                bench.bed.cores.pin(Placement::Load)?;
            }
        }
    }
    bench.progress.clear();
    let text = summary(cli, &results, &machine, began.elapsed());
    println!("{text}");
    if let Some(page) = &cli.page {
        document::write(page, &text)?;
        eprintln!("bench: wrote the table to {}", page.display());
    }
    Ok(())
}

fn summary(cli: &Cli, results: &Results, machine: &str, took: Duration) -> String {
    let mut command = format!("make bench ROUNDS={}", cli.rounds);
    if !cli.rows.is_empty() {
        let _ = write!(command, " ROWS={}", cli.rows.join(","));
    }
    if cli.past != 1_000_000 {
        let _ = write!(command, " PAST={}", cli.past);
    }
    let mut text = format!(
        "`{command}` at commit {}, {:.0} minutes. {machine}; the server on one core, the load on the others. Medians of {} \
         rounds; ratios are taken within a round.\n\n",
        document::version(),
        (took.as_secs_f64() / 60.0).ceil(),
        cli.rounds
    );
    #[expect(clippy::float_cmp, reason = "compares with the default value")]
    if cli.scale != 1.0 {
        let _ = write!(text, "**A trial at scale {}: not a measurement.**\n\n", cli.scale);
    }
    text.push_str(&results.table());
    text
}
