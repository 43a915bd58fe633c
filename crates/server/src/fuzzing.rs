//! What fuzz targets call: the server's pure readers of configuration and requests, with their results as an operator
//! or client sees them. Nothing else calls this module.

use std::ffi::OsString;

use crate::config::{Sources, load_with};

pub use crate::http::fuzzing::{BODIES, Head, Refused, read_body, read_head};

/// The configuration of a file and an environment, as `teahouse config` prints it.
///
/// # Errors
/// All errors, as an operator reads them.
pub fn read_configuration(file: &str, environment: Vec<(OsString, OsString)>) -> Result<String, Vec<String>> {
    let sources = Sources { flags: Vec::new(), environment, file: Some("teahouse.toml".into()) };
    match load_with(sources, |_| Ok(file.to_owned())) {
        Ok(loaded) => Ok(loaded.to_string()),
        Err(errors) => Err(errors.0.iter().map(ToString::to_string).collect()),
    }
}
