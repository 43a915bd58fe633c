//! Replays every corpus through its check, so that fixed failures stay fixed.
//! One input alone: `TEAHOUSE_FUZZ_INPUT=path cargo test -p teahouse-fuzz --test corpus`.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::path::{Path, PathBuf};

use teahouse_fuzz::{Check, TARGETS};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(check: Check, file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    let outcome = std::panic::catch_unwind(|| check(&bytes));
    assert!(outcome.is_ok(), "{} fails its check", file.display());
}

#[test]
fn every_corpus_input_passes_its_check() {
    if let Some(input) = std::env::var_os("TEAHOUSE_FUZZ_INPUT").map(PathBuf::from) {
        // The path names the check; otherwise, the input runs through all checks.
        let name = input.to_string_lossy().into_owned();
        let named: Vec<_> = TARGETS.iter().filter(|(target, _)| name.contains(target)).collect();
        let all = TARGETS.iter().collect();
        for (_, check) in if named.is_empty() { all } else { named } {
            replay(*check, &input);
        }
        return;
    }
    for (target, check) in TARGETS {
        let files = files(&corpus(target));
        assert!(files.len() > 10, "the corpus of {target} is missing");
        files.iter().for_each(|file| replay(*check, file));
    }
}

#[test]
fn the_corpora_are_small_and_each_has_its_check() {
    let known: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
    let mut bytes = 0;
    for folder in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")) {
        assert!(known.contains(&folder.file_name().unwrap().to_str().unwrap()), "{}", folder.display());
        bytes += files(&folder).iter().map(|file| file.metadata().unwrap().len()).sum::<u64>();
    }
    assert!(bytes < 512 * 1024, "{bytes} bytes: keep what `scripts/fuzz.sh keep` keeps");
}
