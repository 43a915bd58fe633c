//! Compares docs/internals/bounds.md with the code: every bound that the code reports is in the table, and the table
//! names no other.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::BTreeSet;

use teahouse_rules::{code, files, is_test, root};

/// The code of the crates, without tests.
fn sources() -> Vec<String> {
    let files = files().into_iter().filter(|file| file.path.starts_with("crates/") && file.path.ends_with(".rs"));
    files.filter(|file| !is_test(&file.path)).map(|file| code(&file.text)).collect()
}

/// The names in the first column of the table.
fn table() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/internals/bounds.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn every_reported_bound_is_in_the_table() {
    let table = table();
    let mut missing = BTreeSet::new();
    for source in sources() {
        for rest in source.split(".record(\"").skip(1) {
            let name = rest.split('"').next().unwrap();
            if !table.contains(name) {
                missing.insert(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/internals/bounds.md: {missing:?}");
}

#[test]
fn every_bound_of_the_table_is_reported() {
    let (table, sources) = (table(), sources());
    assert!(table.len() > 5, "{table:?}");
    let is_reported = |name: &&String| sources.iter().any(|source| source.contains(&format!("\"{name}\"")));
    let unknown: Vec<_> = table.iter().filter(|name| !is_reported(name)).collect();
    assert!(unknown.is_empty(), "docs/internals/bounds.md has bounds that nothing reports: {unknown:?}");
}
