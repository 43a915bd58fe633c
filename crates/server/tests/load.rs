//! Every scenario of the load generator, small, against the server's binary: no message is lost, duplicated or out of
//! order.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use clap::Parser;
use serde_json::Value;
use teahouse_load::{Cli, Progress};
use teahouse_testkit::tokens::SITE_SECRET;

struct Server(teahouse_testkit::Server);

impl Server {
    fn start(environment: &[(&str, &str)]) -> Self {
        let secret = ("TEAHOUSE_AUTH__JWT_SECRET", SITE_SECRET);
        Self(teahouse_testkit::Server::start(env!("CARGO_BIN_EXE_teahouse"), &[&[secret], environment].concat()))
    }

    /// With rate limits that allow load.
    fn without_limits() -> Self {
        Self::start(&[
            ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1000000"),
            ("TEAHOUSE_LIMITS__SENDS_BURST", "1000000"),
            ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1000000"),
            ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000000"),
        ])
    }

    /// Runs `teahouse-load` with these arguments. Returns whether it succeeded, its summary, and its error.
    fn load(&self, arguments: &str) -> (bool, String, String) {
        let (url, pid) = (self.0.url(""), self.0.pid().to_string());
        let shared = ["teahouse-load", "--url", &url, "--server-pid", &pid];
        let secret = if arguments.contains("--jwt-secret") { &[][..] } else { &["--jwt-secret", SITE_SECRET] };
        let arguments = shared.iter().chain(secret).copied().chain(arguments.split_whitespace());
        let mut summary = Vec::new();
        let outcome = Cli::try_parse_from(arguments).unwrap().run_scenario(&mut summary, &mut Progress::silent());
        let error = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        (outcome.unwrap_or(false), String::from_utf8(summary).unwrap(), error)
    }

    fn load_json(&self, arguments: &str) -> Value {
        let (succeeded, report, error) = self.load(&format!("{arguments} --json"));
        println!("{arguments}: {report}");
        assert!(succeeded, "{arguments}: {report} {error}");
        serde_json::from_str(&report).unwrap()
    }
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

fn receipts(report: &Value, at: &str) -> [u64; 4] {
    ["received", "lost", "duplicated", "out_of_order"]
        .map(|key| report.pointer(&format!("{at}/{key}")).and_then(Value::as_u64).unwrap())
}

#[test]
fn connections_are_opened_and_measured_in_both_dialects() {
    for dialect in ["classic", "v1"] {
        let server = Server::without_limits();
        let report = server.load_json(&format!("idle --connections 50 --dialect {dialect}"));
        assert_eq!(number(&report, "/connections"), 50.0);
        assert!(number(&report, "/anonymous_bytes_after") > 0.0);
        let report = server.load_json(&format!("connect --connections 60 --in-flight 10 --dialect {dialect}"));
        assert_eq!(number(&report, "/latency/count"), 60.0);
    }
}

#[test]
fn a_storm_brings_all_clients_back_and_v1_receives_exactly_what_it_missed() {
    let server = Server::without_limits();
    let report = server.load_json("storm --connections 100 --rounds 2");
    assert_eq!(number(&report, "/reconnects"), 200.0);
    let report = server.load_json("storm --connections 100 --rounds 2 --dialect v1 --rate 50");
    assert_eq!(number(&report, "/reconnects"), 200.0);
    let sent = number(&report, "/sender/sent") as u64;
    assert!(sent > 0, "the sender sent during the storms");
    assert_eq!(receipts(&report, "/receipts"), [sent * 100, 0, 0, 0]);
    assert_eq!(receipts(&report, "/sender/receipts"), [sent, 0, 0, 0]);
}

#[test]
fn all_subscribers_receive_all_messages_at_a_rate_and_with_a_window() {
    let server = Server::without_limits();
    for dialect in ["classic", "v1"] {
        for pace in ["--rate 50", "--window w1", "--window w8", "--window deep", "--window 3"] {
            let report = server.load_json(&format!("fanout --subscribers 20 --seconds 1 --dialect {dialect} {pace}"));
            let sent = number(&report, "/messages") as u64;
            assert!(sent > 0, "{report}");
            assert_eq!(receipts(&report, "/receipts"), [sent * 20, 0, 0, 0]);
            assert!(number(&report, "/server_cpu_share") >= 0.0, "the CPU share was measured");
        }
    }
}

#[test]
fn rooms_private_messages_and_durable_ones_arrive() {
    let server = Server::without_limits();
    for arguments in
        ["rooms --rooms 30 --members 3 --people 20", "rooms --rooms 5 --members 4 --people 4 --busy 1 --rate 50"]
    {
        let report = server.load_json(&format!("{arguments} --seconds 1"));
        let expected = number(&report, "/messages") * number(&report, "/members");
        assert_eq!(receipts(&report, "/receipts"), [expected as u64, 0, 0, 0]);
    }
    for dialect in ["classic", "v1"] {
        let report = server.load_json(&format!("private --pairs 5 --rate 50 --seconds 1 --dialect {dialect}"));
        assert_eq!(receipts(&report, "/receipts"), [50, 0, 0, 0]);
        assert_eq!(number(&report, "/durable/count"), 50.0);
    }
    for arguments in
        ["--by http", "--by classic", "--by v1 --places lobby", "--by v1 --places one", "--by v1", "--rate 50"]
    {
        let report = server.load_json(&format!("durable --senders 5 --seconds 1 {arguments}"));
        let [received, rest @ ..] = receipts(&report, "/receipts");
        assert!(received >= 5 && rest == [0, 0, 0], "{report}");
    }
}

#[test]
fn slow_readers_miss_nothing_and_absent_clients_are_caught_up() {
    for dialect in ["classic", "v1"] {
        let server = Server::without_limits();
        let report = server.load_json(&format!("slow --fast 5 --slow 3 --rate 100 --seconds 1 --dialect {dialect}"));
        assert_eq!(receipts(&report, "/receipts"), [200 * 8, 0, 0, 0]);
    }
    let server = Server::without_limits();
    let report = server.load_json("resume --sessions 20 --changes 300 --rooms 3");
    assert_eq!(receipts(&report, "/receipts"), [20 * 300, 0, 0, 0]);
    assert_eq!(number(&report, "/resets"), 0.0);
}

#[test]
fn the_mixed_workload_loses_nothing() {
    let server = Server::without_limits();
    let report = server.load_json("mixed --people 200 --rate 200 --seconds 3 --seed 7");
    assert!(number(&report, "/messages") > 10.0, "{report}");
    assert!(number(&report, "/absences") > 0.0, "{report}");
    assert_eq!(receipts(&report, "/receipts")[1..], [0, 0, 0]);
    assert_eq!(receipts(&report, "/classic_receipts")[1..], [0, 0, 0]);
}

#[test]
fn the_summary_is_text_and_refusals_are_explained() {
    let server = Server::start(&[]);
    let (succeeded, report, _) = server.load("idle --connections 3");
    assert!(succeeded && report.contains("3 connections in"), "{report}");
    // The default rate limits are meant for people.
    let (succeeded, _, error) = server.load("fanout --subscribers 2 --window w8 --seconds 1");
    assert!(!succeeded && error.contains("raise its limits"), "{error}");
    let (succeeded, _, error) =
        server.load("idle --connections 3 --jwt-secret of-another-site-altogether-than-this-one");
    assert!(!succeeded && error.contains("handshake refused: 401"), "{error}");
}
