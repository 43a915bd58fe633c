//! Writes log lines to standard error, as text or JSON. Callers never log secrets, tokens or bodies.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Starts logging in this process. A second call changes nothing.
pub(crate) fn start(log: &Log) {
    // The configuration has validated the filter.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.filter.0))
        .with_writer(std::io::stderr)
        .with_ansi(log.format == LogFormat::Text && std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    drop(started);
}
