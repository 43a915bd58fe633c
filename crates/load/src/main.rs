//! The binary `teahouse-load`: it reads what is asked, lets the crowd do it, and prints what came of it.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use teahouse_load::scenarios::{durable, fanout, idle, storm};
use teahouse_load::{Door, LoadError, Progress, Target, process};

/// A crowd of classic clients, to see what a Teahouse server bears. Its limits must be raised for most of
/// it: see `teahouse config --keys`.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Where the server listens.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The server's `auth.jwt_secret`; with it the crowd signs its own tokens.
    #[arg(long, global = true, env = "TEAHOUSE_AUTH__JWT_SECRET", hide_env_values = true, default_value = "")]
    jwt_secret: String,
    /// The summary as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// What a connection costs that is open and quiet.
    Idle {
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// The server's process id, on this machine.
        #[arg(long)]
        server_pid: u32,
    },
    /// Everybody is cut off and comes back at once, while a probe asks without pause.
    Storm {
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        #[arg(long, default_value_t = 1)]
        rounds: u32,
        #[command(flatten)]
        server: Server,
    },
    /// How many messages a second become durable.
    Durable {
        #[arg(long, default_value_t = 100)]
        senders: usize,
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// By HTTP the answer is the proof; over sockets it is one's own echo, and everybody hears everybody.
        #[arg(long, value_enum, default_value_t = By::Http)]
        by: By,
        #[command(flatten)]
        server: Server,
    },
    /// How long a lobby message takes to all who listen.
    Fanout {
        #[arg(long, default_value_t = 1000)]
        subscribers: usize,
        /// Messages a second.
        #[arg(long, default_value_t = 400)]
        rate: u32,
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Args)]
struct Server {
    /// The server's process id, when it runs on this machine and is to be looked at.
    #[arg(long)]
    server_pid: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Http,
    Socket,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("teahouse-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), LoadError> {
    process::raise_descriptor_limit()?;
    let target = Target::new(&cli.url, &cli.jwt_secret)?;
    let mut progress = Progress::on_stderr();
    let progress = &mut progress;
    match cli.scenario {
        Scenario::Idle { connections, server_pid } => {
            print(cli, &idle::run(&target, idle::Idle { connections, server_pid }, progress)?)
        }
        Scenario::Storm { connections, rounds, server: Server { server_pid } } => {
            let asked = storm::Storm { connections, rounds, server_pid };
            print(cli, &storm::run(&target, asked, progress)?)
        }
        Scenario::Durable { senders, seconds, by, server: Server { server_pid } } => {
            let door = match by {
                By::Http => Door::Http,
                By::Socket => Door::Socket,
            };
            let asked = durable::Durable { senders, duration: Duration::from_secs(seconds), door, server_pid };
            print(cli, &durable::run(&target, asked, progress)?)
        }
        Scenario::Fanout { subscribers, rate, seconds, server: Server { server_pid } } => {
            let asked = fanout::Fanout { subscribers, rate, duration: Duration::from_secs(seconds), server_pid };
            print(cli, &fanout::run(&target, asked, progress)?)
        }
    }
}

fn print(cli: &Cli, report: &(impl Display + Serialize)) -> Result<(), LoadError> {
    if cli.json {
        println!("{}", serde_json::to_string(report).map_err(std::io::Error::from)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
