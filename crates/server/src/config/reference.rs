//! The reference of all keys, generated from the schema: as text for the terminal, and as docs/configuration.md.

use std::fmt::Write;

use super::schema::SECTIONS;
use super::{KEYS, Key};

/// The introduction of docs/configuration.md.
const INTRODUCTION: &str = include_str!("introduction.md");

/// Every key with its variable, default and documentation, for `teahouse config --keys`.
#[must_use]
pub(crate) fn key_list() -> String {
    let mut text = String::new();
    for key in KEYS {
        let default = or_not_set((key.default)());
        let _ = writeln!(text, "{key}  ({}; default: {default})\n    {}", key.variable(), key.doc.trim());
    }
    text
}

/// The text of docs/configuration.md, for `make docs`.
#[must_use]
pub(crate) fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let _ = write!(text, "\n## `[{}]`\n\n{}\n\n", section.name, section.doc.trim());
        text.push_str("| key | default | meaning |\n| --- | --- | --- |\n");
        for key in KEYS.iter().filter(|key| key.section == section.name) {
            let _ = writeln!(text, "| `{key}` | {} | {} |", markdown_default(key), key.doc.trim());
        }
    }
    text
}

fn markdown_default(key: &Key) -> String {
    match ((key.default)(), key.default_in_words) {
        (_, Some(words)) => words.to_owned(),
        (value, None) if value.is_empty() => or_not_set(value),
        (value, None) => format!("`{value}`"),
    }
}

fn or_not_set(default: String) -> String {
    if default.is_empty() { "not set".to_owned() } else { default }
}
