//! The faults of a run that hit the server and its machine: SIGKILL, SIGTERM, a full, read-only or slow disk, a failing
//! sync, a clock that jumps. Each shuffled deck holds every kind of fault, so that no kind is missing by chance.

use std::iter::repeat_n;
use std::time::{Duration, Instant};

use teahouse_checker::ServerEvent;
use teahouse_testkit::faults::{Disk, Faults, Hits};
use teahouse_testkit::{PATIENCE, Random, Server};
use tokio::sync::watch;

use crate::recorder::Recorder;

/// Bound for a restart after a kill: 5 s (docs/internals/regressions.md, Faults), and room for a machine whose two cores
/// also run all clients.
const RESTART_BOUND: Duration = Duration::from_secs(15);
/// Interval for polling whether the process has ended.
const EXIT_POLL: Duration = Duration::from_millis(10);
/// How far the clock jumps, either way.
const CLOCK_JUMP_SECONDS: i64 = 3600;

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Kill,
    Restart,
    FullDisk,
    ReadOnlyDisk,
    SlowDisk,
    FailingSync,
    ClockForward,
    ClockBack,
}

use Fault::{ClockBack, ClockForward, FailingSync, FullDisk, Kill, ReadOnlyDisk, Restart, SlowDisk};

/// Every kind: how many of it are in a deck, and its name.
const KINDS: [(Fault, usize, &str); 8] = [
    (Kill, 5, KILL),
    (Restart, 1, "restart by SIGTERM"),
    (FullDisk, 1, "disk full"),
    (ReadOnlyDisk, 1, "disk read-only"),
    (SlowDisk, 1, "disk slow"),
    (FailingSync, 1, "sync failed"),
    (ClockForward, 1, "clock forward"),
    (ClockBack, 1, "clock back"),
];

/// The name under which kills are counted.
pub const KILL: &str = "kill -9";

/// The names of all kinds of faults.
pub fn fault_names() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(|(_, _, name)| name)
}

/// Injects faults into one server.
pub struct Nemesis<'a> {
    /// The server.
    pub server: &'a mut Server,
    /// The faults of its machine.
    pub faults: &'a Faults,
    /// Records them.
    pub recorder: &'a Recorder,
    /// Chooses them.
    pub random: Random,
    /// Becomes true when the run ends.
    pub over: watch::Receiver<bool>,
}

impl Nemesis<'_> {
    /// Injects one fault after another until the run ends. When it returns, the server is up and its machine is healthy.
    pub async fn run(mut self) {
        let mut deck = Vec::new();
        loop {
            let pause = self.random.time_ms(300, 1800);
            if self.wait(pause).await {
                return;
            }
            if deck.is_empty() {
                deck = KINDS.iter().flat_map(|&(fault, count, name)| repeat_n((fault, name), count)).collect();
                self.random.shuffle(&mut deck);
            }
            let Some((fault, name)) = deck.pop() else { continue };
            let before = self.faults.hits();
            self.inject(fault).await;
            if has_happened(fault, before, self.faults.hits()) {
                self.recorder.count_fault(name);
            }
        }
    }

    async fn inject(&mut self, fault: Fault) {
        match fault {
            Kill => {
                self.recorder.note_server(ServerEvent::Killed);
                self.server.kill();
                self.restart().await;
            }
            Restart => {
                self.recorder.note_server(ServerEvent::Stopping);
                self.server.stop().await;
                self.restart().await;
            }
            FailingSync => {
                self.recorder.note_server(ServerEvent::Killed);
                self.faults.fail_syncs(1);
                self.wait_for_exit().await;
                self.restart().await;
            }
            FullDisk | ReadOnlyDisk => {
                self.faults.set_disk(if fault == FullDisk { Disk::Full } else { Disk::ReadOnly });
                self.hold().await;
                self.faults.set_disk(Disk::Healthy);
            }
            SlowDisk => {
                self.faults.delay_syncs(self.random.time_ms(20, 300));
                self.hold().await;
                self.faults.delay_syncs(Duration::ZERO);
            }
            ClockForward | ClockBack => {
                let seconds = if fault == ClockForward { CLOCK_JUMP_SECONDS } else { -CLOCK_JUMP_SECONDS };
                self.faults.shift_clock(seconds);
                self.hold().await;
                self.faults.shift_clock(0);
            }
        }
    }

    /// After a failed sync the process exits, because it cannot know what is on the disk. When the run ends first, nobody
    /// writes any more and no sync fails: then this kills the process.
    async fn wait_for_exit(&mut self) {
        let began = Instant::now();
        let ended = loop {
            if let Some(status) = self.server.exit_status() {
                break Some(status);
            }
            if self.wait(EXIT_POLL).await {
                self.faults.fail_syncs(0);
                break self.server.exit_status();
            }
            assert!(began.elapsed() < PATIENCE, "the server went on after a failed sync");
        };
        assert!(ended.is_none_or(|status| !status.success()), "the server exited with success: {ended:?}");
        self.server.kill();
    }

    /// Keeps a fault up for a while. The end of the run ends it early.
    async fn hold(&mut self) {
        let time = self.random.time_ms(300, 2000);
        self.wait(time).await;
    }

    async fn restart(&mut self) {
        self.recorder.note_server(ServerEvent::Ended);
        tokio::time::sleep(self.random.time_ms(0, 400)).await;
        let began = Instant::now();
        tokio::task::block_in_place(|| self.server.restart());
        assert!(began.elapsed() < RESTART_BOUND, "the restart took {:?}", began.elapsed());
        self.recorder.note_server(ServerEvent::Started);
    }

    /// Waits for a time or for the end of the run; true at the end.
    async fn wait(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.over.wait_for(|over| *over)).await.is_ok()
    }
}

/// A fault counts only if it hit the server.
fn has_happened(fault: Fault, before: Hits, after: Hits) -> bool {
    match fault {
        Kill | Restart => true,
        FullDisk | ReadOnlyDisk => after.refused_writes > before.refused_writes,
        SlowDisk => after.slowed_syncs > before.slowed_syncs,
        FailingSync => after.failed_syncs > before.failed_syncs,
        ClockForward | ClockBack => after.wrong_clock_reads > before.wrong_clock_reads,
    }
}
