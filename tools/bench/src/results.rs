//! Collects measurements of all rounds and prints medians and ratios to the baseline. Ratios are taken within a round,
//! so that a slow round does not distort them.

use std::fmt::Write;

/// The unit of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    PerSecond,
    Bytes,
    BytesPerSecond,
    Micros,
    Millis,
    Seconds,
    Percent,
    Times,
    Count,
    Megabytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::PerSecond if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Bytes => format!("{value:.0} B"),
            Self::BytesPerSecond => format!("{value:.0} B/s"),
            Self::Micros => format!("{value:.2} µs"),
            Self::Millis => format!("{value:.1} ms"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Percent => format!("{value:.1} %"),
            Self::Times => format!("{value:.2} ×"),
            Self::Count => format!("{value:.0}"),
            Self::Megabytes => format!("{value:.1} MB"),
        }
    }
}

/// Whether a value, or its ratio to the baseline, reaches the goal.
pub(crate) type Test = fn(f64, Option<f64>) -> bool;

/// A goal: its text and its test.
pub(crate) type Goal = (&'static str, Test);

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub name: String,
    pub unit: Unit,
    pub goal: Option<Goal>,
}

impl Metric {
    pub(crate) fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self { name: name.into(), unit, goal: None }
    }

    pub(crate) fn with_goal(self, words: &'static str, test: Test) -> Self {
        Self { goal: Some((words, test)), ..self }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    value: f64,
    baseline: Option<f64>,
}

/// All measurements.
#[derive(Default)]
pub(crate) struct Results {
    metrics: Vec<(Metric, Vec<Sample>)>,
    missing: Vec<String>,
}

impl Results {
    /// Adds the value of a round, and the baseline's value in the same round, if any.
    pub(crate) fn add(&mut self, metric: Metric, value: f64, baseline: Option<f64>) {
        let sample = Sample { value, baseline };
        match self.metrics.iter_mut().find(|(known, _)| known.name == metric.name) {
            Some((_, samples)) => samples.push(sample),
            None => self.metrics.push((metric, vec![sample])),
        }
    }

    /// Records that something could not be measured, and why.
    pub(crate) fn record_missing(&mut self, what: &str, why: &dyn std::fmt::Display) {
        let line = format!("{what}: {why}");
        if !self.missing.contains(&line) {
            self.missing.push(line);
        }
    }

    /// The table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| what | goal | measured | lowest to highest | baseline | ratio to baseline | reached |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (metric, samples) in &self.metrics {
            let show = |value| metric.unit.show(value);
            let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
            let baselines: Vec<f64> = samples.iter().filter_map(|sample| sample.baseline).collect();
            let ratios: Vec<f64> = samples.iter().filter_map(ratio).collect();
            let value = median(&values).unwrap_or(f64::NAN);
            let (lowest, highest) =
                values.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
            let spread =
                if values.len() > 1 { format!("{} – {}", show(lowest), show(highest)) } else { String::new() };
            let ratio = median(&ratios);
            let (goal, reached) = match metric.goal {
                Some((words, test)) => (words, if test(value, ratio) { "yes" } else { "**no**" }),
                None => ("", ""),
            };
            let baseline = median(&baselines).map_or_else(String::new, show);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let _ = writeln!(
                table,
                "| {} | {goal} | {} | {spread} | {baseline} | {ratio} | {reached} |",
                metric.name,
                show(value)
            );
        }
        if !self.missing.is_empty() {
            table.push_str("\nNot measured:\n\n");
            for line in &self.missing {
                let _ = writeln!(table, "- {line}");
            }
        }
        table
    }
}

fn ratio(sample: &Sample) -> Option<f64> {
    sample.baseline.filter(|&baseline| baseline > 0.0).map(|baseline| sample.value / baseline)
}

/// The median; the mean of the middle two for an even number of values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_table_shows_medians_ratios_within_a_round_goals_and_missing_rows() {
        let mut results = Results::default();
        let metric = || {
            Metric::new("fan-out", Unit::PerSecond).with_goal("≥ 0.85 of baseline", |_, ratio| ratio >= Some(0.85))
        };
        for (value, baseline) in [(90.0, 100.0), (40.0, 50.0), (300.0, 310.0)] {
            results.add(metric(), value, Some(baseline));
        }
        results.add(Metric::new("alone", Unit::Bytes).with_goal("≤ 10 B", |value, _| value <= 10.0), 11.0, None);
        results.record_missing("start-up", &"no disk");
        let table = results.table();
        assert!(
            table.contains("| fan-out | ≥ 0.85 of baseline | 90 /s | 40 /s – 300 /s | 100 /s | 0.90 | yes |"),
            "{table}"
        );
        assert!(table.contains("| alone | ≤ 10 B | 11 B |  |  |  | **no** |"), "{table}");
        assert!(table.ends_with("- start-up: no disk\n"), "{table}");
    }
}
