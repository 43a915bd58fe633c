//! The binary `teahouse`, as a library for itself and for its fuzz targets alone: it reads the command line and the
//! configuration, and starts what they ask for. It decides nothing by itself.

mod accept;
mod app;
mod backup;
mod cli;
mod config;
mod control;
mod dispatch;
mod errors;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod limits;
mod logging;
mod metrics;
mod passwords;
mod request_ids;
mod secrets;
mod serve;
mod session_tokens;
mod socket;
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

/// What the binary does.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err((text, status)) => {
            // Nobody is left to be told when even this cannot be written.
            drop(text.print());
            return ExitCode::from(status);
        }
    };
    let (command, flags) = cli.split();
    if command == (Command::Config { keys: true }) {
        print!("{}", config::reference());
        return ExitCode::SUCCESS;
    }
    let loaded = match config::load(flags.sources()) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            eprint!("teahouse: {mistakes}");
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
        // A key file that cannot be used is a wrong configuration, found late.
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
    // A thread may still wait for a line that nobody will type.
    runtime.shutdown_background();
    ExitCode::from(status)
}

/// Every session is a descriptor, and the soft limit is usually 1024 for the sake of programs that
/// still use select.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the descriptor limit stays where it is");
    }
}
