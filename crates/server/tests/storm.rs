//! Reconnect storms against the real binary: thousands of clients drop and reconnect at once (H1 and H8 of
//! docs/internals/regressions.md). A storm needs the whole machine: run one at a time.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::time::{Duration, Instant};

use teahouse_load::scenarios::storm::{self, Storm};
use teahouse_load::scenarios::{FIRST_USER, IN_FLIGHT_MAX, OBSERVER_USER, PROBE_USER};
use teahouse_load::{ClientPool, Dialect, LoadError, Observer, Progress, SingleClient, Target, Transport, process};
use teahouse_testkit::tokens::SITE_SECRET;

/// How long a test waits for anything before it gives up. It is not a bound that a test asserts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Within this time all clients have reconnected.
const BACK_WITHIN_SECONDS: f64 = 60.0;
/// Within this time the hub answers a probe during the storm.
const PROBE_WITHIN_MS: f64 = 100.0;
/// A busy machine may delay a probe once. A fault of the server delays it in every storm.
const ATTEMPTS: usize = 3;
/// The server sends the online count by tick (docs/protocol.md#the-classic-dialect).
const COUNTS_PER_SECOND: f64 = 4.0;

struct Server {
    process: teahouse_testkit::Server,
    target: Target,
}

impl Server {
    fn start(environment: &[(&str, &str)]) -> Self {
        process::raise_descriptor_limit().unwrap();
        let site = [
            ("TEAHOUSE_AUTH__JWT_SECRET", SITE_SECRET),
            // The probe sends its next request as soon as it has an answer.
            ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1000000"),
            ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000000"),
        ];
        let process = teahouse_testkit::Server::start(env!("CARGO_BIN_EXE_teahouse"), &[&site, environment].concat());
        let target = Target::new(&process.url(""), SITE_SECRET).unwrap();
        Self { process, target }
    }

    fn pool(&self, first: u64, size: u64) -> ClientPool {
        ClientPool::new(&self.target, first..first + size, Transport::Classic).unwrap()
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

fn connect_all(pool: &mut ClientPool) {
    pool.connect_all(IN_FLIGHT_MAX, PATIENCE, &mut Progress::silent()).unwrap();
}

fn wait_for_count(pool: &mut ClientPool, count: u64) {
    pool.wait_for_count(count, PATIENCE, &mut Progress::silent()).unwrap();
}

#[test]
fn h1_storm_of_ten_thousand_keeps_a_probe_under_100_ms() {
    let mut slowest = Vec::new();
    for _ in 0..ATTEMPTS {
        let server = Server::start(&[]);
        let parameters = Storm { connections: 10_000, rounds: 1, dialect: Dialect::Classic, rate: 0, server_pid: None };
        let report = storm::run(&server.target, parameters, &mut Progress::silent()).unwrap();
        println!("{report}");
        assert_eq!(report.reconnects, 10_000, "every client reconnected");
        assert!(report.probe.latency.count > 100, "the probe ran during the storm");
        assert!(report.back_seconds.iter().all(|&seconds| seconds < BACK_WITHIN_SECONDS), "{report}");
        slowest.push(report.probe.latency.max_ms);
        if report.probe.latency.max_ms < PROBE_WITHIN_MS {
            return;
        }
    }
    panic!("no storm of {ATTEMPTS} kept a probe waiting less than {PROBE_WITHIN_MS} ms: {slowest:?}");
}

#[test]
fn h8_storm_of_five_thousand_bounds_an_observers_bytes_by_time() {
    const SIZE: u64 = 5000;
    const ROUNDS: u64 = 3;
    // Without a linger each leave and each join changes the count.
    let server = Server::start(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0s")]);
    let observer = Observer::start(&server.target, OBSERVER_USER).unwrap();
    let mut pool = server.pool(FIRST_USER, SIZE);
    connect_all(&mut pool);
    for _ in 0..ROUNDS {
        wait_for_count(&mut pool, SIZE + 1);
        pool.reset_all();
        connect_all(&mut pool);
    }
    wait_for_count(&mut pool, SIZE + 1);
    let received = observer.finish().unwrap();
    println!("{received:?}");

    let count_bytes = 2.0 + r#"{"type":"online_count","data":{"count":5001}}"#.len() as f64;
    let ping_bytes = 16.0;
    // One count on joining, and the last tick may fall on the last moment.
    let counts_max = received.seconds * COUNTS_PER_SECOND + 2.0;
    let bytes_max = counts_max * count_bytes + (received.seconds / 25.0).ceil() * ping_bytes;
    assert!(received.bytes as f64 <= bytes_max, "{received:?}, the limit is {bytes_max} bytes");
    assert!(received.counts as f64 <= counts_max, "{received:?}, the limit is {counts_max} counts");
    assert_eq!((received.last_count, received.others), (Some(SIZE + 1), 0));
    assert_eq!(pool.counters().opened, SIZE * (ROUNDS + 1), "every client connected in every round");
    assert!(received.counts > ROUNDS, "the observer saw the count change: {received:?}");
}

#[test]
fn h1_storm_leaks_no_connection() {
    const STAYING: u64 = 2000;
    const STORMING: u64 = 4000;
    let server = Server::start(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s")]);
    // The first connection opens descriptors that stay open and belong to no connection.
    let warm_up = SingleClient::connect(&server.target, PROBE_USER).unwrap().read_text().unwrap();
    assert!(warm_up.contains(r#""count":1"#), "{warm_up}");
    let mut few = server.pool(FIRST_USER, STAYING);
    connect_all(&mut few);
    few.reset_all();
    let mut settled = 0;
    while settled != server.descriptors() {
        settled = server.descriptors();
        std::thread::park_timeout(Duration::from_secs(1));
    }
    let baseline = settled;

    connect_all(&mut few);
    let mut storm = server.pool(FIRST_USER + STAYING, STORMING);
    connect_all(&mut storm);
    storm.reset_all();
    // Some clients are cut during their handshakes.
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
