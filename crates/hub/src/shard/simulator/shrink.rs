//! Shrinking a failed run: the same seed with fewer steps and fewer kinds of steps, and other seeds that fail in the same
//! way sooner. It changes no rule.

use super::{Plan, StepKind, Violation, run_plan};

/// Other seeds that are tried for a shorter run.
const OTHERS: u64 = 300;
/// Lines of the log that are shown: its end.
const LINES: usize = 60;

/// Finds a short run with the same error, and reports it.
pub(super) fn shrink(plan: &Plan, violation: &Violation) -> String {
    let rule = rule_name(&violation.rule);
    let mut best = with_fewer_steps(&Plan { rounds: 1, ..plan.clone() }, &rule).unwrap_or_else(|| plan.clone());
    for kind in StepKind::ALL.into_iter().filter(|kind| !kind.weight().1) {
        let mut without = best.clone();
        without.without.push(kind);
        if violates(&without, &rule) {
            best = without;
        }
    }
    best = with_fewer_steps(&best, &rule).unwrap_or(best);
    for other in 1..=OTHERS {
        let shorter = Plan { seed: plan.seed + other * 1_000_003, steps: best.steps * 3 / 4, ..best.clone() };
        if violates(&shorter, &rule) {
            best = with_fewer_steps(&shorter, &rule).unwrap_or(shorter);
        }
    }
    best.records_events = true;
    let Err(end) = run_plan(&best) else { return format!("seed {} failed only once: {}", plan.seed, violation.rule) };
    let from = end.events.len().saturating_sub(LINES);
    format!(
        "seed {} failed at step {}: {}\nshrunk: seed {}, {} steps, without {:?}:\n  {}\n  step {}: {}",
        plan.seed,
        violation.step,
        violation.rule,
        best.seed,
        best.steps,
        best.without,
        end.events[from..].join("\n  "),
        end.step,
        end.rule
    )
}

/// The same run with the fewest steps that still fail, found by bisection.
fn with_fewer_steps(plan: &Plan, rule: &str) -> Option<Plan> {
    let with = |steps| Plan { steps, ..plan.clone() };
    if !violates(plan, rule) {
        return None;
    }
    let (mut good, mut bad) = (0, plan.steps);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if violates(&with(middle), rule) { bad = middle } else { good = middle }
    }
    Some(with(bad))
}

fn violates(plan: &Plan, rule: &str) -> bool {
    run_plan(plan).is_err_and(|violation| rule_name(&violation.rule) == rule)
}

/// The error without numbers, so that errors of the same kind are equal.
fn rule_name(rule: &str) -> String {
    let end = rule.find("; it was sent").unwrap_or(rule.len());
    rule[..end].chars().filter(|character| character.is_alphabetic() || *character == ' ').collect()
}
