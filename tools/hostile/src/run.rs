//! One run: the test bed, the honest people, a phase without an attack, a phase for each kind of attack, and the
//! verdict of the checker about all of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use teahouse_chaos::db_state;
use teahouse_checker::{Bounds, ServerEvent, judge};
use teahouse_testkit::{Random, Server};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::attack::{Attack, Counts};
use crate::honest::{CurrentPhase, PATIENCE, Person};
use crate::kinds::{Actor, Kind};
use crate::latencies::{Action, Phase};
use crate::memory::Memory;
use crate::report::{PhaseReport, Report, Verdict};
use crate::test_bed::{TestBed, prepare, source};
use crate::witness::{Witness, quiesce};

/// Live sessions of a user.
pub const DEVICES_PER_USER: usize = 8;
/// For how long a user stays online.
pub const LINGER: Duration = Duration::from_secs(2);
/// Honest people whose devices record everything. Their histories are large, so they are few.
const WITNESSES: usize = 4;
/// The nice value of the attackers' threads. The honest people represent fifty machines, and must measure the server
/// and not the attackers' own work.
const NICENESS: i32 = 10;
/// Interval of looking whether a phase has ended, and how long its connections may take to be closed.
const POLL: Duration = Duration::from_millis(20);
const RECOVERY_MAX: Duration = Duration::from_secs(20);
/// Descriptors beyond those before the attack that do not matter.
const DESCRIPTORS_MORE: usize = 64;
/// Requests of the attackers that the server still performs.
const SETTLING: Duration = Duration::from_secs(2);

/// Bounds of the checker. A server under attack may report late; the run measures waiting times by itself.
pub const BOUNDS: Bounds = Bounds {
    devices_per_user: DEVICES_PER_USER,
    linger_us: LINGER.as_micros() as u64,
    slack_us: 30_000_000,
    arrival_us: 30_000_000,
};

/// The parameters of a run.
#[derive(Clone)]
pub struct Plan {
    /// The binary of the server.
    pub server: PathBuf,
    /// The kinds of attacks, in this order.
    pub kinds: Vec<&'static Kind>,
    /// How long each attack lasts.
    pub time: Duration,
    /// How long the phase without an attack lasts.
    pub baseline: Duration,
    /// The choices of the honest people come from this seed.
    pub seed: u64,
    /// Honest people, of whom the last few are witnesses.
    pub honest: usize,
    /// Hostile accounts.
    pub accounts: usize,
    /// Rooms of the first hostile account, and a tenth of them for each other one.
    pub rooms: usize,
    /// Direct rooms of the first hostile account.
    pub directs: usize,
    /// Messages of 16 KB in a room of the hostile accounts.
    pub archive: usize,
    /// Connections that the hostile address opens at once.
    pub connections: usize,
    /// Wrong logins of the hostile address at once.
    pub logins: usize,
    /// Each phase has a new process of the server, so that no phase hides its memory in what another one left behind.
    pub fresh: bool,
    /// Where the history of a run with violations is saved.
    pub keep: Option<PathBuf>,
}

impl Plan {
    /// The usual run against a binary: every kind for some seconds.
    #[must_use]
    pub fn new(server: &Path, kinds: Vec<&'static Kind>, time: Duration) -> Self {
        Self {
            server: server.to_owned(),
            kinds,
            time,
            baseline: time * 2,
            seed: 1,
            honest: 50,
            accounts: 10,
            rooms: 480,
            directs: 2000,
            archive: 500,
            connections: 6000,
            logins: 300,
            fresh: true,
            keep: None,
        }
    }
}

/// Plays a plan, and calls `progress` after each phase.
///
/// # Panics
/// The server ended or panicked, or the test bed could not be prepared.
pub async fn run(plan: &Plan, progress: impl Fn(&PhaseReport)) -> Report {
    let data = tempfile::tempdir().unwrap();
    let (server, bed) = prepare(plan, data.path()).await;
    let mut stage = Stage::begin(plan, server, Arc::new(bed));
    stage.wait_until_all_are_in().await;
    let baseline = stage.play(None, plan.baseline).await;
    progress(&baseline);
    let mut phases = Vec::new();
    for kind in &plan.kinds {
        if plan.fresh {
            stage.restart_server().await;
        }
        let phase = stage.play(Some(kind), plan.time).await;
        progress(&phase);
        phases.push(phase);
    }
    let verdict = stage.end(plan, data.path()).await;
    Report { accounts: plan.accounts, fresh: plan.fresh, baseline, phases, verdict }
}

/// The running parts of a run.
struct Stage {
    server: Server,
    bed: Arc<TestBed>,
    phase: CurrentPhase,
    attackers: Option<Runtime>,
    stop: watch::Sender<bool>,
    people: JoinSet<()>,
    witnesses: JoinSet<Witness>,
}

impl Stage {
    fn begin(plan: &Plan, server: Server, bed: Arc<TestBed>) -> Self {
        let (stop, over) = watch::channel(false);
        let phase: CurrentPhase = Arc::new(RwLock::new(Arc::new(Phase::default())));
        let mut random = Random::from_seed(plan.seed);
        let (mut people, mut witnesses) = (JoinSet::new(), JoinSet::new());
        let measured = plan.honest.saturating_sub(WITNESSES);
        for number in 0..measured {
            people.spawn(Person::new(&bed, number, random.fork(), Arc::clone(&phase)).run(over.clone()));
        }
        for number in measured..plan.honest {
            let user = &bed.honest[number];
            witnesses.spawn(Witness::new(&bed, number, user, random.fork()).run(over.clone()));
        }
        let attackers = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("attackers")
            .on_thread_start(|| {
                // If this fails, the attackers' threads only keep a higher priority than intended.
                let _ = rustix::process::nice(NICENESS);
            })
            .enable_all()
            .build()
            .unwrap();
        Self { server, bed, phase, attackers: Some(attackers), stop, people, witnesses }
    }

    /// Waits until as many connections were made as there are honest people.
    async fn wait_until_all_are_in(&self) {
        let began = Instant::now();
        let connected = || {
            let phase = Arc::clone(&self.phase.read().unwrap());
            phase.latencies().get(&Action::Connect).map_or(0, |connects| connects.count)
        };
        while connected() < self.people.len() as u64 {
            assert!(began.elapsed() < PATIENCE * 2, "the honest people did not connect: {}", self.server.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills the server and starts it again, and waits until all honest people are back.
    async fn restart_server(&mut self) {
        *self.phase.write().unwrap() = Arc::default();
        self.bed.recorder.note_server(ServerEvent::Killed);
        self.server.kill();
        self.bed.recorder.note_server(ServerEvent::Ended);
        tokio::task::block_in_place(|| self.server.restart());
        self.bed.recorder.note_server(ServerEvent::Started);
        self.wait_until_all_are_in().await;
    }

    /// Plays one phase: with an attack, or without.
    async fn play(&mut self, kind: Option<&'static Kind>, time: Duration) -> PhaseReport {
        let pid = self.server.pid();
        let descriptors = self.server.descriptors();
        let mut memory = Memory::begin(pid);
        let phase = Arc::new(Phase::default());
        *self.phase.write().unwrap() = Arc::clone(&phase);
        let counts = Arc::new(Counts::default());
        let mut attacks = JoinSet::new();
        if let (Some(kind), Some(attackers)) = (kind, &self.attackers) {
            for attack in self.attackers_of(kind, &counts) {
                attacks.spawn_on((kind.begin)(attack), attackers.handle());
            }
        }
        tokio::time::sleep(time).await;
        attacks.shutdown().await;
        // Actions that began in this phase still count in it; new ones do not.
        *self.phase.write().unwrap() = Arc::default();
        let ended = Instant::now();
        while Arc::strong_count(&phase) > 1 && ended.elapsed() < PATIENCE * 2 {
            tokio::time::sleep(POLL).await;
        }
        while self.server.descriptors() > descriptors + DESCRIPTORS_MORE && ended.elapsed() < RECOVERY_MAX {
            tokio::time::sleep(POLL).await;
        }
        if let Some(status) = self.server.exit_status() {
            panic!("the server ended ({status}) under {:?}:\n{}", kind.map(|kind| kind.name), self.server.log());
        }
        memory.note_peak(pid);
        memory.note_after(pid);
        PhaseReport {
            kind: kind.map_or("nobody attacks", |kind| kind.name),
            about: kind.map_or("", |kind| kind.about),
            actor: kind.map(|kind| kind.actor),
            counted: counts.read(),
            latencies: phase.latencies(),
            failures: phase.failures(),
            memory,
            recovered_ms: u64::try_from(ended.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn attackers_of(&self, kind: &Kind, counts: &Arc<Counts>) -> Vec<Attack> {
        let attack = |number: usize, source| Attack {
            bed: Arc::clone(&self.bed),
            user: self.bed.hostile[number].clone(),
            number,
            source,
            counts: Arc::clone(counts),
        };
        match kind.actor {
            Actor::Accounts => (0..self.bed.hostile.len()).map(|number| attack(number, source(2, number))).collect(),
            Actor::Address => vec![attack(0, source(3, 0))],
        }
    }

    /// Lets all leave but the witnesses, stops the server, and judges what they saw.
    async fn end(mut self, plan: &Plan, data: &Path) -> Verdict {
        if let Some(attackers) = self.attackers.take() {
            attackers.shutdown_background();
        }
        self.stop.send_replace(true);
        while self.people.join_next().await.is_some() {}
        let mut witnesses = self.witnesses.join_all().await;
        tokio::time::sleep(SETTLING).await;
        self.bed.recorder.note_quiet();
        quiesce(&mut witnesses, LINGER).await;
        let history = self.bed.recorder.history();
        self.bed.recorder.note_server(ServerEvent::Stopping);
        drop(witnesses);
        self.server.stop().await;
        self.server.assert_no_panic();
        let db = db_state::load(data).unwrap();
        let verdict = judge(&history, &db, &BOUNDS);
        if !verdict.is_clean()
            && let Some(keep) = &plan.keep
        {
            std::fs::create_dir_all(keep).unwrap();
            std::fs::write(keep.join("history.jsonl"), history.to_lines()).unwrap();
            std::fs::write(keep.join("db.json"), serde_json::to_string(&db).unwrap()).unwrap();
        }
        Verdict::of(&verdict, &history)
    }
}
