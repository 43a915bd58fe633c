//! Files stay small enough to keep in mind. (Functions: `too_many_lines` in clippy.toml.)

use teahouse_rules::{assert_none, files};

const LINES_MAX: usize = 500;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[
    ("packages/types/protocol.ts", "generated"),
    ("web/chat/public/teahouse.js", "the first page; the new one takes its place"),
];

#[test]
fn files_have_at_most_500_lines() {
    let mut found = Vec::new();
    for file in files() {
        let is_code = [".rs", ".ts", ".js", ".mjs", ".vue"].iter().any(|ending| file.path.ends_with(ending));
        let lines = file.text.lines().count();
        let exception = LONGER.iter().any(|(path, _)| *path == file.path);
        if is_code && lines > LINES_MAX && !exception {
            found.push(format!("{}: {lines} lines", file.path));
        }
        if exception && lines <= LINES_MAX {
            found.push(format!("{}: it needs no exception any more", file.path));
        }
    }
    assert_none("files of more than 500 lines", &found);
}
