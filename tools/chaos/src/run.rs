//! One run: a server, a workload, the nemesis, quiescence, and the verdict of the checker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use teahouse_checker::verdict::Coverage;
use teahouse_checker::{Bounds, DbState, History, ServerEvent, Verdict, judge};
use teahouse_testkit::tokens::SITE_SECRET;
use teahouse_testkit::{Faults, Random, Server};
use tokio::sync::watch;

use crate::db_state;
use crate::nemesis::{KILL, Nemesis, fault_names};
use crate::recorder::Recorder;
use crate::workload::{self, Workload};

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary of the server.
    pub server: PathBuf,
    /// Every choice of the run comes from this seed.
    pub seed: u64,
    /// How long the workload runs at least.
    pub time: Duration,
    /// The workload continues until the server was killed this many times and hit by every kind of fault; with none,
    /// it runs for the time alone.
    pub kills_min: Option<u64>,
    /// Number of users.
    pub people: usize,
    /// Devices of a user that may be live at once.
    pub devices_per_user: usize,
}

impl Plan {
    fn is_fulfilled(&self, faults: &BTreeMap<&'static str, u64>) -> bool {
        let Some(kills) = self.kills_min else { return true };
        faults.get(KILL).is_some_and(|count| *count >= kills) && fault_names().all(|name| faults.contains_key(name))
    }
}

/// The result of a run.
pub struct Outcome {
    /// What the clients recorded.
    pub history: History,
    /// The state of the database afterwards.
    pub db: DbState,
    /// Whether both agree.
    pub verdict: Verdict,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
}

/// Devices of a user that may be live at once, of which runs take turns: as in the old server, so few that races displace
/// some, and the default.
pub const DEVICES_PER_USER: [usize; 3] = [1, 3, 8];
const LINGER: Duration = Duration::from_secs(2);

/// The bounds that the checker applies. The slack is for a busy machine.
#[must_use]
pub fn bounds(devices_per_user: usize) -> Bounds {
    let linger_us = LINGER.as_micros() as u64;
    Bounds { devices_per_user, linger_us, slack_us: 4_000_000, arrival_us: 3_000_000 }
}

/// No limits on clients, and short intervals, so that much happens in a short time.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("TEAHOUSE_AUTH__JWT_SECRET", SITE_SECRET),
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "100000"),
    ("TEAHOUSE_LIMITS__CONNECTS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__CONNECTS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__STRANGERS_PER_DAY", "100000"),
    ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "2s"),
    ("TEAHOUSE_SESSIONS__PING_INTERVAL", "5s"),
    ("TEAHOUSE_SESSIONS__PONG_TIMEOUT", "4s"),
    ("TEAHOUSE_SERVER__DRAIN_TIMEOUT", "2s"),
    ("TEAHOUSE_LOG__FILTER", "warn"),
];

/// Runs a plan, and calls `progress` every few seconds.
///
/// # Errors
/// The database cannot be read.
pub async fn run(plan: &Plan, progress: impl Fn(&Recorder)) -> Result<Outcome, rusqlite::Error> {
    let recorder = Recorder::default();
    let faults = Faults::new();
    let per_user = plan.devices_per_user.to_string();
    let per_user = [("TEAHOUSE_SESSIONS__PER_USER", per_user.as_str())];
    let mut server = Server::start(&plan.server, &[ENVIRONMENT, &per_user, &faults.environment()].concat());
    recorder.note_server(ServerEvent::Started);
    let mut workload =
        Workload::prepare(&recorder, server.address(), plan.seed, plan.people, plan.devices_per_user).await;
    let (stop, over) = watch::channel(false);
    let random = Random::from_seed(plan.seed ^ 0x5EED);
    let nemesis = Nemesis { server: &mut server, faults: &faults, recorder: &recorder, random, over };
    let playing = async {
        let is_enough = || plan.is_fulfilled(&recorder.faults());
        workload.run(plan.time, is_enough, || progress(&recorder)).await;
        stop.send_replace(true);
    };
    tokio::join!(playing, nemesis.run());
    workload.quiesce(LINGER).await;
    let history = recorder.history();
    workload.disconnect();
    server.stop().await;
    server.assert_no_panic();
    let db = db_state::load(server.data())?;
    let verdict = judge(&history, &db, &bounds(plan.devices_per_user));
    Ok(Outcome { history, db, verdict, faults: recorder.faults() })
}

impl Outcome {
    /// Faults that never happened, and things of which the checker saw none. With any of them the verdict proves too
    /// little.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let it = &self.verdict.coverage;
        let checked = [
            ("messages acknowledged", it.messages_acknowledged),
            ("changes acknowledged", it.changes_acknowledged),
            ("rooms compared", it.rooms_compared),
            ("claims of presence", it.claims),
            ("displaced", it.displaced),
        ];
        let unchecked = checked.into_iter().filter(|(_, times)| *times == 0).map(|(what, _)| what);
        missing_faults(&self.faults).chain(unchecked).collect()
    }

    /// Writes the history and the state of the database to a directory, so that the checker can judge them again.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn save(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("history.jsonl"), self.history.to_lines())?;
        std::fs::write(directory.join("db.json"), serde_json::to_string(&self.db)?)
    }
}

/// The kinds of faults that did not happen.
pub fn missing_faults(happened: &BTreeMap<&'static str, u64>) -> impl Iterator<Item = &'static str> {
    workload::FAULTS.iter().copied().chain(fault_names()).filter(|kind| !happened.contains_key(kind))
}

/// The counts of faults and checks, in a few lines.
#[must_use]
pub fn summary(faults: &BTreeMap<&'static str, u64>, it: Coverage) -> String {
    let faults: Vec<String> = faults.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
    format!(
        "faults: {}\nmessages acknowledged {}, changes acknowledged {}, deliveries checked {}, rooms compared {}, \
         marks {}, claims of presence {}, displaced {}",
        faults.join(", "),
        it.messages_acknowledged,
        it.changes_acknowledged,
        it.deliveries,
        it.rooms_compared,
        it.marks,
        it.claims,
        it.displaced,
    )
}
