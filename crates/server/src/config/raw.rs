//! The first stage: what was written, as text, and where. Names that nobody knows are refused here;
//! what a value means is not decided here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::Setting;
use super::{FILE_VARIABLE, KEYS, Key, Sources};

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nowhere.
    Default,
    /// In the file.
    File {
        /// As the operator named it.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// In this flag.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// One thing that is wrong, where, and what would be right. Never carries the value of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The key, as far as there is one.
    pub key: Option<String>,
    /// Where it was written.
    pub place: Option<Place>,
    /// What is wrong.
    pub sentence: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, &self.place) {
            (Some(key), Some(place)) => write!(f, "{key} ({place}): {}", self.sentence),
            (Some(key), None) => write!(f, "{key}: {}", self.sentence),
            (None, Some(place)) => write!(f, "{place}: {}", self.sentence),
            (None, None) => f.write_str(&self.sentence),
        }
    }
}

/// What was written, strongest source only, and what is wrong so far.
#[derive(Default)]
pub(super) struct Raw {
    values: BTreeMap<String, (String, Place)>,
    /// Grows through both stages.
    pub(super) mistakes: Vec<Mistake>,
    /// One line for each key that was read.
    pub(super) lines: Vec<String>,
}

impl Raw {
    /// Lays the sources over each other, the strongest last; the file is read by `read`.
    pub(super) fn gather(sources: Sources, read: impl FnOnce(&Path) -> io::Result<String>) -> Self {
        let mut raw = Self::default();
        let mut file = sources.file;
        let mut from_environment = Vec::new();
        for (name, value) in sources.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with("TEAHOUSE_")) else { continue };
            if name == FILE_VARIABLE {
                file = file.or_else(|| Some(value.into()));
            } else {
                raw.take_variable(name, value, &mut from_environment);
            }
        }
        if let Some(path) = &file {
            raw.take_file(path, read);
        }
        raw.values.extend(from_environment);
        for flag in sources.flags {
            raw.values.insert(flag.key.to_owned(), (flag.value, Place::Flag(flag.flag)));
        }
        raw
    }

    fn take_variable(&mut self, name: &str, value: OsString, into: &mut Vec<(String, (String, Place))>) {
        // Kubernetes and Docker links give every neighbour of a service called `teahouse` these names.
        if ["TEAHOUSE_PORT", "TEAHOUSE_SERVICE_"].iter().any(|theirs| name.starts_with(theirs)) && !name.contains("__")
        {
            return;
        }
        let place = Place::Environment(name.to_owned());
        match KEYS.iter().find(|key| key.variable() == name) {
            None => {
                let plain = |name: &str| name.replace('_', "");
                let near = KEYS.iter().find(|key| plain(&key.variable()) == plain(name));
                let hint = near.map(|key| format!("; did you mean {}?", key.variable())).unwrap_or_default();
                self.mistake(None, place, format!("there is no key of this name{hint}"));
            }
            Some(key) => match value.into_string() {
                Ok(text) => into.push((key.to_string(), (text, place))),
                Err(_) => self.mistake(Some(key.to_string()), place, "is not UTF-8".to_owned()),
            },
        }
    }

    fn take_file(&mut self, path: &Path, read: impl FnOnce(&Path) -> io::Result<String>) {
        let shown = path.display().to_string();
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                let sentence = format!("the configuration file {shown} cannot be read: {error}");
                return self.mistakes.push(Mistake { key: None, place: None, sentence });
            }
        };
        let at = |span: Option<std::ops::Range<usize>>| {
            let before = span.map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count();
            Place::File { path: shown.clone(), line }
        };
        let (document, errors) = DeTable::parse_recoverable(&text);
        let sound = errors.is_empty();
        for error in errors {
            // Only the message: the error as a whole would quote the line, which may hold a secret.
            self.mistake(None, at(error.span()), error.message().to_owned());
        }
        if !sound {
            return; // What the parser made of the rest would only add mistakes that are none.
        }
        for (section, table) in document.get_ref() {
            let known: Vec<&Key> = KEYS.iter().filter(|key| key.section == section.get_ref()).collect();
            let Some(table) = table.get_ref().as_table().filter(|_| !known.is_empty()) else {
                let sections: Vec<_> = super::parts::SECTIONS.iter().map(|name| format!("[{name}]")).collect();
                let sentence = format!("there is no such section; the sections are {}", sections.join(", "));
                self.mistake(Some(section.get_ref().to_string()), at(Some(section.span())), sentence);
                continue;
            };
            for (name, value) in table {
                let full = format!("{}.{}", section.get_ref(), name.get_ref());
                let place = at(Some(name.span()));
                if !known.iter().any(|key| key.name == name.get_ref()) {
                    let names: Vec<_> = known.iter().map(|key| key.name).collect();
                    let sentence = format!("there is no such key; [{}] has {}", section.get_ref(), names.join(", "));
                    self.mistake(Some(full), place, sentence);
                    continue;
                }
                match text_of(value) {
                    Some(text) => drop(self.values.insert(full, (text, place))),
                    None => self.mistake(
                        Some(full),
                        place,
                        "must be a text, a number, true or false, or a list of texts".to_owned(),
                    ),
                }
            }
        }
    }

    fn mistake(&mut self, key: Option<String>, place: Place, sentence: String) {
        self.mistakes.push(Mistake { key, place: Some(place), sentence });
    }

    /// The second stage for one key: what the text means, or a mistake.
    pub(super) fn read<T: Setting>(&mut self, key: &Key) -> Option<T> {
        let (text, place) = self.values.remove(&key.to_string()).unwrap_or_else(|| ((key.default)(), Place::Default));
        match T::parse(&text) {
            Ok(value) => {
                self.lines.push(format!("{key} = {}  # {place}", value.show()));
                self.values.insert(key.to_string(), (text, place));
                Some(value)
            }
            Err(sentence) => {
                self.mistake(Some(key.to_string()), place, sentence);
                None
            }
        }
    }

    /// The value, when it lies within its bounds.
    pub(super) fn within<T: Setting + PartialOrd>(
        &mut self,
        key: &Key,
        value: Option<T>,
        bounds: RangeInclusive<T>,
    ) -> Option<T> {
        let value = value?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let place = self.values.get(&key.to_string()).map_or(Place::Default, |(_, place)| place.clone());
        let sentence = format!("{} is not between {} and {}", value.text(), bounds.start().text(), bounds.end().text());
        self.mistake(Some(key.to_string()), place, sentence);
        None
    }
}

/// A value of the file as it would stand in the environment; lists are joined by commas.
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
