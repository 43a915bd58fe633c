//! The binary `teahouse` as a library, for the binary and the fuzz targets only. It reads the command line and the
//! configuration and runs the command.

mod accept;
mod app;
mod backup;
mod cli;
mod clock;
mod config;
mod connection;
mod control;
mod crypto;
mod dispatch;
mod errors;
mod fair_permits;
mod fair_queue;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod ip_prefix;
mod known_clients;
mod limits;
mod logging;
mod metrics;
mod offline;
mod passwords;
mod request_ids;
mod secrets;
mod serve;
mod session_tokens;
mod socket;
mod storage;
mod tokens;
mod use_cases;
mod validation;
mod websocket;

use std::process::ExitCode;

use cli::{Command, EXIT_USAGE};
use config::Config;
use serve::StartError;

/// Exit status when the server cannot start or be reached (EX_UNAVAILABLE of sysexits.h).
const EXIT_UNAVAILABLE: u8 = 69;

/// Runs the binary.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err((text, status)) => {
            // An error of printing the error cannot be reported.
            drop(text.print());
            return ExitCode::from(status);
        }
    };
    let (command, flags) = cli.split();
    if let Command::Config { keys: true, .. } = command {
        print!("{}", config::key_list());
        return ExitCode::SUCCESS;
    }
    if let Command::Config { markdown: true, .. } = command {
        print!("{}", config::markdown());
        return ExitCode::SUCCESS;
    }
    let loaded = match config::load(flags.sources()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprint!("teahouse: {errors}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match command {
        Command::Config { .. } => {
            print!("{loaded}");
            ExitCode::SUCCESS
        }
        Command::Serve => serve(loaded.config),
        other => operate(&loaded.config, other),
    }
}

fn serve(config: Config) -> ExitCode {
    logging::start(&config.log);
    raise_descriptor_limit();
    serve::run(config).unwrap_or_else(|error| {
        eprintln!("teahouse: {error}");
        // An unusable key file is a configuration error that is found late.
        let is_usage = matches!(error, StartError::Keys(_));
        ExitCode::from(if is_usage { EXIT_USAGE } else { EXIT_UNAVAILABLE })
    })
}

fn operate(config: &Config, command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("teahouse: {error}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let status = runtime.block_on(control::run_command(config, command));
    // A blocking thread may still be reading standard input.
    runtime.shutdown_background();
    ExitCode::from(status)
}

/// Raises the soft limit to the hard limit: every session needs a descriptor, and the soft limit is usually 1024 for
/// the sake of programs that use `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "descriptor limit not raised");
    }
}
