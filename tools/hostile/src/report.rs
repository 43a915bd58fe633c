//! What a run found: each phase beside the one without an attack, the goals that were missed, as Markdown and JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use teahouse_checker::History;
use teahouse_load::Latency;

use crate::attack::Counted;
use crate::kinds::Actor;
use crate::latencies::Action;
use crate::memory::{Memory, mib};

/// The goal: an honest person waits at most so many times as long as without the attack.
pub const RATIO_MAX: f64 = 5.0;
/// The goals for the memory that one account and one address cost.
pub const ACCOUNT_MIB_MAX: f64 = 64.0;
/// See [`ACCOUNT_MIB_MAX`].
pub const ADDRESS_MIB_MAX: f64 = 256.0;
/// Violations that are reported with their stories.
const STORIES: usize = 5;

/// One phase.
#[derive(Serialize)]
pub struct PhaseReport {
    /// The name of the attack.
    pub kind: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Who attacked; nobody in the baseline.
    pub actor: Option<Actor>,
    /// The successes and failures of the attack.
    pub counted: Counted,
    /// How long honest people waited.
    pub latencies: BTreeMap<Action, Latency>,
    /// Which actions of honest people failed, and how often.
    pub failures: BTreeMap<String, u64>,
    /// The server's memory.
    pub memory: Memory,
    /// How long after the attack all of its connections were closed and the last waiting person had an answer.
    pub recovered_ms: u64,
}

/// The checker's verdict.
#[derive(Serialize)]
pub struct Verdict {
    /// Number of violations.
    pub violations: usize,
    /// The first ones, with their stories.
    pub stories: String,
    /// What was checked.
    pub checked: String,
    /// Messages that honest people had acknowledged.
    pub messages_acknowledged: u64,
    /// Rooms of witnesses that were compared with the database.
    pub rooms_compared: u64,
}

impl Verdict {
    /// From the checker's.
    #[must_use]
    pub fn of(verdict: &teahouse_checker::Verdict, history: &History) -> Self {
        let checked = verdict.coverage;
        Self {
            violations: verdict.violations.len(),
            stories: verdict.report(history, STORIES),
            checked: format!("{checked:?}"),
            messages_acknowledged: checked.messages_acknowledged,
            rooms_compared: checked.rooms_compared,
        }
    }
}

/// A whole run.
#[derive(Serialize)]
pub struct Report {
    /// Hostile accounts.
    pub accounts: usize,
    /// Each phase had a new process of the server.
    pub fresh: bool,
    /// The phase without an attack.
    pub baseline: PhaseReport,
    /// The phases with one.
    pub phases: Vec<PhaseReport>,
    /// The checker's verdict.
    pub verdict: Verdict,
}

impl PhaseReport {
    /// Whether the attack reached the server at all.
    #[must_use]
    pub fn has_happened(&self) -> bool {
        self.counted.done + self.counted.refused > 0
    }
}

impl Report {
    /// The memory that an attack took beyond what honest people took without it, in MiB. Where each phase had a new
    /// process, peaks are compared; otherwise what a phase added to what was there.
    #[must_use]
    pub fn memory_mib(&self, phase: &PhaseReport) -> f64 {
        if self.fresh && phase.actor.is_some() {
            mib(phase.memory.peak.saturating_sub(self.baseline.memory.peak))
        } else {
            phase.memory.grown_mib()
        }
    }

    /// The memory that one attacker took, in MiB, and the goal.
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    fn memory_of_one(&self, phase: &PhaseReport) -> (f64, f64) {
        match phase.actor {
            Some(Actor::Address) => (self.memory_mib(phase), ADDRESS_MIB_MAX),
            _ => (self.memory_mib(phase) / self.accounts.max(1) as f64, ACCOUNT_MIB_MAX),
        }
    }

    /// p50 and p99 of an action as ratios to the phase without an attack.
    fn ratios(&self, phase: &PhaseReport, action: Action) -> Option<[f64; 2]> {
        let (here, there) = (phase.latencies.get(&action)?, self.baseline.latencies.get(&action)?);
        Some([here.p50_ms / there.p50_ms, here.p99_ms / there.p99_ms])
    }

    /// The goals that were missed, in sentences.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for phase in &self.phases {
            let kind = phase.kind;
            if !phase.has_happened() {
                missed.push(format!("{kind}: the attack never reached the server"));
            }
            for action in Action::ALL {
                let Some(ratios) = self.ratios(phase, action) else {
                    missed.push(format!("{kind}: nobody could {}", action.name()));
                    continue;
                };
                for (ratio, which) in ratios.into_iter().zip(["p50", "p99"]) {
                    if ratio > RATIO_MAX {
                        missed
                            .push(format!("{kind}: {which} to {} is {ratio:.1} times that without it", action.name()));
                    }
                }
            }
            for (failure, times) in &phase.failures {
                missed.push(format!("{kind}: {times} times an honest person failed ({failure})"));
            }
            let (grown, allowed) = self.memory_of_one(phase);
            if grown > allowed {
                missed.push(format!("{kind}: {grown:.0} MiB for one attacker, {allowed:.0} allowed"));
            }
        }
        if self.verdict.violations > 0 {
            missed.push(format!("the checker found {} violations", self.verdict.violations));
        }
        missed
    }

    /// The tables, the goals that were missed, and the checker's verdict.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "p50 / p99 in milliseconds of what honest people do; in brackets, as ratios to the same people without an \
             attack. Memory is the server's peak above its peak without an attack.\n\n\
             | attack | done / refused / closed | send | connect | log in | read | memory | recovered |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for phase in std::iter::once(&self.baseline).chain(&self.phases) {
            let Counted { done, refused, closed } = phase.counted;
            let cells: Vec<String> = Action::ALL.iter().map(|action| self.cell(phase, *action)).collect();
            let counted = if phase.actor.is_none() { String::new() } else { format!("{done} / {refused} / {closed}") };
            let _ = writeln!(
                text,
                "| {} | {counted} | {} | +{:.0} MiB | {:.1} s |",
                phase.kind,
                cells.join(" | "),
                self.memory_mib(phase),
                std::time::Duration::from_millis(phase.recovered_ms).as_secs_f64(),
            );
        }
        let missed = self.missed();
        if missed.is_empty() {
            text += "\nAll goals were reached.\n";
        } else {
            text += "\nMissed goals:\n\n";
            missed.iter().for_each(|goal| text += &format!("- {goal}\n"));
        }
        let _ = writeln!(text, "\nThe checker: {} violations. {}", self.verdict.violations, self.verdict.checked);
        if !self.verdict.stories.is_empty() {
            let _ = writeln!(text, "\n```\n{}```", self.verdict.stories);
        }
        text
    }

    fn cell(&self, phase: &PhaseReport, action: Action) -> String {
        let Some(Latency { p50_ms, p99_ms, .. }) = phase.latencies.get(&action) else { return "nobody".to_owned() };
        let failed: u64 =
            phase.failures.iter().filter(|(what, _)| what.starts_with(action.name())).map(|(_, times)| times).sum();
        let mut cell = format!("{p50_ms:.1} / {p99_ms:.1}");
        if let (Some([p50, p99]), true) = (self.ratios(phase, action), phase.actor.is_some()) {
            let _ = write!(cell, " (×{p50:.1} / ×{p99:.1})");
        }
        if failed > 0 {
            let _ = write!(cell, ", **{failed} failed**");
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(kind: &'static str, actor: Option<Actor>, wait_ms: f64, peak_mib: u64) -> PhaseReport {
        let latency = Latency { count: 10, p50_ms: wait_ms, p99_ms: wait_ms * 2.0, max_ms: wait_ms * 3.0 };
        PhaseReport {
            kind,
            about: "",
            actor,
            counted: Counted { done: 7, refused: 0, closed: 0 },
            latencies: Action::ALL.into_iter().map(|action| (action, latency)).collect(),
            failures: BTreeMap::new(),
            memory: Memory { before: 15 << 20, peak: peak_mib << 20, after: 0 },
            recovered_ms: 0,
        }
    }

    fn report(phases: Vec<PhaseReport>) -> Report {
        let verdict = Verdict::of(&teahouse_checker::Verdict::default(), &History::default());
        Report { accounts: 10, fresh: true, baseline: phase("nobody attacks", None, 2.0, 100), phases, verdict }
    }

    #[test]
    fn every_missed_goal_is_named_and_reached_ones_are_not() {
        let (accounts, address) = (Some(Actor::Accounts), Some(Actor::Address));
        assert_eq!(report(vec![phase("a", accounts, 10.0, 740), phase("b", address, 10.0, 356)]).missed(), [""; 0]);
        let mut silent = phase("silent", address, 2.0, 100);
        silent.counted = Counted { closed: 3, ..Counted::default() };
        let mut nobody = phase("nobody", address, 2.0, 100);
        nobody.latencies.remove(&Action::LogIn);
        let mut failed = phase("failed", accounts, 2.0, 100);
        failed.failures.insert("log in: 503".to_owned(), 4);
        let large = [phase("account", accounts, 2.0, 750), phase("address", address, 2.0, 366)];
        let mut bad = report([silent, nobody, failed].into_iter().chain(large).collect());
        bad.verdict.violations = 1;
        assert_eq!(
            bad.missed(),
            [
                "silent: the attack never reached the server",
                "nobody: nobody could log in",
                "failed: 4 times an honest person failed (log in: 503)",
                "account: 65 MiB for one attacker, 64 allowed",
                "address: 266 MiB for one attacker, 256 allowed",
                "the checker found 1 violations",
            ]
        );
        let slow = report(vec![phase("slow", accounts, 10.2, 100)]).missed();
        assert_eq!(slow.len(), 8, "{slow:?}");
        assert_eq!(slow[0], "slow: p50 to send is 5.1 times that without it");
    }

    #[test]
    fn a_table_has_a_row_for_each_phase() {
        let text = report(vec![phase("heads", Some(Actor::Address), 6.0, 120)]).markdown();
        assert!(text.contains("| nobody attacks |  | 2.0 / 4.0 |"), "{text}");
        assert!(text.contains("| heads | 7 / 0 / 0 | 6.0 / 12.0 (×3.0 / ×3.0) |"), "{text}");
        assert!(text.contains("| +20 MiB |") && text.contains("All goals were reached."), "{text}");
    }
}
