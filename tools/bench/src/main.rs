//! `make bench`: lets server and floor run in turn, several rounds, and makes one table of it.

mod book;
mod cores;
mod document;
mod error;
mod rows;
mod running;
mod svg;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use teahouse_load::{Progress, process};

use crate::book::Book;
use crate::cores::{Cores, Place};
use crate::error::BenchError;
use crate::rows::{Bench, ROWS, Row};
use crate::running::House;

/// Measures a Teahouse server beside the kernel's floor on this machine.
#[derive(Parser)]
struct Cli {
    /// How often everything is measured; medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these rows, separated by commas; see --list
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// What can be measured
    #[arg(long)]
    list: bool,
    /// So much of the sizes, to see whether it works at all: 0.01 has 190 connections instead of 19,000
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// For how many seconds a rate is measured
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Messages in the database whose start-up and history are measured
    #[arg(long, default_value_t = 1_000_000)]
    past: u64,
    /// The server
    #[arg(long, default_value = "target/release/teahouse")]
    teahouse: PathBuf,
    /// The floor
    #[arg(long, default_value = "target/release/teahouse-floor")]
    floor: PathBuf,
    /// Where data goes, on a real disk
    #[arg(long, default_value = "target/bench")]
    data: PathBuf,
    /// The page that gets the table; none when not given
    #[arg(long)]
    page: Option<PathBuf>,
    /// Where the pictures go, when there is a page
    #[arg(long, default_value = "docs/images")]
    images: PathBuf,
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
        return Err(BenchError::Start(format!("the row {name:?}"), "there is none of this name: --list".to_owned()));
    }
    let chosen: Vec<&Row> =
        ROWS.iter().filter(|row| cli.rows.is_empty() || cli.rows.iter().any(|name| name == row.name)).collect();
    process::raise_descriptor_limit()?;
    std::fs::create_dir_all(&cli.data)?;
    let cores = Cores::of_process()?;
    cores.go(Place::Load)?;
    let machine = document::machine(cores.count());
    let mut book = Book::default();
    if cores.count() < 2 {
        book.miss("everything on cores of its own", &"there is only one core: server and load share it");
    }
    let house = House { teahouse: cli.teahouse.clone(), floor: cli.floor.clone(), data: cli.data.clone(), cores };
    let mut bench = Bench {
        house,
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
            bench.progress.begin(&label);
            // What fails is told, and the others are measured all the same.
            if let Err(error) = (row.run)(&mut bench, &mut book) {
                bench.progress.clear();
                eprintln!("{label}not measured: {error}");
                book.miss(&format!("{} (round {})", row.name, round + 1), &error);
                bench.house.cores.go(Place::Load)?;
            }
        }
    }
    bench.progress.clear();
    let text = summary(cli, &book, &machine, began.elapsed());
    println!("{text}");
    if let Some(page) = &cli.page {
        let mut text = text;
        for (file, title, unit) in rows::PICTURES {
            if let Some(curves) = book.pictures().get(file) {
                std::fs::create_dir_all(&cli.images)?;
                std::fs::write(cli.images.join(format!("{file}.svg")), svg::draw(title, unit, curves))?;
                let _ = write!(text, "\n![{title}, over the number of connections](images/{file}.svg)\n");
            }
        }
        document::write(page, &text)?;
        eprintln!("bench: the table is in {}", page.display());
    }
    Ok(())
}

fn summary(cli: &Cli, book: &Book, machine: &str, took: Duration) -> String {
    let mut command = format!("make bench ROUNDS={}", cli.rounds);
    if !cli.rows.is_empty() {
        let _ = write!(command, " ROWS={}", cli.rows.join(","));
    }
    if cli.past != 1_000_000 {
        let _ = write!(command, " PAST={}", cli.past);
    }
    let mut text = format!(
        "`{command}` at commit {}, {:.0} minutes. {machine}; the server on one core, the load on the others. Medians of {} \
         rounds; ratios are those within a round.\n\n",
        document::version(),
        (took.as_secs_f64() / 60.0).ceil(),
        cli.rounds
    );
    #[expect(clippy::float_cmp, reason = "as it was given")]
    if cli.scale != 1.0 {
        let _ = write!(text, "**A trial at {} of the sizes: no measurement.**\n\n", cli.scale);
    }
    text.push_str(&book.table());
    text
}
