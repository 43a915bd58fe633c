//! Dependencies point one way: between crates, and between the server's modules.

use std::collections::BTreeMap;

use teahouse_rules::{assert_none, code, files, is_test};

/// Which crates of ours each crate may ship with. Tests may use more.
const CRATES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("protocol", &["core"]),
    ("hub", &["core", "protocol"]),
    ("store", &["core"]),
    ("store-sqlite", &["core", "store"]),
    ("server", &["core", "protocol", "hub", "store", "store-sqlite"]),
];

/// What a part of a crate must not name, and why.
const MODULES: &[(&str, &[&str], &str)] = &[
    (
        "crates/server/src/use_cases",
        &["crate::http", "crate::dispatch", "crate::socket", "crate::control", "crate::errors", "axum::"],
        "a use case knows no way by which it is called, and no words for its errors",
    ),
    (
        "crates/server/src/errors",
        &["crate::http", "crate::dispatch", "crate::socket", "crate::control", "axum::"],
        "errors know no way by which they are sent",
    ),
    (
        "crates/server/src/dispatch",
        &["crate::http", "crate::socket", "axum::"],
        "the socket and HTTP share the dispatcher",
    ),
    ("crates/server/src/socket", &["crate::http", "axum::"], "a socket's requests do not pass through HTTP"),
];

#[test]
fn crates_depend_downwards_only() {
    let mut found = Vec::new();
    let mut seen = BTreeMap::new();
    for file in files() {
        let parts: Vec<&str> = file.path.split('/').collect();
        let ["crates", name, "Cargo.toml"] = parts[..] else { continue };
        seen.insert(name.to_owned(), ());
        let manifest: toml::Table = file.text.parse().expect("a manifest");
        let dependencies = manifest["dependencies"].as_table().expect("dependencies");
        let Some((_, allowed)) = CRATES.iter().find(|(of, _)| *of == name) else {
            found.push(format!("crates/{name} is not in the table of this test"));
            continue;
        };
        for ours in dependencies.keys().filter_map(|key| key.strip_prefix("teahouse-")) {
            if !allowed.contains(&ours) {
                found.push(format!("{name} depends on {ours}"));
            }
        }
    }
    assert_eq!(seen.len(), CRATES.len(), "the table of this test names crates that do not exist");
    assert_none("dependencies between crates", &found);
}

#[test]
fn modules_depend_one_way() {
    let files = files();
    let mut found = Vec::new();
    for (part, forbidden, reason) in MODULES {
        let of_part: Vec<_> = files
            .iter()
            .filter(|file| file.path.ends_with(".rs") && file.path.starts_with(part) && !is_test(&file.path))
            .collect();
        assert!(!of_part.is_empty(), "there is no {part}");
        for file in of_part {
            for (number, line) in code(&file.text).lines().enumerate() {
                for name in forbidden.iter().filter(|name| line.contains(**name)) {
                    found.push(format!("{}:{}: {name} ({reason})", file.path, number + 1));
                }
            }
        }
    }
    assert_none("dependencies between modules", &found);
}
