//! One run: a server, a cast, what befalls the server meanwhile, rest, and the verdict.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use teahouse_checker::verdict::Coverage;
use teahouse_checker::{Bounds, DbState, History, ServerEvent as Befallen, Verdict, judge};
use tokio::sync::watch;

use crate::befalls::{Befalling, blows};
use crate::cast::{self, Cast};
use crate::chance::Chance;
use crate::faults::Faults;
use crate::people::SITE_SECRET;
use crate::recorder::Recorder;
use crate::server::Server;
use crate::truth;

/// What a run is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's binary.
    pub server: PathBuf,
    /// All that is done on purpose comes from it.
    pub seed: u64,
    /// For how long the cast acts.
    pub time: Duration,
    /// How many people.
    pub people: usize,
}

/// What came of it.
pub struct Outcome {
    /// What was recorded.
    pub history: History,
    /// What the store holds.
    pub truth: DbState,
    /// Whether it fits.
    pub verdict: Verdict,
    /// How often each fault was done.
    pub faults: BTreeMap<&'static str, u64>,
}

/// Live sessions of a user: few enough that races displace.
const SESSIONS_PER_USER: usize = 3;
const LINGER: Duration = Duration::from_secs(2);

/// What the judge holds a server to, that was told the above. The slack is for a machine with other work to do.
pub const BOUNDS: Bounds = Bounds {
    sessions_per_user: SESSIONS_PER_USER,
    linger_us: LINGER.as_micros() as u64,
    slack_us: 4_000_000,
    arrival_us: 3_000_000,
};

/// The limits out of the way, and time passing faster than in a real house.
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
    ("TEAHOUSE_SESSIONS__PER_USER", "3"),
    ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "2s"),
    ("TEAHOUSE_SESSIONS__PING_INTERVAL", "5s"),
    ("TEAHOUSE_SESSIONS__PONG_TIMEOUT", "4s"),
    ("TEAHOUSE_SERVER__DRAIN_TIMEOUT", "2s"),
    ("TEAHOUSE_LOG__FILTER", "warn"),
];

/// Plays it; `progress` is called every few seconds meanwhile.
///
/// # Errors
/// The store can not be read.
pub async fn run(plan: &Plan, progress: impl Fn(&Recorder)) -> Result<Outcome, rusqlite::Error> {
    let recorder = Recorder::default();
    let faults = Faults::new();
    let mut server = Server::start(&plan.server, &[ENVIRONMENT, &faults.environment()].concat());
    recorder.server(Befallen::Started);
    let mut cast = Cast::assemble(&recorder, server.address(), plan.seed, plan.people, SESSIONS_PER_USER).await;
    let (stop, over) = watch::channel(false);
    let chance = Chance::from(plan.seed ^ 0x5EED);
    let befalling = Befalling { server: &mut server, faults: &faults, recorder: &recorder, chance, over };
    let acting = async {
        cast.acts(plan.time, || progress(&recorder)).await;
        stop.send_replace(true);
    };
    tokio::join!(acting, befalling.goes_on());
    cast.comes_to_rest(LINGER).await;
    let history = recorder.history();
    cast.goes();
    server.stop().await;
    server.assert_no_panic();
    let truth = truth::load(server.data())?;
    let verdict = judge(&history, &truth, &BOUNDS);
    Ok(Outcome { history, truth, verdict, faults: recorder.faults() })
}

impl Outcome {
    /// Faults that were to be done and never were, and what there was nothing to look at of: a verdict about nothing
    /// is worth nothing.
    #[must_use]
    pub fn never_done(&self) -> Vec<&'static str> {
        let it = &self.verdict.coverage;
        let coverage = [
            ("messages acknowledged", it.messages_acknowledged),
            ("changes acknowledged", it.changes_acknowledged),
            ("rooms compared", it.rooms_compared),
            ("claims of presence", it.claims),
            ("displaced", it.displaced),
        ];
        let not_looked_at = coverage.into_iter().filter(|(_, times)| *times == 0).map(|(what, _)| what);
        faults_never_done(&self.faults).chain(not_looked_at).collect()
    }

    /// Keeps what was recorded and what the store holds in a directory, so that it can be judged again.
    ///
    /// # Errors
    /// It can not be written.
    pub fn keep(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("history.jsonl"), self.history.to_lines())?;
        std::fs::write(directory.join("truth.json"), serde_json::to_string(&self.truth)?)
    }
}

/// Kinds of faults that were to be done and are not among these.
pub fn faults_never_done(done: &BTreeMap<&'static str, u64>) -> impl Iterator<Item = &'static str> {
    cast::FAULTS.iter().copied().chain(blows()).filter(|kind| !done.contains_key(kind))
}

/// What was done and what was looked at, in a few lines.
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
