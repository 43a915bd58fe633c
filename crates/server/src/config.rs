//! What the operator wants: one file, the environment, a few flags, read in two stages. `raw` holds
//! what was written and where; `parts` says what each key means. Only this module reads the
//! environment, and it never prints a secret. Adding a key is one line in `parts.rs`.

mod parts;
mod raw;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use parts::{Auth, Config, KEYS, Limits, Log, Server};
pub use raw::Mistake;
pub use value::{LogFormat, Secret, WebOrigin};

use raw::Raw;

/// The environment variable that names the configuration file; every other one of ours names a key.
const FILE_VARIABLE: &str = "TEAHOUSE_CONFIG";

/// One key that can be set: adding a line in `parts.rs` adds one of these.
pub struct Key {
    /// The part that it belongs to.
    pub section: &'static str,
    /// Its name within the part.
    pub name: &'static str,
    /// What it is for and where its default comes from.
    pub doc: &'static str,
    /// Its default, as an operator would write it; empty means not set.
    pub default: fn() -> String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TEAHOUSE_{}__{}", self.section.to_uppercase(), self.name.to_uppercase())
    }
}

/// A value given by a flag of the command line.
pub struct FlagValue {
    /// The flag, as it is written.
    pub flag: &'static str,
    /// The key that it sets, as `section.name`.
    pub key: &'static str,
    /// What was written.
    pub value: String,
}

/// A time as keys have it, such as 5m.
///
/// # Errors
/// A sentence that says what would be one.
pub fn parse_time(text: &str) -> Result<std::time::Duration, String> {
    value::Setting::parse(text)
}

/// Where values may come from, strongest first.
#[derive(Default)]
pub struct Sources {
    /// Flags of the command line.
    pub flags: Vec<FlagValue>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The file that a flag named.
    pub file: Option<PathBuf>,
}

impl Sources {
    /// These flags, over the environment of this process.
    #[must_use]
    pub fn of_process(flags: Vec<FlagValue>, file: Option<PathBuf>) -> Self {
        Self { flags, environment: std::env::vars_os().collect(), file }
    }
}

/// A configuration that holds together, with where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// What the program means by it.
    pub config: Config,
    /// A line for each key.
    lines: Vec<String>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Everything that is wrong with a configuration; a start with it is refused (exit status 64).
#[derive(Debug)]
pub struct Mistakes(pub Vec<Mistake>);

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration is wrong:")?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

/// Reads all sources and checks everything.
///
/// # Errors
/// Every mistake that was found, not only the first.
pub fn load(sources: Sources) -> Result<Loaded, Mistakes> {
    load_with(sources, |path| std::fs::read_to_string(path))
}

/// The same, with the file read by `read`.
///
/// # Errors
/// As of [`load`].
pub(crate) fn load_with(
    sources: Sources,
    read: impl FnOnce(&Path) -> std::io::Result<String>,
) -> Result<Loaded, Mistakes> {
    let mut raw = Raw::gather(sources, read);
    let config = Config::read(&mut raw);
    if let Some(config) = &config {
        raw.mistakes.extend(config.contradictions());
    }
    match config {
        Some(config) if raw.mistakes.is_empty() => Ok(Loaded { config, lines: raw.lines }),
        _ => Err(Mistakes(raw.mistakes)),
    }
}

/// Every key with its variable, default and documentation, for `teahouse config --keys`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for key in KEYS {
        let default = match (key.default)() {
            value if value.is_empty() => "not set".to_owned(),
            value => value,
        };
        text += &format!("{key}  ({}; default: {default})\n    {}\n", key.variable(), key.doc.trim());
    }
    text
}

#[cfg(test)]
mod tests;
