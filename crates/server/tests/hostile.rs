//! A short form of the hostile run against the real binary: every kind of attack for a second, beside honest people. It
//! reports how long these waited and asserts nothing about time. `make hostile` and `make nightly` play the long form.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use teahouse_hostile::latencies::Action;
use teahouse_hostile::{KINDS, Plan, run};
use teahouse_load::process::raise_descriptor_limit;
use teahouse_testkit::random::seed_of_run;

/// How long each attack lasts.
const ATTACK: Duration = Duration::from_secs(1);
/// Maximum memory of an attack of any kind: a wide margin for a debug build whose allocator keeps freed memory.
const MEMORY_MIB_MAX: f64 = 640.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_people_succeed_beside_every_kind_of_attack() {
    raise_descriptor_limit().unwrap();
    let seed = seed_of_run("hostile");
    let server = Path::new(env!("CARGO_BIN_EXE_teahouse"));
    let plan = Plan {
        seed,
        baseline: ATTACK * 2,
        honest: 30,
        rooms: 60,
        directs: 60,
        archive: 100,
        connections: 900,
        logins: 100,
        fresh: false,
        keep: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{seed}"))),
        ..Plan::new(server, KINDS.iter().collect(), ATTACK)
    };
    let report = run(&plan, |phase| eprintln!("{}: {:?} {:?}", phase.kind, phase.counted, phase.failures)).await;
    println!("{}", report.markdown());
    let mut wrong = Vec::new();
    for phase in &report.phases {
        let (kind, grown) = (phase.kind, phase.memory.grown_mib());
        if !phase.has_happened() {
            wrong.push(format!("{kind} never reached the server: {:?}", phase.counted));
        }
        if !phase.failures.is_empty() {
            wrong.push(format!("beside {kind}, honest people failed: {:?}", phase.failures));
        }
        if grown > MEMORY_MIB_MAX {
            wrong.push(format!("{kind} took {grown:.0} MiB"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let verdict = &report.verdict;
    assert_eq!(verdict.violations, 0, "{}", verdict.stories);
    assert!(verdict.messages_acknowledged > 100 && verdict.rooms_compared > 8, "{}", verdict.checked);
    for action in Action::ALL {
        let times: u64 = report.phases.iter().filter_map(|phase| Some(phase.latencies.get(&action)?.count)).sum();
        assert!(times > 20, "honest people did not {} often enough to say anything", action.name());
    }
}
