//! What was measured, round by round, and what becomes of it: medians, and ratios to the floor within the
//! same round.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
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

/// Whether a value, and its ratio to the floor, is what was to be reached.
pub type Test = fn(f64, Option<f64>) -> bool;

/// What is to be reached, in words, and as a test.
pub type Goal = (&'static str, Test);

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    pub what: String,
    pub unit: Unit,
    pub goal: Option<Goal>,
}

impl Line {
    pub fn new(what: impl Into<String>, unit: Unit) -> Self {
        Self { what: what.into(), unit, goal: None }
    }

    pub fn reaching(self, words: &'static str, test: Test) -> Self {
        Self { goal: Some((words, test)), ..self }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    value: f64,
    floor: Option<f64>,
}

/// A curve of a picture: its name, and values over N, of all rounds.
pub type Curves = BTreeMap<String, BTreeMap<u64, Vec<f64>>>;

/// Everything that was measured.
#[derive(Default)]
pub struct Book {
    lines: Vec<(Line, Vec<Sample>)>,
    missing: Vec<String>,
    pictures: BTreeMap<&'static str, Curves>,
}

impl Book {
    /// A value of this round, and the floor's if it has one.
    pub fn add(&mut self, line: Line, value: f64, floor: Option<f64>) {
        let sample = Sample { value, floor };
        match self.lines.iter_mut().find(|(known, _)| known.what == line.what) {
            Some((_, samples)) => samples.push(sample),
            None => self.lines.push((line, vec![sample])),
        }
    }

    /// A point of a picture.
    pub fn point(&mut self, picture: &'static str, curve: &str, n: u64, value: f64) {
        let curves = self.pictures.entry(picture).or_default();
        curves.entry(curve.to_owned()).or_default().entry(n).or_default().push(value);
    }

    pub fn pictures(&self) -> &BTreeMap<&'static str, Curves> {
        &self.pictures
    }

    /// Something could not be measured, and why.
    pub fn miss(&mut self, what: &str, why: &dyn std::fmt::Display) {
        let line = format!("{what}: {why}");
        if !self.missing.contains(&line) {
            self.missing.push(line);
        }
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| what | to reach | measured | lowest to highest | the floor | ratio to the floor | reached |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (line, samples) in &self.lines {
            let show = |value| line.unit.show(value);
            let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
            let floors: Vec<f64> = samples.iter().filter_map(|sample| sample.floor).collect();
            let ratios: Vec<f64> = samples.iter().filter_map(ratio).collect();
            let value = median(&values).unwrap_or(f64::NAN);
            let (lowest, highest) =
                values.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
            let spread =
                if values.len() > 1 { format!("{} – {}", show(lowest), show(highest)) } else { String::new() };
            let ratio = median(&ratios);
            let (goal, reached) = match line.goal {
                Some((words, test)) => (words, if test(value, ratio) { "yes" } else { "**no**" }),
                None => ("", ""),
            };
            let floor = median(&floors).map_or_else(String::new, show);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let _ = writeln!(
                table,
                "| {} | {goal} | {} | {spread} | {floor} | {ratio} | {reached} |",
                line.what,
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
    sample.floor.filter(|&floor| floor > 0.0).map(|floor| sample.value / floor)
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
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
    fn ratios_are_taken_within_a_round_and_a_table_says_what_was_reached_and_what_is_missing() {
        let mut book = Book::default();
        let line =
            || Line::new("fan-out", Unit::PerSecond).reaching("≥ 0.85 of the floor", |_, ratio| ratio >= Some(0.85));
        for (value, floor) in [(90.0, 100.0), (40.0, 50.0), (300.0, 310.0)] {
            book.add(line(), value, Some(floor));
        }
        book.add(Line::new("alone", Unit::Bytes).reaching("≤ 10 B", |value, _| value <= 10.0), 11.0, None);
        book.miss("start-up", &"no disk");
        let table = book.table();
        assert!(
            table.contains("| fan-out | ≥ 0.85 of the floor | 90 /s | 40 /s – 300 /s | 100 /s | 0.90 | yes |"),
            "{table}"
        );
        assert!(table.contains("| alone | ≤ 10 B | 11 B |  |  |  | **no** |"), "{table}");
        assert!(table.ends_with("- start-up: no disk\n"), "{table}");
    }
}
