//! Rows that do not depend on load: start-up and history with many stored messages, binary size, allocations.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use teahouse_core::{LOBBY, MessageKind, Timestamp, UserId};
use teahouse_store::{Append, CommitGroup, CommitSink, Destination, Lifecycle, Messages, Site, SiteUser, Subject};
use teahouse_store_sqlite::{SqliteOptions, SqliteStore};

use super::Bench;
use crate::cores::Placement;
use crate::error::BenchError;
use crate::process::{Process, get};
use crate::results::{Metric, Results, Unit, median};

/// The sender of all messages.
const AUTHOR: u64 = 1001;
/// Messages in flight: a full group of the store.
const IN_FLIGHT: u64 = 1024;
/// Page reads per measurement.
const PAGES: u32 = 50;
/// Size of the small database, for comparison.
const FEW: u64 = 10_000;

/// Discards all commits.
struct NullSink;

impl CommitSink for NullSink {
    fn commit(&mut self, _: CommitGroup<'_>) {}
}

pub(super) fn past(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let many = bench.past;
    let mut pages = Vec::new();
    for messages in [FEW.min(many), many] {
        let data = tempfile::tempdir_in(&bench.bed.data)?;
        fill(bench, data.path(), messages)?;
        let began = Instant::now();
        let server = bench.bed.server_on(data.path(), Placement::Server, &[])?;
        while !get(server.target.address, "/ready", None)?.starts_with("HTTP/1.1 200") {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(BenchError::Missing("readiness"));
            }
        }
        let took = began.elapsed().as_secs_f64();
        let metric = Metric::new(format!("start-up with {messages} messages stored, until ready"), Unit::Seconds);
        let goal = messages == many;
        let metric = if goal { metric.with_goal("≤ 1 s at 10 million", |seconds, _| seconds <= 1.0) } else { metric };
        results.add(metric, took, None);
        pages.push((read_page(&server, messages, 1.0)?, read_page(&server, messages, 0.5)?));
    }
    if many < 10_000_000 {
        results.record_missing("start-up and history at 10 million messages", &"run make bench PAST=10000000");
    }
    if let [(few_new, _), (many_new, many_old)] = pages[..] {
        results.add(Metric::new(format!("a page of history, newest, {FEW} stored"), Unit::Millis), few_new, None);
        let metric = Metric::new(format!("a page of history, newest, {many} stored"), Unit::Millis);
        results.add(metric, many_new, None);
        let metric = Metric::new(format!("a page of history, in the middle, {many} stored"), Unit::Millis);
        results.add(metric, many_old, None);
        let metric = Metric::new("a page of history, many stored against few", Unit::Times);
        results.add(
            metric.with_goal("O(page): < 1.5 ×", |times, _| times < 1.5),
            many_old.max(many_new) / few_new,
            None,
        );
    }
    Ok(())
}

/// Median time in milliseconds of a page of 50 that ends at this fraction of all messages.
fn read_page(server: &Process, messages: u64, part: f64) -> Result<f64, BenchError> {
    let token = server.target.token(AUTHOR)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "messages of one run"
    )]
    let before = (messages as f64 * part) as u64 + 1;
    let path = format!("/api/chat/messages?limit=50&before_id={before}");
    let mut waits = Vec::new();
    for _ in 0..PAGES {
        let began = Instant::now();
        let page = get(server.target.address, &path, Some(&token))?;
        waits.push(began.elapsed().as_secs_f64() * 1e3);
        if !page.starts_with("HTTP/1.1 200") {
            return Err(BenchError::Missing("a page of history"));
        }
    }
    median(&waits).ok_or(BenchError::Missing("a page of history"))
}

/// Fills a data directory with lobby messages, through the store.
fn fill(bench: &mut Bench, directory: &Path, messages: u64) -> Result<(), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Store(error.to_string());
    bench.bed.cores.pin(Placement::Anywhere)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let store =
            SqliteStore::open(SqliteOptions::new(directory), Box::new(NullSink)).map_err(|error| failed(&error))?;
        let store = Arc::new(store);
        let subject = Subject::Id(UserId(AUTHOR));
        let author = SiteUser { subject, username: format!("load{AUTHOR}"), email: None, now: now() };
        store.ensure_site_user(author).await.map_err(|error| failed(&error))?;
        let mut tasks = tokio::task::JoinSet::new();
        let mut done = 0;
        for number in 0..messages {
            if number >= IN_FLIGHT {
                one_of(&mut tasks).await?;
                done += 1;
            }
            let store = Arc::clone(&store);
            tasks
                .spawn(async move { store.append(message(number)).await.map(drop).map_err(|error| error.to_string()) });
            bench.progress.report(|| format!("filling the database: {done} of {messages} messages"));
        }
        while !tasks.is_empty() {
            one_of(&mut tasks).await?;
        }
        store.close().await;
        Ok(())
    });
    bench.bed.cores.pin(Placement::Load)?;
    outcome
}

async fn one_of(tasks: &mut tokio::task::JoinSet<Result<(), String>>) -> Result<(), BenchError> {
    match tasks.join_next().await {
        Some(Ok(Ok(()))) | None => Ok(()),
        Some(Ok(Err(error))) => Err(BenchError::Store(error)),
        Some(Err(error)) => Err(BenchError::Store(error.to_string())),
    }
}

fn message(number: u64) -> Append {
    Append {
        destination: Destination::Room(LOBBY),
        sender: UserId(AUTHOR),
        client_id: Some(format!("past-{number}")),
        content: format!("{number} {}", "x".repeat(190)),
        kind: MessageKind::Text,
        reply_to: None,
        from_site: false,
        address: None,
        now: now(),
    }
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

pub(super) fn size(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let bytes = std::fs::metadata(&bench.bed.teahouse)?.len();
    #[expect(clippy::cast_precision_loss, reason = "bytes of a file")]
    let megabytes = bytes as f64 / 1e6;
    let metric = Metric::new("the binary", Unit::Megabytes);
    results.add(metric.with_goal("≤ 25 MB", |megabytes, _| megabytes <= 25.0), megabytes, None);
    Ok(())
}

/// Reads the counts of the allocation test, which `make bench` runs before.
pub(super) fn allocations(bench: &mut Bench, results: &mut Results) -> Result<(), BenchError> {
    let path = bench.bed.data.join("allocations.txt");
    let Ok(text) = std::fs::read_to_string(&path) else {
        results.record_missing("allocations", &"the allocation test was not run; make bench runs it");
        return Ok(());
    };
    for line in text.lines() {
        let Some((what, number)) = line.split_once(": ") else { continue };
        let Some(number) = number.split(' ').next().and_then(|number| number.parse::<f64>().ok()) else { continue };
        if what.starts_with("allocations per delivery") {
            let metric = Metric::new(format!("{what} (hub alone, real sockets)"), Unit::Times);
            results.add(metric.with_goal("0", |count, _| count < 0.01), number, None);
        } else if what.starts_with("allocations per idle") {
            results.add(Metric::new(format!("{what} (hub alone, real sockets)"), Unit::Times), number, None);
        } else if what.starts_with("bytes per idle") {
            results.add(Metric::new(format!("{what} (hub alone, real sockets)"), Unit::Bytes), number, None);
        }
    }
    Ok(())
}
