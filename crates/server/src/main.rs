//! The binary `teahouse`: it reads the command line and the configuration, and starts what they ask for.
//! It decides nothing by itself.

mod cli;
mod config;
mod control;
mod limits;
mod logging;
mod passwords;
mod secrets;
mod tokens;

fn main() {}
