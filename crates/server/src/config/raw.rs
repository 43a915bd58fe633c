//! The first stage of reading the configuration: collects the text and the source of each value, and refuses unknown
//! names. It does not know the types of keys.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::SECTIONS;
use super::value::Setting;
use super::{FILE_VARIABLE, KEYS, Key, Sources};

/// The source of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ValueSource {
    /// The default.
    Default,
    /// The file.
    File {
        /// Its path as the operator wrote it.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// An error of the configuration. It never contains the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConfigError {
    /// The key, if the error belongs to one.
    pub key: Option<String>,
    /// The source of the value.
    pub source: Option<ValueSource>,
    /// The mistake, and a valid alternative.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.source) {
            (Some(key), Some(source)) => write!(f, "{key} ({source}): {}", self.message),
            (Some(key), None) => write!(f, "{key}: {}", self.message),
            (None, Some(source)) => write!(f, "{source}: {}", self.message),
            (None, None) => f.write_str(&self.message),
        }
    }
}

/// The values of the strongest sources, and all errors so far.
#[derive(Default)]
pub(super) struct RawConfig {
    values: BTreeMap<String, (String, ValueSource)>,
    /// Both stages add to it.
    pub(super) errors: Vec<ConfigError>,
    /// One line for each key that was read.
    pub(super) lines: Vec<String>,
}

impl RawConfig {
    /// Merges the sources; `read` reads the file.
    pub(super) fn collect(sources: Sources, read: impl FnOnce(&Path) -> io::Result<String>) -> Self {
        let mut raw = Self::default();
        let mut file = sources.file;
        let mut from_environment = Vec::new();
        for (name, value) in sources.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with("TEAHOUSE_")) else { continue };
            if name == FILE_VARIABLE {
                file = file.or_else(|| Some(value.into()));
            } else {
                raw.add_variable(name, value, &mut from_environment);
            }
        }
        if let Some(path) = &file {
            raw.add_file(path, read);
        }
        raw.values.extend(from_environment);
        for flag in sources.flags {
            raw.values.insert(flag.key.to_owned(), (flag.value, ValueSource::Flag(flag.flag)));
        }
        raw
    }

    fn add_variable(&mut self, name: &str, value: OsString, into: &mut Vec<(String, (String, ValueSource))>) {
        // Kubernetes and Docker links set these variables for every neighbour of a service called `teahouse`.
        if ["TEAHOUSE_PORT", "TEAHOUSE_SERVICE_"].iter().any(|theirs| name.starts_with(theirs)) && !name.contains("__")
        {
            return;
        }
        let source = ValueSource::Environment(name.to_owned());
        match KEYS.iter().find(|key| key.variable() == name) {
            None => {
                let letters = |name: &str| name.replace('_', "");
                let similar = KEYS.iter().find(|key| letters(&key.variable()) == letters(name));
                let hint = similar.map(|key| format!("; did you mean {}?", key.variable())).unwrap_or_default();
                self.add_error(None, source, format!("there is no key of this name{hint}"));
            }
            Some(key) => match value.into_string() {
                Ok(text) => into.push((key.to_string(), (text, source))),
                Err(_) => self.add_error(Some(key.to_string()), source, "is not UTF-8".to_owned()),
            },
        }
    }

    fn add_file(&mut self, path: &Path, read: impl FnOnce(&Path) -> io::Result<String>) {
        let shown = path.display().to_string();
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("the configuration file {shown} cannot be read: {error}");
                return self.errors.push(ConfigError { key: None, source: None, message });
            }
        };
        let at = |span: Option<std::ops::Range<usize>>| {
            let before = span.map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count();
            ValueSource::File { path: shown.clone(), line }
        };
        let (document, errors) = DeTable::parse_recoverable(&text);
        let is_valid = errors.is_empty();
        for error in errors {
            // Only the message: the error's `Display` quotes the line, which may contain a secret.
            self.add_error(None, at(error.span()), error.message().to_owned());
        }
        if is_valid {
            self.add_sections(document.get_ref(), at);
        }
    }

    fn add_sections(&mut self, document: &DeTable<'_>, at: impl Fn(Option<std::ops::Range<usize>>) -> ValueSource) {
        for (section, table) in document {
            let known: Vec<&Key> = KEYS.iter().filter(|key| key.section == section.get_ref()).collect();
            let Some(table) = table.get_ref().as_table().filter(|_| !known.is_empty()) else {
                let sections: Vec<_> = SECTIONS.iter().map(|section| format!("[{}]", section.name)).collect();
                let message = format!("there is no such section; the sections are {}", sections.join(", "));
                self.add_error(Some(section.get_ref().to_string()), at(Some(section.span())), message);
                continue;
            };
            for (name, value) in table {
                let full = format!("{}.{}", section.get_ref(), name.get_ref());
                let source = at(Some(name.span()));
                if !known.iter().any(|key| key.name == name.get_ref()) {
                    let names: Vec<_> = known.iter().map(|key| key.name).collect();
                    let message = format!("there is no such key; [{}] has {}", section.get_ref(), names.join(", "));
                    self.add_error(Some(full), source, message);
                    continue;
                }
                match text_of(value) {
                    Some(text) => drop(self.values.insert(full, (text, source))),
                    None => self.add_error(
                        Some(full),
                        source,
                        "must be a text, a number, true or false, or a list of texts".to_owned(),
                    ),
                }
            }
        }
    }

    fn add_error(&mut self, key: Option<String>, source: ValueSource, message: String) {
        self.errors.push(ConfigError { key, source: Some(source), message });
    }

    /// Parses the value of a key.
    pub(super) fn read<T: Setting>(&mut self, key: &Key) -> Option<T> {
        let (text, source) =
            self.values.remove(&key.to_string()).unwrap_or_else(|| ((key.default)(), ValueSource::Default));
        match T::parse(&text) {
            Ok(value) => {
                self.lines.push(format!("{key} = {}  # {source}", value.show()));
                self.values.insert(key.to_string(), (text, source));
                Some(value)
            }
            Err(message) => {
                self.add_error(Some(key.to_string()), source, message);
                None
            }
        }
    }

    /// The value, if it is within its bounds.
    pub(super) fn check_bounds<T: Setting + PartialOrd>(
        &mut self,
        key: &Key,
        value: Option<T>,
        bounds: RangeInclusive<T>,
    ) -> Option<T> {
        let value = value?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let source = self.values.get(&key.to_string()).map_or(ValueSource::Default, |(_, source)| source.clone());
        let message = format!("{} is not between {} and {}", value.text(), bounds.start().text(), bounds.end().text());
        self.add_error(Some(key.to_string()), source, message);
        None
    }
}

/// A value of the file as an environment variable would spell it, lists joined with commas.
fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    Some(match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Array(items) => {
            let texts: Option<Vec<_>> =
                items.iter().map(|item| text_of(item).filter(|_| !item.get_ref().is_array())).collect();
            texts?.join(",")
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}
