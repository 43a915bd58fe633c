//! Invariants of the configuration: any file and environment is a configuration or a list of errors, secrets are never
//! shown, and the shown configuration reads back as the same.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use teahouse::fuzzing::read_configuration;

/// A secret that no input contains by chance.
const SECRET: &str = "a secret that never shows 9f1b5c0d7e";
const SECRET_VARIABLE: &str = "TEAHOUSE_AUTH__JWT_SECRET";

/// The file's text, then, each after a NUL, variables of the environment as `NAME=VALUE`.
pub(crate) fn check(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let Some(Ok(file)) = parts.next().map(std::str::from_utf8) else { return };
    let mut environment: Vec<(OsString, OsString)> = parts.filter_map(variable).collect();
    environment.push((SECRET_VARIABLE.into(), SECRET.into()));
    match read_configuration(file, environment) {
        Ok(shown) => {
            assert!(!shown.contains(SECRET), "{shown}");
            assert_reads_back(&shown);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| !error.is_empty() && !error.contains(SECRET)), "{errors:?}");
        }
    }
}

fn variable(bytes: &[u8]) -> Option<(OsString, OsString)> {
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (bytes[..at].to_vec(), bytes[at + 1..].to_vec());
    Some((OsString::from_vec(name), OsString::from_vec(value)))
}

/// Every value that is shown in full reads back as the same value.
fn assert_reads_back(shown: &str) {
    let lines = |shown: &str| -> Vec<(String, String)> {
        let lines = shown.lines().filter_map(|line| line.split_once(" = "));
        let values = lines.map(|(key, rest)| (key, rest.rsplit_once("  # ").map_or(rest, |(value, _)| value)));
        // Values with escapes are shown for people and cannot be read back.
        let whole = values.filter(|(_, value)| !value.starts_with('(') && !value.contains('\\'));
        whole.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let first = lines(shown);
    let variable = |key: &str| format!("TEAHOUSE_{}", key.replacen('.', "__", 1).to_uppercase());
    let environment =
        first.iter().map(|(key, value)| (variable(key).into(), value.trim_matches('"').to_owned().into())).collect();
    let mut again = read_configuration("", environment).map(|shown| lines(&shown));
    // Other keys have their defaults.
    if let Ok(again) = &mut again {
        again.retain(|(key, _)| first.iter().any(|(given, _)| given == key));
    }
    assert_eq!(again, Ok(first));
}
