//! A short run of chaos against the real binary, judged by the checker. `make chaos` runs long ones.
//! `TEAHOUSE_TEST_CHAOS_SECONDS` and `TEAHOUSE_TEST_KILLS` make this one longer.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::path::PathBuf;
use std::time::Duration;

use teahouse_chaos::run::{DEVICES_PER_USER, Plan, run, summary};
use teahouse_testkit::random::{number_from_environment, seed_of_run};

/// How long the clients run at least.
const SECONDS: u64 = 20;
/// How often the run kills the server at least.
const KILLS: u64 = 5;
/// Messages that the server acknowledges in a second, at least.
const ACKNOWLEDGED_PER_SECOND_MIN: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_short_chaos_run_is_clean() {
    let seed = seed_of_run("chaos");
    let seconds = number_from_environment("TEAHOUSE_TEST_CHAOS_SECONDS", SECONDS);
    let kills = number_from_environment("TEAHOUSE_TEST_KILLS", KILLS);
    let plan = Plan {
        server: PathBuf::from(env!("CARGO_BIN_EXE_teahouse")),
        seed,
        time: Duration::from_secs(seconds),
        kills_min: Some(kills),
        people: 10,
        devices_per_user: DEVICES_PER_USER[seed as usize % DEVICES_PER_USER.len()],
    };
    let outcome = run(&plan, |recorder| eprintln!("{} events", recorder.events())).await.unwrap();
    println!("{} devices a user\n{}", plan.devices_per_user, summary(&outcome.faults, outcome.verdict.coverage));
    if !outcome.verdict.is_clean() {
        let saved = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        outcome.save(&saved).unwrap();
        panic!("{}seed {seed} is saved in {}", outcome.verdict.report(&outcome.history, 5), saved.display());
    }
    assert_eq!(outcome.missing(), Vec::<&str>::new(), "the run must have all of these");
    let checked = outcome.verdict.coverage;
    let acknowledged_min = seconds * ACKNOWLEDGED_PER_SECOND_MIN;
    assert!(checked.messages_acknowledged as u64 > acknowledged_min && checked.rooms_compared > 20, "{checked:?}");
}
