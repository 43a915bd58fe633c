//! `teahouse-chaos`: runs rounds of chaos against a real server and reports whether they were clean.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot continue fails")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use teahouse_chaos::nemesis::fault_names;
use teahouse_chaos::run::{DEVICES_PER_USER, Plan, bounds, missing_faults, run, summary};
use teahouse_checker::verdict::Coverage;
use teahouse_checker::{DbState, History, judge};

/// Violations that are reported with their events.
const STORIES: usize = 5;
/// A shorter round may miss a fault by chance.
const EVERY_FAULT_FROM_SECONDS: u64 = 60;

/// Runs clients against a server while it is killed, restarted and cut off, its disk fills up, slows down and fails, and
/// its clock jumps. Then checks every promise against what the clients recorded.
#[derive(Parser)]
struct Arguments {
    /// The binary of the server.
    #[arg(long, default_value = "target/debug/teahouse")]
    server: PathBuf,
    /// Every choice comes from this seed. Each round has a seed of its own, derived from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the clients of a round run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Runs rounds for so many minutes; 0 runs one round.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// Number of users.
    #[arg(long, default_value_t = 12)]
    people: usize,
    /// Devices of a user that may be live at once. If not given, rounds take turns with 1, 3 and 8.
    #[arg(long)]
    per_user: Option<usize>,
    /// Where a round that was not clean is saved.
    #[arg(long, default_value = "target/chaos")]
    keep: PathBuf,
    /// Judges a saved round in this directory, and runs nothing. Needs the round's `--per-user`.
    #[arg(long, requires = "per_user")]
    judge: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(kept) = &arguments.judge {
        let history = History::from_lines(&std::fs::read_to_string(kept.join("history.jsonl")).unwrap()).unwrap();
        let db: DbState = serde_json::from_str(&std::fs::read_to_string(kept.join("db.json")).unwrap()).unwrap();
        let verdict = judge(&history, &db, &bounds(arguments.per_user.unwrap()));
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
            kills_min: None,
            people: arguments.people,
            devices_per_user: arguments.per_user.unwrap_or(DEVICES_PER_USER[round as usize % DEVICES_PER_USER.len()]),
        };
        let outcome = run(&plan, |recorder| {
            let happened = recorder.faults();
            let faults: u64 = fault_names().filter_map(|kind| happened.get(kind)).sum();
            let (minutes, events) = (began.elapsed().as_secs() / 60, recorder.events());
            eprint!("\r{minutes} min, round {}: {events} events, {faults} faults of the server   ", round + 1);
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
            outcome.save(&kept).unwrap();
            println!("{}", outcome.verdict.report(&outcome.history, STORIES));
            println!("seed {} was not clean; its history is in {}", plan.seed, kept.display());
            let (seconds, per_user) = (arguments.seconds, plan.devices_per_user);
            println!(
                "    run it again:    teahouse-chaos --seed {} --seconds {seconds} --per-user {per_user}",
                plan.seed
            );
            println!("    judge it again:  teahouse-chaos --judge {} --per-user {per_user}", kept.display());
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
    let missing: Vec<_> = missing_faults(&faults).collect();
    if arguments.seconds >= EVERY_FAULT_FROM_SECONDS && !missing.is_empty() {
        println!("these faults never happened: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
