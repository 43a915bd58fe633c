//! The binary `teahouse`.

use std::process::ExitCode;

fn main() -> ExitCode {
    teahouse::run()
}
