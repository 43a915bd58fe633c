//! The rules, a file each, and all of them at once. Each takes what it needs, so that a simulator may ask one by one.

use std::collections::BTreeSet;

use crate::history::History;
use crate::ledger::Ledger;
use crate::truth::Truth;
use crate::verdict::{LookedAt, Rule, Verdict};
use crate::wire::{Ask, Changed, Classic, Stored};

pub mod changed;
pub mod classic;
pub mod delivered;
pub mod marks;
pub mod presence;
pub mod said;
pub mod sessions;
pub mod views;

/// What the server was told to keep to, and what a busy machine is given on top.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Live sessions of one user.
    pub sessions_per_user: usize,
    /// For how long a user counts as online after the last session went.
    pub linger_us: u64,
    /// What it may take until something that happened is noticed and told.
    pub slack_us: u64,
    /// What it may take until the server sees a first byte that was sent.
    pub arrival_us: u64,
}

/// Judges a run.
#[must_use]
pub fn judge(history: &History, truth: &Truth, bounds: &Bounds) -> Verdict {
    let ledger = Ledger::of(history);
    let states = delivered::states(&ledger);
    let devices = views::replay(&ledger);
    let mut violations = said::check(&ledger, truth);
    violations.extend(delivered::check(&ledger, truth, &states));
    violations.extend(changed::check(&ledger, truth, &states));
    // Who shows a message that is wrong for a reason found already is not to blame as well.
    let told: BTreeSet<u64> = violations.iter().filter_map(|violation| violation.about.message).collect();
    let viewed = views::check(truth, &devices).into_iter().chain(classic::check(&ledger, truth));
    violations
        .extend(viewed.filter(|violation| violation.about.message.is_none_or(|message| !told.contains(&message))));
    let (marked, marks) = marks::check(&ledger, truth, &devices);
    let (present, claims) = presence::check(&ledger, truth, &devices, bounds);
    let (newest, displaced) = sessions::check(&ledger, bounds);
    violations.extend(marked.into_iter().chain(present).chain(newest));
    let classic = history.events.iter().filter(|event| {
        let heard = match &event.fact {
            crate::Fact::HeardClassic(heard) => heard,
            _ => return false,
        };
        matches!(heard, Classic::Message { .. } | Classic::PrivateMessage { .. })
    });
    let mut acknowledged = BTreeSet::new();
    let mut changes_acknowledged = 0;
    for asked in &ledger.asked {
        match asked.ask {
            Ask::Message { .. } | Ask::Private { .. } => {
                acknowledged.extend(asked.ack::<Stored>().map(|(_, ack)| ack.id))
            }
            Ask::Edit { .. } | Ask::Delete { .. } | Ask::React { .. } => {
                changes_acknowledged += u64::from(asked.ack::<Changed>().is_some());
            }
            _ => {}
        }
    }
    violations.sort_by_key(|violation| violation.rule);
    let looked_at = LookedAt {
        messages_acknowledged: acknowledged.len() as u64,
        changes_acknowledged,
        deliveries: (ledger.messages.len() + classic.count()) as u64,
        rooms_compared: views::compared(&devices),
        marks,
        claims,
        displaced,
    };
    Verdict { violations, looked_at }
}

impl Verdict {
    /// The rules that say that something does not fit.
    #[must_use]
    pub fn rules(&self) -> BTreeSet<Rule> {
        self.violations.iter().map(|violation| violation.rule).collect()
    }
}
