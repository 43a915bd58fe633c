//! A process that dies during writes, by `kill -9` or by a disk that fails under a commit: everything that it
//! acknowledged is stored, once. The process that dies is this program, started again.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use teahouse_conformance::RecordingSink;
use teahouse_core::{LOBBY, MessageId, MessageKind, Timestamp, UserId};
use teahouse_store::{
    Append, Destination, HistoryFrom, HistoryQuery, Lifecycle, Messages, PageLimit, Site, SiteUser, Subject,
};
use teahouse_store_sqlite::{SqliteOptions, SqliteStore};

const DIRECTORY: &str = "TEAHOUSE_STORE_TEST_DIRECTORY";
const ROUND: &str = "TEAHOUSE_STORE_TEST_ROUND";
const SENDERS: u64 = 20;

fn open(directory: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(SqliteOptions::new(directory), Box::new(RecordingSink::default())).unwrap())
}

/// Prints every acknowledgement on stdout until the process is killed.
#[tokio::main]
async fn write_until_the_end(directory: &Path, round: &str) {
    let store = open(directory);
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 1..=SENDERS {
        let (store, round) = (Arc::clone(&store), round.to_owned());
        let user = SiteUser {
            subject: Subject::Id(UserId(sender)),
            username: format!("u{sender}"),
            email: None,
            now: Timestamp(0),
        };
        store.ensure_site_user(user).await.unwrap();
        tasks.spawn(async move {
            for number in 0.. {
                let client_id = format!("{round}-{sender}-{number}");
                let append = Append {
                    destination: Destination::Room(LOBBY),
                    sender: UserId(sender),
                    client_id: Some(client_id.clone()),
                    content: "x".repeat(100),
                    kind: MessageKind::Text,
                    reply_to: None,
                    from_site: false,
                    address: None,
                    now: Timestamp(0),
                };
                // Overloaded: not acknowledged, but not the end either.
                match store.append(append).await {
                    Ok(done) => println!("ack {client_id} {}", done.seq),
                    Err(_) => println!("refused"),
                }
            }
        });
    }
    tasks.join_all().await;
}

/// Starts this program again as the process that dies in this test, by the command `with`.
fn start(test: &str, directory: &Path, round: u32, with: &[&str]) -> Child {
    let me = std::env::current_exe().unwrap();
    let mut command = match with {
        [] => Command::new(&me),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(&me);
            command
        }
    };
    command
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes until it is killed, if this is the process that dies.
fn is_the_one_that_dies() -> bool {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return false };
    write_until_the_end(Path::new(&directory), &std::env::var(ROUND).unwrap());
    true
}

/// The acknowledgement in a complete line.
fn ack(line: &str) -> Option<(String, u64)> {
    let (client_id, seq) = line.strip_prefix("ack ")?.split_once(' ')?;
    Some((client_id.to_owned(), seq.parse().ok()?))
}

/// Every acknowledged message is stored under its seq, none is stored twice, no seq is missing.
#[tokio::main]
async fn assert_kept(directory: &Path, acked: &BTreeMap<String, u64>) {
    let store = open(directory);
    let mut stored = BTreeMap::new();
    let mut after = MessageId(0);
    loop {
        let query = HistoryQuery { from: HistoryFrom::After(after), limit: PageLimit::of_entries(1000) };
        let page = store.history(LOBBY, query).await.unwrap();
        for message in page.messages {
            assert_eq!(message.seq.0, stored.len() as u64 + 1);
            assert_eq!(stored.insert(message.client_id.unwrap(), message.seq.0), None, "stored twice");
            after = message.id;
        }
        if !page.has_more {
            break;
        }
    }
    for (client_id, seq) in acked {
        assert_eq!(stored.get(client_id), Some(seq), "{client_id} was acknowledged");
    }
    assert_eq!(store.room_head(LOBBY).await.unwrap().unwrap().last_seq.0, stored.len() as u64);
    store.close().await;
    let file = rusqlite::Connection::open(directory.join("teahouse.db")).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    if is_the_one_that_dies() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acked = BTreeMap::new();
    for round in 0..5 {
        let mut child = start("kill_9_loses_nothing_that_was_acknowledged", directory.path(), round, &[]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Each round a little later, so that the kill hits another part of a group.
        acked.extend(lines.by_ref().filter_map(|line| ack(&line)).take(200 + 137 * round as usize));
        child.kill().unwrap();
        // The lines that it printed before it died count too.
        acked.extend(lines.filter_map(|line| ack(&line)));
        child.wait().unwrap();
        assert_kept(directory.path(), &acked);
    }
    assert!(acked.len() > 2000);
}

#[test]
fn a_disk_that_takes_no_write_refuses_and_loses_nothing_that_was_acknowledged() {
    if is_the_one_that_dies() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // Files can grow to two or four megabytes, depending on the shell's unit. Then `write` fails with EFBIG, which is an
    // I/O error like any other to SQLite.
    let shell = ["sh", "-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""];
    let test = "a_disk_that_takes_no_write_refuses_and_loses_nothing_that_was_acknowledged";
    let mut child = start(test, directory.path(), 0, &shell);
    let (mut acked, mut refused) = (BTreeMap::new(), 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        acked.extend(ack(&line));
        refused += u32::from(line == "refused");
        if refused == 1000 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(refused >= 1000, "it refused {refused} times, and ended by itself");
    assert!(acked.len() > 20, "the fault came after {} messages", acked.len());
    assert_kept(directory.path(), &acked);
}
