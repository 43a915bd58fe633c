//! `teahouse-chaos`: plays runs against a real server and says whether they were clean. It does nothing else.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use teahouse_chaos::befalls::blows;
use teahouse_chaos::run::{BOUNDS, Plan, faults_never_done, run, summary};
use teahouse_checker::verdict::Coverage;
use teahouse_checker::{DbState, History, judge};

/// Violations that are told with their stories.
const STORIES: usize = 5;
/// A shorter run may miss a fault by chance.
const EVERY_FAULT_FROM_SECONDS: u64 = 60;

/// Plays people against a server that is killed, restarted and cut off, whose disk fills up, slows down and fails and
/// whose clock jumps; then judges what came of it.
#[derive(Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long, default_value = "target/debug/teahouse")]
    server: PathBuf,
    /// All that is done on purpose comes from it. Each round has a seed of its own, made of this one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how long people act in a round.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Rounds are played until so many minutes are over; one round without it.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// How many people.
    #[arg(long, default_value_t = 12)]
    people: usize,
    /// Where a round that was not clean is kept; judged again with --judge.
    #[arg(long, default_value = "target/chaos")]
    keep: PathBuf,
    /// Judges a round that was kept in this directory, and plays nothing.
    #[arg(long)]
    judge: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(kept) = &arguments.judge {
        let history = History::from_lines(&std::fs::read_to_string(kept.join("history.jsonl")).unwrap()).unwrap();
        let truth: DbState = serde_json::from_str(&std::fs::read_to_string(kept.join("truth.json")).unwrap()).unwrap();
        let verdict = judge(&history, &truth, &BOUNDS);
        println!("{}{:?}", verdict.report(&history, STORIES), verdict.coverage);
        return ExitCode::from(u8::from(!verdict.is_clean()));
    }
    let began = Instant::now();
    let (mut faults, mut coverage) = (BTreeMap::new(), Coverage::default());
    let mut round = 0;
    loop {
        let plan = Plan {
            server: arguments.server.clone(),
            seed: if round == 0 { arguments.seed } else { arguments.seed.wrapping_mul(1_000_003).wrapping_add(round) },
            time: Duration::from_secs(arguments.seconds),
            people: arguments.people,
        };
        let outcome = run(&plan, |recorder| {
            let done = recorder.faults();
            let blows: u64 = blows().filter_map(|kind| done.get(kind)).sum();
            let (minutes, events) = (began.elapsed().as_secs() / 60, recorder.events());
            eprint!("\r{minutes} min, round {}: {events} events, {blows} blows to the server   ", round + 1);
            let _ = std::io::stderr().flush();
        })
        .await
        .unwrap();
        eprintln!();
        for (kind, times) in &outcome.faults {
            *faults.entry(*kind).or_insert(0) += times;
        }
        coverage = coverage + outcome.verdict.coverage;
        if !outcome.verdict.is_clean() {
            let kept = arguments.keep.join(format!("seed-{}", plan.seed));
            outcome.keep(&kept).unwrap();
            println!("{}", outcome.verdict.report(&outcome.history, STORIES));
            println!("seed {} was not clean; all of it is kept in {}", plan.seed, kept.display());
            println!("    play it again:   teahouse-chaos --seed {} --seconds {}", plan.seed, arguments.seconds);
            println!("    judge it again:  teahouse-chaos --judge {}", kept.display());
            return ExitCode::FAILURE;
        }
        round += 1;
        if began.elapsed() >= Duration::from_secs(arguments.minutes * 60) {
            break;
        }
    }
    println!(
        "seed {}: {round} rounds of {} s with {} people, {} minutes, all clean\n{}",
        arguments.seed,
        arguments.seconds,
        arguments.people,
        began.elapsed().as_secs() / 60,
        summary(&faults, coverage)
    );
    let never: Vec<_> = faults_never_done(&faults).collect();
    if arguments.seconds >= EVERY_FAULT_FROM_SECONDS && !never.is_empty() {
        println!("but these never happened: {never:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
