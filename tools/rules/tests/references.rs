//! Comments and documents name only files and headings that exist.

use std::collections::{HashMap, HashSet};

use regex::Regex;
use teahouse_rules::{File, assert_none, files, prose};

/// Names that look like a file of the repository and are none.
const OTHERS: &[(&str, &str)] = &[
    ("package-lock.json", "npm's own copy in node_modules"),
    ("jwks.json", "a file of the operator's"),
    ("/api/v1/openapi.json", "a route"),
    ("tools/fuzz/corpus", "inputs of the fuzzer, which this crate does not read"),
];

fn is_prose(path: &str) -> bool {
    let endings = [".rs", ".md", ".sh", ".toml", ".mjs", ".ts", ".js", "Makefile"];
    endings.iter().any(|ending| path.ends_with(ending)) && path != "CHANGELOG.md"
}

fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase())
}

/// The anchor that a heading has on the usual hosts.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

struct Repository {
    files: Vec<File>,
    /// Every path and every end of one.
    ends: HashSet<String>,
    folders: HashSet<String>,
    headings: HashMap<String, HashSet<String>>,
}

impl Repository {
    fn read() -> Self {
        let files = files();
        let mut ends = HashSet::new();
        let mut folders = HashSet::new();
        for file in &files {
            let parts: Vec<&str> = file.path.split('/').collect();
            for from in 0..parts.len() {
                ends.insert(parts[from..].join("/"));
                folders.insert(parts[..from].join("/"));
            }
        }
        let documents = files.iter().filter(|file| file.path.ends_with(".md"));
        let headings = documents.map(|file| (file.path.clone(), headings(&file.text).collect())).collect();
        Self { files, ends, folders, headings }
    }

    fn has(&self, path: &str) -> bool {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        self.ends.contains(path) || self.folders.contains(path)
    }

    /// A path as a link in a document gives it.
    fn resolve(from: &str, link: &str) -> String {
        let mut parts: Vec<&str> = from.split('/').collect();
        parts.pop();
        for part in link.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }
}

#[test]
fn comments_and_documents_name_only_files_that_exist() {
    let repository = Repository::read();
    let name = Regex::new(r"(?:^|[^\w/.:<>{}*$-])((?:\.\./)*[\w][\w./-]*\.(?:rs|md|sh|svg|png|mjs))\b").unwrap();
    let folder = Regex::new(r"(?:^|[\s(`])((?:crates|tools|packages|web|docs|deploy|scripts)/[\w./-]*\w)").unwrap();
    let mut found = Vec::new();
    for file in repository.files.iter().filter(|file| is_prose(&file.path)) {
        for (line, paragraph) in prose(file) {
            let names = name.captures_iter(&paragraph).chain(folder.captures_iter(&paragraph));
            for named in names.filter_map(|captures| captures.get(1)) {
                let named = named.as_str();
                let is_other = OTHERS.iter().any(|(other, _)| *other == named);
                let relative = Repository::resolve(&file.path, named);
                if !is_other && !repository.has(named) && !repository.has(&relative) {
                    found.push(format!("{}:{line}: {named}", file.path));
                }
            }
        }
    }
    assert_none("names of files that do not exist", &found);
}

#[test]
fn comments_and_documents_name_only_headings_that_exist() {
    let repository = Repository::read();
    let heading = Regex::new(r#"([\w/-]+\.md),? \(?"([^"]+)""#).unwrap();
    let link = Regex::new(r"\]\(([^)\s#:]*)#([^)\s]+)\)").unwrap();
    let mut found = Vec::new();
    for file in repository.files.iter().filter(|file| is_prose(&file.path)) {
        for (line, paragraph) in prose(file) {
            for captures in heading.captures_iter(&paragraph) {
                let (document, heading) = (&captures[1], captures[2].to_lowercase());
                let path = repository
                    .headings
                    .keys()
                    .find(|path| *path == document || path.ends_with(&format!("/{document}")));
                if path.is_none_or(|path| !repository.headings[path].contains(&heading)) {
                    found.push(format!("{}:{line}: {document}, \"{heading}\"", file.path));
                }
            }
            for captures in link.captures_iter(&paragraph) {
                let path = match &captures[1] {
                    "" => file.path.clone(),
                    path => Repository::resolve(&file.path, path),
                };
                let Some(headings) = repository.headings.get(&path) else { continue };
                if !headings.iter().any(|heading| anchor(heading) == captures[2].to_lowercase()) {
                    found.push(format!("{}:{line}: {path}#{}", file.path, &captures[2]));
                }
            }
        }
    }
    assert_none("headings that do not exist", &found);
}

#[test]
fn links_in_documents_lead_to_files_that_exist() {
    let repository = Repository::read();
    let link = Regex::new(r"\]\(([^)\s#]+)").unwrap();
    let mut found = Vec::new();
    for file in repository.files.iter().filter(|file| file.path.ends_with(".md")) {
        for captures in link.captures_iter(&file.text) {
            let to = &captures[1];
            let path = Repository::resolve(&file.path, to);
            let exists = repository.files.iter().any(|file| file.path == path)
                || repository.folders.contains(path.trim_end_matches('/'));
            if !to.contains(':') && !exists {
                found.push(format!("{}: {to}", file.path));
            }
        }
    }
    assert_none("links that lead nowhere", &found);
}
