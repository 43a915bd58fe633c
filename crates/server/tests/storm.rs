//! Storms, against the real binary: thousands are cut off and come back at once (ANCESTOR.md H1, H8).
//! They take the whole machine, so that one runs after the other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use teahouse_load::scenarios::storm::{self, Storm};
use teahouse_load::scenarios::{FIRST_USER, IN_FLIGHT_MAX, ONLOOKER_USER, PROBE_USER};
use teahouse_load::{Crowd, Dialect, Door, LoadError, Onlooker, Progress, Solo, Target, process};

const SECRET: &str = "a secret of the site that nobody else knows";
/// How long anything may take before a test gives up; no bound of its own.
const PATIENCE: Duration = Duration::from_secs(120);
/// Everybody is back by then (ANCESTOR.md H1, FAULTS.md "In the network").
const BACK_WITHIN_SECONDS: f64 = 60.0;
/// So fast is a probe answered all through (ANCESTOR.md H1).
const PROBE_WITHIN_MS: f64 = 100.0;
/// A machine that compiles something meanwhile keeps a probe waiting too, now and then. What the server does
/// wrong it does in every storm.
const CHANCES: usize = 3;
/// Presence is told by tick (PROTOCOL.md section 3).
const COUNTS_PER_SECOND: f64 = 4.0;

fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    process::raise_descriptor_limit().unwrap();
    guard
}

struct Server {
    process: teahouse_testkit::Server,
    target: Target,
}

impl Server {
    fn start(environment: &[(&str, &str)]) -> Self {
        let site = [
            ("TEAHOUSE_AUTH__JWT_SECRET", SECRET),
            // The probe asks as fast as it is answered.
            ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1000000"),
            ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000000"),
        ];
        let process = teahouse_testkit::Server::start(env!("CARGO_BIN_EXE_teahouse"), &[&site, environment].concat());
        let target = Target::new(&process.url(""), SECRET).unwrap();
        Self { process, target }
    }

    fn crowd(&self, first: u64, size: u64) -> Crowd {
        Crowd::new(&self.target, first..first + size, Door::Classic).unwrap()
    }

    fn descriptors(&self) -> usize {
        self.process.descriptors()
    }

    /// Waits until this many descriptors are open.
    fn wait_for_descriptors(&self, wanted: usize) {
        let began = Instant::now();
        while self.descriptors() != wanted {
            assert!(began.elapsed() < PATIENCE, "{} descriptors, {wanted} wanted", self.descriptors());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

fn connect_all(crowd: &mut Crowd) {
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, &mut Progress::silent()).unwrap();
}

fn wait_for_count(crowd: &mut Crowd, count: u64) {
    crowd.wait_for_count(count, PATIENCE, &mut Progress::silent()).unwrap();
}

#[test]
fn h1_ten_thousand_drop_and_reconnect_at_once_and_a_probe_is_answered_within_100_ms() {
    let _alone = alone();
    let mut slowest = Vec::new();
    for _ in 0..CHANCES {
        let server = Server::start(&[]);
        let asked = Storm { connections: 10_000, rounds: 1, dialect: Dialect::Classic, rate: 0, server_pid: None };
        let report = storm::run(&server.target, asked, &mut Progress::silent()).unwrap();
        println!("{report}");
        assert_eq!(report.reconnects, 10_000, "so many were cut off");
        assert!(report.probe.latency.count > 100, "the probe asked all through");
        assert!(report.back_seconds.iter().all(|&seconds| seconds < BACK_WITHIN_SECONDS), "{report}");
        slowest.push(report.probe.latency.max_ms);
        if report.probe.latency.max_ms < PROBE_WITHIN_MS {
            return;
        }
    }
    panic!("no storm of {CHANCES} kept a probe waiting less than {PROBE_WITHIN_MS} ms: {slowest:?}");
}

#[test]
fn h8_five_thousand_reconnect_and_an_onlooker_hears_bytes_bounded_by_time() {
    const SIZE: u64 = 5000;
    const ROUNDS: u64 = 3;
    let _alone = alone();
    // Nobody lingers, so that each going and each coming changes the number.
    let server = Server::start(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0s")]);
    let onlooker = Onlooker::start(&server.target, ONLOOKER_USER).unwrap();
    let mut crowd = server.crowd(FIRST_USER, SIZE);
    connect_all(&mut crowd);
    for _ in 0..ROUNDS {
        wait_for_count(&mut crowd, SIZE + 1);
        crowd.reset_all();
        connect_all(&mut crowd);
    }
    wait_for_count(&mut crowd, SIZE + 1);
    let heard = onlooker.finish().unwrap();
    println!("{heard:?}");

    let count_bytes = 2.0 + r#"{"type":"online_count","data":{"count":5001}}"#.len() as f64;
    let ping_bytes = 16.0;
    // One number at once on joining; the last tick may fall on the last moment.
    let counts_max = heard.seconds * COUNTS_PER_SECOND + 2.0;
    let bytes_max = counts_max * count_bytes + (heard.seconds / 25.0).ceil() * ping_bytes;
    assert!(heard.bytes as f64 <= bytes_max, "{heard:?}, no more than {bytes_max} were to come");
    assert!(heard.counts as f64 <= counts_max, "{heard:?}, no more than {counts_max} were to come");
    assert_eq!((heard.last_count, heard.others), (Some(SIZE + 1), 0));
    assert_eq!(crowd.counters().opened, SIZE * (ROUNDS + 1), "so many came");
    assert!(heard.counts > ROUNDS, "the onlooker saw them go and come: {heard:?}");
}

#[test]
fn h1_no_connection_is_left_behind() {
    const STAYING: u64 = 2000;
    const STORMING: u64 = 4000;
    let _alone = alone();
    let server = Server::start(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s")]);
    // What is opened once, on the first visit, is no connection's.
    let warm_up = Solo::connect(&server.target, PROBE_USER).unwrap().hear().unwrap();
    assert!(warm_up.contains(r#""count":1"#), "{warm_up}");
    let mut few = server.crowd(FIRST_USER, STAYING);
    connect_all(&mut few);
    few.reset_all();
    let mut settled = 0;
    while settled != server.descriptors() {
        settled = server.descriptors();
        std::thread::park_timeout(Duration::from_secs(1));
    }
    let baseline = settled;

    connect_all(&mut few);
    let mut storm = server.crowd(FIRST_USER + STAYING, STORMING);
    connect_all(&mut storm);
    storm.reset_all();
    // Some are cut off in the midst of their handshakes.
    let cut = storm.connect_all(IN_FLIGHT_MAX, Duration::from_millis(50), &mut Progress::silent());
    assert!(matches!(cut, Err(LoadError::TimedOut { .. })), "{cut:?}");
    storm.reset_all();
    connect_all(&mut storm);
    wait_for_count(&mut storm, STAYING + STORMING);
    wait_for_count(&mut few, STAYING + STORMING);
    server.wait_for_descriptors(baseline + usize::try_from(STAYING + STORMING).unwrap());

    storm.reset_all();
    wait_for_count(&mut few, STAYING);
    server.wait_for_descriptors(baseline + usize::try_from(STAYING).unwrap());
    few.reset_all();
    server.wait_for_descriptors(baseline);
    assert_eq!((few.counters().lost, storm.counters().lost), (0, 0));
}
