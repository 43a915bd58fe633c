//! Log lines: to standard error, as text or JSON. Secrets, tokens and bodies never go there; whoever
//! logs sees to that.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Starts logging for this process. A second call changes nothing.
pub fn start(log: &Log) {
    // The filter was checked with the configuration.
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
