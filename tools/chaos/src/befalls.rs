//! What befalls the server and its machine in a run: killed, restarted, its disk full, slow or failing, its clock
//! jumping. Every kind comes in each deal of a shuffled deck, so that none is missing by chance.

use std::iter::repeat_n;
use std::time::{Duration, Instant};

use teahouse_checker::ServerEvent as Befallen;
use tokio::sync::watch;

use crate::chance::Chance;
use crate::faults::{Disk, Faults, Hits};
use crate::recorder::Recorder;
use crate::server::{PATIENCE, Server};

/// After a kill it is up again within this (FAULTS.md, "In the process"), with room for a busy machine: two cores
/// are shared with everybody who plays.
const UP_AGAIN_WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked whether the process has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How far the clock jumps, either way.
const CLOCK_JUMP_SECONDS: i64 = 3600;

/// One thing that befalls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blow {
    Kill,
    Restart,
    FullDisk,
    ReadOnlyDisk,
    SlowDisk,
    FailingSync,
    ClockForward,
    ClockBack,
}

use Blow::{ClockBack, ClockForward, FailingSync, FullDisk, Kill, ReadOnlyDisk, Restart, SlowDisk};

/// Every kind: how many of it are in a deck, and how it is counted.
const KINDS: [(Blow, usize, &str); 8] = [
    (Kill, 7, "kill -9"),
    (Restart, 1, "restart by SIGTERM"),
    (FullDisk, 1, "disk full"),
    (ReadOnlyDisk, 1, "disk read-only"),
    (SlowDisk, 1, "disk slow"),
    (FailingSync, 1, "sync failed"),
    (ClockForward, 1, "clock forward"),
    (ClockBack, 1, "clock back"),
];

/// Every kind, as it is counted.
pub fn blows() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(|(_, _, name)| name)
}

/// The server, and what is done to it.
pub struct Befalling<'a> {
    /// It.
    pub server: &'a mut Server,
    /// Its machine.
    pub faults: &'a Faults,
    /// Where it is written down.
    pub recorder: &'a Recorder,
    /// Where it comes from.
    pub chance: Chance,
    /// True once it is to stop.
    pub over: watch::Receiver<bool>,
}

impl Befalling<'_> {
    /// One blow after the other. The server is up and its machine is well when it returns.
    pub async fn goes_on(mut self) {
        let mut deck = Vec::new();
        loop {
            let pause = self.chance.time_ms(400, 2500);
            if self.waits(pause).await {
                return;
            }
            if deck.is_empty() {
                deck = KINDS.iter().flat_map(|&(blow, often, name)| repeat_n((blow, name), often)).collect();
                self.chance.shuffle(&mut deck);
            }
            let Some((blow, name)) = deck.pop() else { continue };
            let before = self.faults.hits();
            self.befalls(blow).await;
            if really_happened(blow, before, self.faults.hits()) {
                self.recorder.fault(name);
            }
        }
    }

    async fn befalls(&mut self, blow: Blow) {
        match blow {
            Kill => {
                self.recorder.server(Befallen::Killed);
                self.server.kill9();
                self.comes_back().await;
            }
            Restart => {
                self.recorder.server(Befallen::Stopping);
                self.server.stop().await;
                self.comes_back().await;
            }
            FailingSync => {
                self.recorder.server(Befallen::Killed);
                self.faults.syncs_fail(1);
                self.ends_by_itself().await;
                self.comes_back().await;
            }
            FullDisk | ReadOnlyDisk => {
                self.faults.disk(if blow == FullDisk { Disk::Full } else { Disk::ReadOnly });
                self.for_a_while().await;
                self.faults.disk(Disk::Well);
            }
            SlowDisk => {
                self.faults.syncs_take(self.chance.time_ms(20, 300));
                self.for_a_while().await;
                self.faults.syncs_take(Duration::ZERO);
            }
            ClockForward | ClockBack => {
                let seconds = if blow == ClockForward { CLOCK_JUMP_SECONDS } else { -CLOCK_JUMP_SECONDS };
                self.faults.clock_is_off_by(seconds);
                self.for_a_while().await;
                self.faults.clock_is_off_by(0);
            }
        }
    }

    /// The process exits by itself, rather than guess what is on the disk; unless the run is over, so that nobody
    /// writes any more and nothing is synced: then it is killed.
    async fn ends_by_itself(&mut self) {
        let began = Instant::now();
        let ended = loop {
            if let Some(status) = self.server.has_ended() {
                break Some(status);
            }
            if self.waits(LOOK).await {
                self.faults.syncs_fail(0);
                break self.server.has_ended();
            }
            assert!(began.elapsed() < PATIENCE, "it went on after a sync that failed");
        };
        assert!(ended.is_none_or(|status| !status.success()), "it ended as if all were well: {ended:?}");
        self.server.kill9();
    }

    async fn for_a_while(&mut self) {
        let time = self.chance.time_ms(300, 2000);
        // It is undone also when the run is over meanwhile.
        self.waits(time).await;
    }

    async fn comes_back(&mut self) {
        self.recorder.server(Befallen::Ended);
        tokio::time::sleep(self.chance.time_ms(0, 400)).await;
        let began = Instant::now();
        tokio::task::block_in_place(|| self.server.restart());
        assert!(began.elapsed() < UP_AGAIN_WITHIN, "up again after {:?}", began.elapsed());
        self.recorder.server(Befallen::Started);
    }

    /// Waits; whether it is over.
    async fn waits(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.over.wait_for(|over| *over)).await.is_ok()
    }
}

/// A fault that met nobody is none.
fn really_happened(blow: Blow, before: Hits, after: Hits) -> bool {
    match blow {
        Kill | Restart => true,
        FullDisk | ReadOnlyDisk => after.refused_writes > before.refused_writes,
        SlowDisk => after.slowed_syncs > before.slowed_syncs,
        FailingSync => after.failed_syncs > before.failed_syncs,
        ClockForward | ClockBack => after.bent_clock_reads > before.bent_clock_reads,
    }
}
