//! Reads the repository for the rules in `tests/`: its files, their code without tests, their comments.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository.
pub struct File {
    /// Its path from the root, with `/`.
    pub path: String,
    /// Its text; empty when it is not UTF-8.
    pub text: String,
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file that git tracks or would track, without the fuzzer's inputs.
///
/// # Panics
/// When git cannot list them.
#[must_use]
pub fn files() -> Vec<File> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let paths = paths.lines().filter(|path| !path.starts_with("tools/fuzz/corpus/"));
    let read = |path: &str| File {
        path: path.to_owned(),
        text: std::fs::read_to_string(root().join(path)).unwrap_or_default(),
    };
    // A file that was deleted and not yet staged is still listed.
    paths.filter(|path| root().join(path).exists()).map(read).collect()
}

/// Whether a path is a test's, a benchmark's or an example's.
#[must_use]
pub fn is_test(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let names = ["tests", "benches", "examples", "simulator"];
    parts.iter().any(|part| names.contains(&part.trim_end_matches(".rs")))
}

/// The code of a Rust file up to its unit tests, with comments taken out; a line stays a line.
#[must_use]
pub fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let without_comment = |line: &str| match line.find("//") {
        Some(start) if !line[..start].contains('"') => line[..start].to_owned(),
        _ => line.to_owned(),
    };
    text[..end].lines().map(without_comment).collect::<Vec<_>>().join("\n")
}

/// The comments of a file, or all of it where it is a document: paragraphs joined to one line each, with the number
/// of the line on which each begins.
#[must_use]
pub fn prose(file: &File) -> Vec<(usize, String)> {
    let is_document = file.path.ends_with(".md");
    let is_rust = file.path.ends_with(".rs");
    let comment = |line: &str| -> Option<String> {
        let line = line.trim();
        if is_document {
            return (!line.is_empty()).then(|| line.to_owned());
        }
        let marks: &[&str] = if is_rust { &["//!", "///", "//"] } else { &["#", "//", "/*", "*"] };
        let mark = marks.iter().find(|mark| line.starts_with(**mark))?;
        Some(line[mark.len()..].trim().to_owned())
    };
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in file.text.lines().enumerate() {
        match comment(line) {
            Some(words) if !words.is_empty() && is_open => {
                if let Some((_, paragraph)) = paragraphs.last_mut() {
                    paragraph.push(' ');
                    paragraph.push_str(&words);
                }
            }
            Some(words) if !words.is_empty() => {
                paragraphs.push((number + 1, words));
                is_open = true;
            }
            _ => is_open = false,
        }
    }
    paragraphs
}

/// Fails with everything that was found, a line each.
///
/// # Panics
/// When something was found.
pub fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}
