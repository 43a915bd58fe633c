//! The shortest story of what went wrong: the same seed with fewer steps and fewer kinds of things that happen,
//! and other seeds that break the same way sooner. It changes no rule.

use super::{Broken, Kind, Plan, play};

/// Other seeds that are tried for a shorter story.
const OTHERS: u64 = 300;
/// Lines of the story that are shown: its end.
const LINES: usize = 60;

/// Finds a short run that breaks a rule, and tells it.
pub(super) fn shortest(plan: &Plan, broken: &Broken) -> String {
    let rule = gist(&broken.rule);
    let mut best = fewer_steps(&Plan { rests: 1, ..plan.clone() }, &rule).unwrap_or_else(|| plan.clone());
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.weight().1) {
        let mut without = best.clone();
        without.without.push(kind);
        if breaks(&without, &rule) {
            best = without;
        }
    }
    best = fewer_steps(&best, &rule).unwrap_or(best);
    for other in 1..=OTHERS {
        let shorter = Plan { seed: plan.seed + other * 1_000_003, steps: best.steps * 3 / 4, ..best.clone() };
        if breaks(&shorter, &rule) {
            best = fewer_steps(&shorter, &rule).unwrap_or(shorter);
        }
    }
    best.is_told = true;
    let Err(end) = play(&best) else { return format!("seed {} broke a rule once: {}", plan.seed, broken.rule) };
    let from = end.story.len().saturating_sub(LINES);
    format!(
        "seed {} broke a rule at step {}: {}\nshort: seed {}, {} steps, without {:?}:\n  {}\n  step {}: {}",
        plan.seed,
        broken.step,
        broken.rule,
        best.seed,
        best.steps,
        best.without,
        end.story[from..].join("\n  "),
        end.step,
        end.rule
    )
}

/// The same with as few steps as still break the rule, by halving.
fn fewer_steps(plan: &Plan, rule: &str) -> Option<Plan> {
    let with = |steps| Plan { steps, ..plan.clone() };
    if !breaks(plan, rule) {
        return None;
    }
    let (mut good, mut bad) = (0, plan.steps);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if breaks(&with(middle), rule) { bad = middle } else { good = middle }
    }
    Some(with(bad))
}

fn breaks(plan: &Plan, rule: &str) -> bool {
    play(plan).is_err_and(|broken| gist(&broken.rule) == rule)
}

/// Which rule it was, whoever broke it.
fn gist(rule: &str) -> String {
    let end = rule.find("; it was sent").unwrap_or(rule.len());
    rule[..end].chars().filter(|character| character.is_alphabetic() || *character == ' ').collect()
}
