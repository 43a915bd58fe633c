//! Compares docs/internals/regressions.md with the tests: every test that it names exists, and every test whose name
//! begins with the number of a row is in that row.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of every Rust file under a directory.
fn sources(directory: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names of all functions.
fn functions() -> BTreeSet<String> {
    let mut texts = Vec::new();
    for directory in ["crates", "tools"] {
        sources(&repository().join(directory), &mut texts);
    }
    let names = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let (_, rest) = line.split_once("fn ")?;
        Some(rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?.to_owned())
    });
    names.collect()
}

/// The rows that a name begins with: `h17_p19_a_logout` begins with H17 and P19.
fn rows_of(name: &str) -> Vec<String> {
    let is_row = |part: &&str| {
        let number = part.strip_prefix(['h', 'p']);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    name.split('_').take_while(is_row).map(str::to_uppercase).collect()
}

/// The tests of each row, and those of the page.
fn table() -> (BTreeMap<String, BTreeSet<String>>, Vec<String>) {
    let text = std::fs::read_to_string(repository().join("docs/internals/regressions.md")).unwrap();
    let (mut rows, mut of_page) = (BTreeMap::new(), Vec::new());
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [numbers, .., tests] = cells[..] else { panic!("{line}") };
        let names = tests.split('`').skip(1).step_by(2).map(str::to_owned);
        let names: BTreeSet<String> = names.collect();
        for number in numbers.split(", ") {
            rows.insert(number.to_owned(), names.clone());
        }
        of_page.extend(tests.split('“').skip(1).filter_map(|rest| Some(rest.split_once('”')?.0.to_owned())));
    }
    (rows, of_page)
}

#[test]
fn every_test_of_the_table_exists() {
    let functions = functions();
    let (rows, of_page) = table();
    assert!(rows.len() > 40 && of_page.len() > 5, "{rows:?} {of_page:?}");
    for (row, names) in &rows {
        let missing: Vec<_> = names.difference(&functions).collect();
        assert!(missing.is_empty(), "row {row} names tests that do not exist: {missing:?}");
    }
    let page = std::fs::read_to_string(repository().join("web/chat/test/page.test.mjs")).unwrap();
    for name in of_page {
        assert!(page.contains(&name), "the page has no test {name:?}");
    }
}

#[test]
fn every_test_with_a_row_number_is_in_the_table() {
    let (rows, _) = table();
    let mut missing = Vec::new();
    for name in functions() {
        for row in rows_of(&name) {
            if !rows.get(&row).is_some_and(|names| names.contains(&name)) {
                missing.push(format!("{row}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/internals/regressions.md:\n{}", missing.join("\n"));
}
