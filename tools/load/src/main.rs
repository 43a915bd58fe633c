//! The binary `teahouse-load`: parses the command line and runs one scenario. It owns no logic.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    teahouse_load::Cli::parse().run()
}
