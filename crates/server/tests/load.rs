//! `teahouse load` against the real binary: each scenario in small, and nothing lost, doubled or out of order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

const SECRET: &str = "a secret of the site that nobody else knows";

struct Server {
    child: Child,
    url: String,
    /// Kept open: the server goes on to greet.
    _greeting: BufReader<ChildStdout>,
    _data: tempfile::TempDir,
}

impl Server {
    fn start(environment: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_teahouse"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env_clear()
            .env("TEAHOUSE_AUTH__JWT_SECRET", SECRET)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut greeting = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        greeting.read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { child, url, _greeting: greeting, _data: data }
    }

    /// With limits for a crowd.
    fn without_limits() -> Self {
        Self::start(&[
            ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1000000"),
            ("TEAHOUSE_LIMITS__SENDS_BURST", "1000000"),
            ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "1000000"),
            ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "1000000"),
        ])
    }

    /// Runs `teahouse load` with these words: whether it was content, and what it printed, and on the other side.
    fn load(&self, words: &str) -> (bool, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_teahouse"))
            .arg("load")
            .args(words.split_whitespace())
            .args(["--url", &self.url, "--server-pid", &self.child.id().to_string()])
            .env_clear()
            .env("TEAHOUSE_AUTH__JWT_SECRET", SECRET)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    fn load_json(&self, words: &str) -> Value {
        let (content, report, complaint) = self.load(&format!("{words} --json"));
        println!("{words}: {report}");
        assert!(content, "{words}: {report} {complaint}");
        serde_json::from_str(&report).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report}"))
}

fn receipts(report: &Value, at: &str) -> [u64; 4] {
    ["heard", "lost", "doubled", "out_of_order"]
        .map(|key| report.pointer(&format!("{at}/{key}")).and_then(Value::as_u64).unwrap())
}

#[test]
fn connections_are_opened_and_looked_at_in_both_dialects() {
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
fn a_storm_brings_everybody_back_and_v1_hears_exactly_what_it_missed() {
    let server = Server::without_limits();
    let report = server.load_json("storm --connections 100 --rounds 2");
    assert_eq!(number(&report, "/reconnects"), 200.0);
    let report = server.load_json("storm --connections 100 --rounds 2 --dialect v1 --rate 50");
    assert_eq!(number(&report, "/reconnects"), 200.0);
    let said = number(&report, "/speaker/said") as u64;
    assert!(said > 0, "somebody spoke all through");
    assert_eq!(receipts(&report, "/receipts"), [said * 100, 0, 0, 0]);
    assert_eq!(receipts(&report, "/speaker/receipts"), [said, 0, 0, 0]);
}

#[test]
fn everybody_hears_everything_at_a_rate_and_as_fast_as_it_goes() {
    let server = Server::without_limits();
    for dialect in ["classic", "v1"] {
        for pace in ["--rate 50", "--window w1", "--window w8", "--window deep", "--window 3"] {
            let report = server.load_json(&format!("fanout --subscribers 20 --seconds 1 --dialect {dialect} {pace}"));
            let said = number(&report, "/messages") as u64;
            assert!(said > 0, "{report}");
            assert_eq!(receipts(&report, "/receipts"), [said * 20, 0, 0, 0]);
            assert!(number(&report, "/server_cpu_share") >= 0.0, "it was asked for, and is told");
        }
    }
}

#[test]
fn rooms_private_messages_and_durable_ones_arrive() {
    let server = Server::without_limits();
    for words in
        ["rooms --rooms 30 --members 3 --people 20", "rooms --rooms 5 --members 4 --people 4 --busy 1 --rate 50"]
    {
        let report = server.load_json(&format!("{words} --seconds 1"));
        let wanted = number(&report, "/messages") * number(&report, "/members");
        assert_eq!(receipts(&report, "/receipts"), [wanted as u64, 0, 0, 0]);
    }
    for dialect in ["classic", "v1"] {
        let report = server.load_json(&format!("private --pairs 5 --rate 50 --seconds 1 --dialect {dialect}"));
        assert_eq!(receipts(&report, "/receipts"), [50, 0, 0, 0]);
        assert_eq!(number(&report, "/durable/count"), 50.0);
    }
    for words in ["--by http", "--by classic", "--by v1 --places lobby", "--by v1 --places one", "--by v1", "--rate 50"]
    {
        let report = server.load_json(&format!("durable --senders 5 --seconds 1 {words}"));
        let [heard, rest @ ..] = receipts(&report, "/receipts");
        assert!(heard >= 5 && rest == [0, 0, 0], "{report}");
    }
}

#[test]
fn slow_readers_miss_nothing_and_who_was_away_is_caught_up() {
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
fn a_day_is_lived_through() {
    let server = Server::without_limits();
    let report = server.load_json("mixed --people 200 --rate 200 --seconds 3 --seed 7");
    assert!(number(&report, "/messages") > 10.0, "{report}");
    assert!(number(&report, "/absences") > 0.0, "{report}");
    assert_eq!(receipts(&report, "/receipts")[1..], [0, 0, 0]);
    assert_eq!(receipts(&report, "/classic_receipts")[1..], [0, 0, 0]);
}

#[test]
fn people_read_a_summary_and_are_told_what_is_in_the_way() {
    let server = Server::start(&[]);
    let (content, report, _) = server.load("idle --connections 3");
    assert!(content && report.contains("3 connections in"), "{report}");
    // The limits are those for people.
    let (content, _, complaint) = server.load("fanout --subscribers 2 --window w8 --seconds 1");
    assert!(!content && complaint.contains("raise its limits"), "{complaint}");
    let (content, _, complaint) =
        server.load("idle --connections 3 --jwt-secret of-another-site-altogether-than-this-one");
    assert!(!content && complaint.contains("a handshake was refused: 401"), "{complaint}");
}
