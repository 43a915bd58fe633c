//! What the code that ships may call in named places only.

use teahouse_rules::{assert_none, code, files, is_test};

struct Ban {
    calls: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
    /// Where it is allowed, and why.
    allowed: &'static [(&'static str, &'static str)],
}

const BANS: &[Ban] = &[
    Ban {
        calls: &["tokio::spawn(", "task::spawn("],
        instead: "every task has an owner that waits for it: a JoinSet or a TaskTracker",
        allowed: &[],
    },
    Ban {
        calls: &["Instant::now(", "SystemTime::now("],
        instead: "time is an argument: take it from a clock",
        allowed: &[
            ("crates/hub/src/clock.rs", "the hub's clock"),
            ("crates/hub/src/shard/event_loop.rs", "it reads the clocks for the shard"),
            ("crates/server/src/clock.rs", "the server's clock"),
            ("crates/store-sqlite/src/writer.rs", "it measures how long a commit takes"),
        ],
    },
    Ban {
        calls: &["env::var(", "env::var_os(", "env::vars(", "env::vars_os("],
        instead: "the configuration reads the environment, and nothing else does",
        allowed: &[("crates/server/src/config.rs", "the configuration")],
    },
];

#[test]
fn bans_hold_outside_of_named_places() {
    let files = files();
    let shipped = files
        .iter()
        .filter(|file| file.path.starts_with("crates/") && file.path.ends_with(".rs") && !is_test(&file.path));
    let mut found = Vec::new();
    for file in shipped {
        for (number, line) in code(&file.text).lines().enumerate() {
            for ban in BANS {
                let is_allowed = ban.allowed.iter().any(|(path, _)| *path == file.path);
                for call in ban.calls.iter().filter(|call| !is_allowed && line.contains(**call)) {
                    found.push(format!("{}:{}: {call}) is banned: {}", file.path, number + 1, ban.instead));
                }
            }
        }
    }
    for (path, _) in BANS.iter().flat_map(|ban| ban.allowed) {
        if !files.iter().any(|file| file.path == *path) {
            found.push(format!("{path} is allowed something and does not exist"));
        }
    }
    assert_none("bans", &found);
}
