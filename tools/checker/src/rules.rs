//! The rules, a file each, and [`judge`], which applies them all.

use std::collections::BTreeSet;

use crate::db_state::DbState;
use crate::history::History;
use crate::index::RunIndex;
use crate::verdict::{Coverage, Rule, Verdict};
use crate::wire::{Changed, Classic, RequestBody, Stored};

pub mod changed;
pub mod classic;
pub mod delivered;
pub mod marks;
pub mod presence;
pub mod sessions;
pub mod stored;
pub mod views;

/// The server's configuration, and the delays to allow for on a busy machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Devices of a user with a live session.
    pub devices_per_user: usize,
    /// How long a user stays online after the last session ended.
    pub linger_us: u64,
    /// The longest time until an event is noticed and notified.
    pub slack_us: u64,
    /// The longest time until the server sees a first byte.
    pub arrival_us: u64,
}

/// Judges a run.
#[must_use]
pub fn judge(history: &History, db: &DbState, bounds: &Bounds) -> Verdict {
    let run = RunIndex::build(history);
    let states = delivered::states(&run);
    let devices = views::replay(&run);
    let mut violations = stored::check(&run, db);
    violations.extend(delivered::check(&run, db, &states));
    violations.extend(changed::check(&run, db, &states));
    // A message that is reported already also differs in views; report it once.
    let reported: BTreeSet<u64> = violations.iter().filter_map(|violation| violation.about.message).collect();
    let viewed = views::check(db, &devices).into_iter().chain(classic::check(&run, db));
    violations
        .extend(viewed.filter(|violation| violation.about.message.is_none_or(|message| !reported.contains(&message))));
    let (marked, marks) = marks::check(&run, db, &devices);
    let (present, claims) = presence::check(&run, db, &devices, bounds);
    let (newest, displaced) = sessions::check(&run, bounds);
    violations.extend(marked.into_iter().chain(present).chain(newest));
    let classic = history.events.iter().filter(|event| {
        let envelope = match &event.fact {
            crate::Fact::ClassicReceived(envelope) => envelope,
            _ => return false,
        };
        matches!(envelope, Classic::Message { .. } | Classic::PrivateMessage { .. })
    });
    let mut acknowledged = BTreeSet::new();
    let mut changes_acknowledged = 0;
    for exchange in &run.exchanges {
        match exchange.body {
            RequestBody::Message { .. } | RequestBody::Private { .. } => {
                acknowledged.extend(exchange.ack::<Stored>().map(|(_, ack)| ack.id))
            }
            RequestBody::Edit { .. } | RequestBody::Delete { .. } | RequestBody::React { .. } => {
                changes_acknowledged += u64::from(exchange.ack::<Changed>().is_some());
            }
            _ => {}
        }
    }
    violations.sort_by_key(|violation| violation.rule);
    let coverage = Coverage {
        messages_acknowledged: acknowledged.len() as u64,
        changes_acknowledged,
        deliveries: (run.messages.len() + run.reactions.len() + classic.count()) as u64,
        rooms_compared: views::compared(&devices),
        marks,
        claims,
        displaced,
    };
    Verdict { violations, coverage }
}

impl Verdict {
    /// The rules that were broken.
    #[must_use]
    pub fn rules(&self) -> BTreeSet<Rule> {
        self.violations.iter().map(|violation| violation.rule).collect()
    }
}
