//! `teahouse-chaos`: plays runs against a real server and says whether they were clean. It does nothing else.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot go on fails")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use teahouse_chaos::run::{BOUNDS, Plan, run};
use teahouse_checker::{History, Truth, judge};

/// Violations that are told with their stories.
const STORIES: usize = 5;
/// A shorter run may miss a fault by chance.
const EVERY_FAULT_FROM_SECONDS: u64 = 30;

/// Plays people against a server that is killed, restarted and cut off, and judges what came of it.
#[derive(Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long, default_value = "target/debug/teahouse")]
    server: PathBuf,
    /// All that is done on purpose comes from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how long they act.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many people.
    #[arg(long, default_value_t = 12)]
    people: usize,
    /// Where a run that was not clean is kept; judged again with --judge.
    #[arg(long, default_value = "target/chaos")]
    keep: PathBuf,
    /// Judges a run that was kept in this directory, and plays nothing.
    #[arg(long)]
    judge: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(kept) = &arguments.judge {
        let history = History::from_lines(&std::fs::read_to_string(kept.join("history.jsonl")).unwrap()).unwrap();
        let truth: Truth = serde_json::from_str(&std::fs::read_to_string(kept.join("truth.json")).unwrap()).unwrap();
        let verdict = judge(&history, &truth, &BOUNDS);
        println!("{}{:?}", verdict.report(&history, STORIES), verdict.looked_at);
        return ExitCode::from(u8::from(!verdict.is_clean()));
    }
    let plan = Plan {
        server: arguments.server,
        seed: arguments.seed,
        time: Duration::from_secs(arguments.seconds),
        people: arguments.people,
    };
    let outcome = run(&plan).await.unwrap();
    println!("seed {}, {} s, {} people\n{}", plan.seed, arguments.seconds, plan.people, outcome.summary());
    let never = if arguments.seconds >= EVERY_FAULT_FROM_SECONDS { outcome.never_done() } else { Vec::new() };
    if outcome.verdict.is_clean() && never.is_empty() {
        return ExitCode::SUCCESS;
    }
    if !never.is_empty() {
        println!("these were never done: {}", never.join(", "));
    }
    let kept = arguments.keep.join(format!("seed-{}", plan.seed));
    outcome.keep(&kept).unwrap();
    println!(
        "{}seed {} was not clean; it is kept in {}",
        outcome.verdict.report(&outcome.history, STORIES),
        plan.seed,
        kept.display()
    );
    ExitCode::FAILURE
}
