//! `teahouse-hostile`: plays every kind of attack against a real server beside honest people, and reports how long these
//! waited.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot continue fails")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use teahouse_hostile::kinds::select;
use teahouse_hostile::{Actor, KINDS, Plan, run};
use teahouse_load::process::raise_descriptor_limit;

/// Plays what hostile accounts and a hostile address may do at worst, each kind of attack in turn, beside honest people.
///
/// Fifty honest people write, read, log in and reconnect at a human pace all the time: first without an attack, then
/// under each kind. The report has how long they waited (p50 and p99, and the ratio to the time without an attack), the
/// server's peak memory, and the verdict of the checker, which compares what they saw with the database. The exit status
/// is 1 if a goal was missed: ratios up to 5, 64 MiB for one account, 256 MiB for one address, no failed action of an
/// honest person, no violation.
///
/// Each attacker has a source address of its own on loopback. The server has its usual limits and trusts no proxy.
///
/// Examples:
///
///   teahouse-hostile --list
///
///   teahouse-hostile --server target/release/teahouse --kinds mentions,heads --seconds 10
///
///   teahouse-hostile --accounts 1 --kinds unread-changes      (what one account alone can do)
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// The binary of the server. Take a release build: the figures of a debug build say little.
    #[arg(long, default_value = "target/release/teahouse")]
    server: PathBuf,
    /// Kinds of attacks, in this order; all of them if not given. `--list` lists them.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// Lists the kinds of attacks, and plays nothing.
    #[arg(long)]
    list: bool,
    /// How long each attack lasts.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Minutes for all attacks together, instead of `--seconds` for each; 0 leaves it at that.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// Honest people. The last four are witnesses, whose devices record everything.
    #[arg(long, default_value_t = 50)]
    honest: usize,
    /// Hostile accounts.
    #[arg(long, default_value_t = 10)]
    accounts: usize,
    /// Rooms of the first hostile account; the others have a tenth.
    #[arg(long, default_value_t = 480)]
    rooms: usize,
    /// Direct rooms of the first hostile account.
    #[arg(long, default_value_t = 2000)]
    directs: usize,
    /// Messages of 16 KB in a room of the hostile accounts.
    #[arg(long, default_value_t = 500)]
    archive: usize,
    /// Connections that the hostile address opens at once. The server has room for two thirds of them.
    #[arg(long, default_value_t = 6000)]
    connections: usize,
    /// The choices of the honest people come from this seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the report as JSON into this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the history of a run with violations is saved; `teahouse-chaos --judge` judges it again.
    #[arg(long, default_value = "target/hostile")]
    keep: PathBuf,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for kind in KINDS {
            let actor = if kind.actor == Actor::Accounts { "accounts" } else { "address" };
            println!("{:15} {actor:9} {}", kind.name, kind.about);
        }
        return ExitCode::SUCCESS;
    }
    let kinds = match select(&arguments.kinds) {
        Ok(kinds) => kinds,
        Err(error) => {
            eprintln!("{error}; `teahouse-hostile --list` lists the kinds");
            return ExitCode::from(2);
        }
    };
    raise_descriptor_limit().unwrap();
    let seconds = match arguments.minutes {
        0 => arguments.seconds,
        minutes => (minutes * 60 / kinds.len() as u64).max(1),
    };
    let plan = Plan {
        seed: arguments.seed,
        honest: arguments.honest,
        accounts: arguments.accounts,
        rooms: arguments.rooms,
        directs: arguments.directs,
        archive: arguments.archive,
        connections: arguments.connections,
        keep: Some(arguments.keep),
        ..Plan::new(&arguments.server, kinds, Duration::from_secs(seconds))
    };
    eprintln!("preparing {} honest people and {} hostile accounts", plan.honest, plan.accounts);
    let report = run(&plan, |phase| {
        let counted = phase.counted;
        let memory = phase.memory.grown_mib();
        eprintln!("{}: {counted:?}, +{memory:.0} MiB, failures {:?}", phase.kind, phase.failures);
    })
    .await;
    println!("{}", report.markdown());
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&report).unwrap()).unwrap();
    }
    ExitCode::from(u8::from(!report.missed().is_empty()))
}
