//! What fuzz targets reach of the door: its pure readers, by what one sees of them from outside. No part of the
//! product calls this, and it decides nothing.

use std::ffi::OsString;

use crate::config::{Sources, load_with};

pub use crate::http::fuzzing::{BODIES, Head, Refused, read_body, read_head};

/// The configuration that this file and this environment make, as `teahouse config` shows it.
///
/// # Errors
/// Every mistake, as an operator would read it.
pub fn read_configuration(file: &str, environment: Vec<(OsString, OsString)>) -> Result<String, Vec<String>> {
    let sources = Sources { flags: Vec::new(), environment, file: Some("teahouse.toml".into()) };
    match load_with(sources, |_| Ok(file.to_owned())) {
        Ok(loaded) => Ok(loaded.to_string()),
        Err(mistakes) => Err(mistakes.0.iter().map(ToString::to_string).collect()),
    }
}
