//! Administration from the command line. Over a Unix socket in the data directory, which only its owner can open, a
//! command sends one line of JSON to the running server and receives lines of progress and one response. When no server
//! runs, the command works on the store itself. Either way `use_cases::admin` does the work.

mod client;
mod commands;
mod connection;
mod execute;
mod handler;
mod protocol;
mod server;
mod stdin;

use async_trait::async_trait;
use tokio::sync::watch;

pub(crate) use commands::run_command;
pub(crate) use handler::AppHandler;
pub(crate) use protocol::{ControlRequest, ControlResponse};
pub(crate) use server::{BindError, ControlServer};

const SOCKET: &str = "control.sock";
/// A request holds a name and a few words.
const REQUEST_BYTES_MAX: u64 = 4096;
/// A response holds at most a page of users.
const RESPONSE_BYTES_MAX: u64 = 1024 * 1024;
/// Users in one page of a list; with the longest names they fill a tenth of a response.
const PAGE_USERS: u32 = 100;

/// Receives the share of the work that is done, from 0 to 1.
pub(crate) type Progress = watch::Sender<f64>;

/// Runs the commands that the control socket receives.
#[async_trait]
pub(crate) trait ControlHandler: Send + Sync + 'static {
    /// Runs one command.
    async fn handle(&self, request: ControlRequest, progress: Progress) -> ControlResponse;
}

/// The socket's path, through a descriptor of its directory: a socket's path may have at most 107 bytes, and a data
/// directory's path may be longer.
fn short_path(directory: &std::os::fd::OwnedFd) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()).into()
}

fn open_directory(path: &std::path::Path) -> std::io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests;
