//! How many messages a second become durable through the real schema, and how long one waits. Run by
//! hand: `cargo bench -p teahouse-store-sqlite --bench append [-- <directory>]`; the directory decides the disk.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use teahouse_core::{LOBBY, MessageKind, Timestamp, UserId};
use teahouse_store::{Append, CommitGroup, CommitSink, Destination, Lifecycle, Messages, Site, SiteUser, Subject};
use teahouse_store_sqlite::{SqliteOptions, SqliteStore};

const CONTENT_BYTES: usize = 200;
const RUN: Duration = Duration::from_secs(5);

struct NullSink;

impl CommitSink for NullSink {
    fn commit(&mut self, _: CommitGroup<'_>) {}
}

fn main() {
    let at = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).map(PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!(
        "{:>8} {:>8} {:>12} {:>10} {:>10} {:>12}",
        "senders", "rooms", "messages/s", "p50 ms", "p99 ms", "a group"
    );
    for (senders, rooms) in [(1, 1), (100, 1), (1000, 1), (100, 100), (1000, 1000)] {
        let directory = match &at {
            Some(at) => tempfile::tempdir_in(at).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        runtime.block_on(run(SqliteOptions::new(directory.path()), senders, rooms));
    }
}

async fn run(options: SqliteOptions, senders: u64, rooms: u64) {
    let metrics = options.metrics.common.clone();
    let store = Arc::new(SqliteStore::open(options, Box::new(NullSink)).unwrap());
    for user in 1..=senders {
        let site =
            SiteUser { subject: Subject::Id(UserId(user)), username: format!("u{user}"), email: None, now: now() };
        store.ensure_site_user(site).await.unwrap();
    }
    if rooms > 1 {
        // The first message of a direct room also publishes entries, which are no messages: send it before counting.
        for user in 1..=senders {
            let append =
                Append { content: "hi".to_owned(), ..text(user, Destination::Direct(UserId(user % senders + 1))) };
            store.append(append).await.unwrap();
        }
    }
    let (groups, messages) = (metrics.groups.get(), metrics.commits.get());
    let cpu = writer_cpu();
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for user in 1..=senders {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let destination =
                if rooms == 1 { Destination::Room(LOBBY) } else { Destination::Direct(UserId(user % senders + 1)) };
            let mut waits = Vec::new();
            while begun.elapsed() < RUN {
                let client_id = Some(format!("{user:x}-{:x}-5f0c9a7e41", waits.len()));
                let append = Append { client_id, ..text(user, destination) };
                let asked = Instant::now();
                store.append(append).await.unwrap();
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let mut waits: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let took = begun.elapsed().as_secs_f64();
    let cpu = writer_cpu() - cpu;
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let stored = metrics.commits.get() - messages;
    assert_eq!(stored, waits.len() as u64, "every acknowledged message was published, and nothing else");
    println!(
        "{senders:>8} {rooms:>8} {:>12.0} {:>10.2} {:>10.2} {:>10.1} {:>16.1}",
        stored as f64 / took,
        at(0.5),
        at(0.99),
        stored as f64 / (metrics.groups.get() - groups) as f64,
        cpu.as_micros() as f64 / stored as f64,
    );
    store.close().await;
}

fn text(user: u64, destination: Destination) -> Append {
    Append {
        destination,
        sender: UserId(user),
        client_id: None,
        content: "x".repeat(CONTENT_BYTES),
        kind: MessageKind::Text,
        reply_to: None,
        from_site: false,
        address: Some([127, 0, 0, 1].into()),
        now: now(),
    }
}

/// What the writer thread has used of a core: the figure to compare on a machine that has other work.
fn writer_cpu() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let stats = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let stats = stats.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let writer = stats.into_iter().find(|stat| stat.contains("(store-writer)")).unwrap_or_default();
    // User and system time are the 14th and 15th field; the name is the second and has no blank in it.
    let ticks: u32 = writer.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
