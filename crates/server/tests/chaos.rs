//! A short run of chaos: a cast of people plays against the real binary, which is killed, restarted, cut off, given a
//! full, slow and failing disk and a jumping clock, and the checker judges all of it. Long ones: `make chaos`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use teahouse_chaos::run::{Plan, run, summary};

/// So often the server is killed in it, at least.
const KILLS_MIN: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_befalls_them_what_people_were_told_is_what_is_there() {
    let given = std::env::var("TEAHOUSE_STORY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into());
    println!("TEAHOUSE_STORY_SEED={seed}");
    let plan = Plan {
        server: PathBuf::from(env!("CARGO_BIN_EXE_teahouse")),
        seed,
        time: Duration::from_secs(120),
        people: 10,
    };
    let outcome = run(&plan, |recorder| eprintln!("{} events", recorder.events())).await.unwrap();
    println!("{}", summary(&outcome.faults, outcome.verdict.coverage));
    if !outcome.verdict.is_clean() {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        outcome.keep(&kept).unwrap();
        panic!("{}seed {seed} is kept in {}", outcome.verdict.report(&outcome.history, 5), kept.display());
    }
    assert_eq!(outcome.never_done(), Vec::<&str>::new(), "these never happened");
    assert!(outcome.faults["kill -9"] >= KILLS_MIN, "{:?}", outcome.faults);
    let coverage = outcome.verdict.coverage;
    assert!(coverage.messages_acknowledged > 500 && coverage.rooms_compared > 20, "{coverage:?}");
}
