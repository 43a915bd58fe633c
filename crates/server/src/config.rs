//! The configuration: one file, the environment and a few flags, read in two stages. `raw.rs` collects the texts and
//! their sources; `schema.rs` defines every key, so that a new key is one line there. Only this module reads the
//! environment. It never prints a secret.

mod raw;
mod reference;
mod schema;
mod secret;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use raw::ConfigError;
pub(crate) use reference::{key_list, markdown};
pub(crate) use schema::{Auth, Config, KEYS, Limits, Log, Server};
pub(crate) use secret::{Secret, exposed_secret};
pub(crate) use value::{LogFormat, WebOrigin};

use raw::RawConfig;

/// The environment variable with the path of the configuration file.
const FILE_VARIABLE: &str = "TEAHOUSE_CONFIG";

/// A section of the configuration.
pub(crate) struct Section {
    /// Its name.
    pub name: &'static str,
    /// What its keys are about.
    pub doc: &'static str,
}

/// A key of the configuration.
pub(crate) struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name in the section.
    pub name: &'static str,
    /// What it is, and the reason for its default.
    pub doc: &'static str,
    /// Its default as an operator would write it; empty means not set.
    pub default: fn() -> String,
    /// The default in words, when it depends on the machine.
    pub default_in_words: Option<&'static str>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub(crate) fn variable(&self) -> String {
        format!("TEAHOUSE_{}__{}", self.section.to_uppercase(), self.name.to_uppercase())
    }
}

/// A value from a command line flag.
pub(crate) struct FlagValue {
    /// The flag as it is written.
    pub flag: &'static str,
    /// The key that it sets, as `section.name`.
    pub key: &'static str,
    /// The value.
    pub value: String,
}

/// Parses a duration such as `5m`.
///
/// # Errors
/// A sentence that says what a valid duration is.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    value::Setting::parse(text)
}

/// The sources of values, strongest first.
#[derive(Default)]
pub(crate) struct Sources {
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
    pub(crate) fn of_process(flags: Vec<FlagValue>, file: Option<PathBuf>) -> Self {
        Self { flags, environment: std::env::vars_os().collect(), file }
    }
}

/// A valid configuration and the source of each value.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub config: Config,
    /// A line for each key.
    lines: Vec<String>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// All errors of a configuration. The server does not start with one (exit status 64).
#[derive(Debug)]
pub(crate) struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration is invalid:")?;
        self.0.iter().try_for_each(|error| writeln!(f, "  {error}"))
    }
}

/// Reads all sources and validates the configuration.
///
/// # Errors
/// All errors, not only the first one.
pub(crate) fn load(sources: Sources) -> Result<Loaded, ConfigErrors> {
    load_with(sources, |path| std::fs::read_to_string(path))
}

/// Like [`load`], with a function that reads the file.
///
/// # Errors
/// All errors, not only the first one.
pub(crate) fn load_with(
    sources: Sources,
    read: impl FnOnce(&Path) -> std::io::Result<String>,
) -> Result<Loaded, ConfigErrors> {
    let mut raw = RawConfig::collect(sources, read);
    let config = Config::read(&mut raw);
    if let Some(config) = &config {
        raw.errors.extend(config.validate());
    }
    match config {
        Some(config) if raw.errors.is_empty() => Ok(Loaded { config, lines: raw.lines }),
        _ => Err(ConfigErrors(raw.errors)),
    }
}

#[cfg(test)]
mod tests;
