//! Compares docs/internals/threat-model.md with the tests: every test that it names exists in the file that it names,
//! and every row names one or says that there is none.

use regex::Regex;
use teahouse_rules::{assert_none, files};

const DOCUMENT: &str = "docs/internals/threat-model.md";
/// What a row says that no test guards.
const NONE: &str = "not covered yet";
/// The actors; each has a part of the document.
const ACTORS: &[&str] = &[
    "A stranger",
    "A user",
    "A member elsewhere",
    "Another site's page",
    "A former member",
    "A thief of a token or a backup",
    "A local user",
    "A client of a proxy",
];

#[test]
fn every_test_of_the_threat_model_exists() {
    let files = files();
    let document = files.iter().find(|file| file.path == DOCUMENT).expect("the threat model");
    let named = Regex::new(r"`([\w/.-]+\.rs)::(\w+)`").expect("a valid expression");
    let mut found = Vec::new();
    for captures in named.captures_iter(&document.text) {
        let (path, test) = (&captures[1], &captures[2]);
        let definition = format!("fn {test}(");
        if !files.iter().any(|file| file.path == *path && file.text.contains(&definition)) {
            found.push(format!("{path}::{test}"));
        }
    }
    assert_none("tests that do not exist", &found);
}

#[test]
fn every_threat_has_a_test_or_says_that_it_has_none() {
    let files = files();
    let document = files.iter().find(|file| file.path == DOCUMENT).expect("the threat model");
    let mut found = Vec::new();
    for actor in ACTORS {
        if !document.text.lines().any(|line| line.strip_prefix("## ") == Some(actor)) {
            found.push(format!("{actor} is missing"));
        }
    }
    let rows = document.text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| tries to"));
    for row in rows.filter(|row| !row.starts_with("| ---")) {
        let tests = row.trim_matches('|').rsplit(" | ").next().unwrap_or_default();
        if !tests.contains("::") && !tests.contains(NONE) {
            found.push(row.to_owned());
        }
    }
    assert_none("rows of the threat model without a test", &found);
}
