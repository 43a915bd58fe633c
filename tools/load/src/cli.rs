//! The command line of `teahouse-load`: options, help texts, and the call of the chosen scenario.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::LoadError;
use crate::process;
use crate::progress::Progress;
use crate::scenarios::durable::Places;
use crate::scenarios::fanout::Pace;
use crate::scenarios::{
    IN_FLIGHT_MAX, Report, connect, durable, fanout, idle, mixed, private, resume, rooms, slow, storm,
};
use crate::target::{Dialect, Target, Transport};

const EXAMPLES: &str = "\
The load generator signs its own tokens, as your site's backend does: give it the same secret as the server.
The server's default rate limits are meant for people; raise them on a test server:

  export TEAHOUSE_AUTH__JWT_SECRET=a-secret-of-at-least-thirty-two-characters
  export TEAHOUSE_LIMITS__SENDS_PER_SECOND=1000000 TEAHOUSE_LIMITS__SENDS_BURST=1000000
  export TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND=1000000 TEAHOUSE_LIMITS__ENVELOPES_BURST=1000000
  teahouse --data /tmp/load-data &

Examples:
  teahouse-load idle --connections 10000 --server-pid $!    cost of an idle connection
  teahouse-load storm --connections 10000                   disconnect all clients, then reconnect at once
  teahouse-load storm --dialect v1 --rate 5                 the same; each client resumes what it missed
  teahouse-load fanout --subscribers 1000 --rate 400        latency of lobby messages
  teahouse-load fanout --subscribers 1000 --window w8       throughput of lobby messages
  teahouse-load durable --senders 1000 --places each        durable messages per second
  teahouse-load mixed --people 2000 --seed 7                a mix of everything, reproducible from its seed
  teahouse-load fanout --json | jq .latency.p99_ms          machine-readable summary

Scheduled messages are sent when they are due, even if the server falls behind, and latency is measured from
the scheduled time, so a stalled server shows in the figures. Exit status: 0 if every message arrived once and
in order; 1 if a message was lost, duplicated or out of order, or the run failed; 2 for a wrong command line.
Classic scenarios work with every server that the classic front end works with.";

/// Generate load against a Teahouse server and report latency, throughput and cost.
#[derive(Parser, Clone, PartialEq, Eq, Debug)]
#[command(name = "teahouse-load", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Args, Clone, PartialEq, Eq, Debug)]
struct Shared {
    /// Server address
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The server's `auth.jwt_secret`, used to sign the clients' tokens
    #[arg(long, global = true, env = "TEAHOUSE_AUTH__JWT_SECRET", hide_env_values = true, default_value = "")]
    jwt_secret: String,
    /// Process id of a server on this machine; adds its memory and CPU time to the summary
    #[arg(long, global = true, value_name = "PID")]
    server_pid: Option<u32>,
    /// Busy-poll instead of sleeping. A server on the same machine then does not pay for waking the clients,
    /// as it would not across a network. Needs a core of its own
    #[arg(long, global = true)]
    awake: bool,
    /// Print the summary as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Args, Clone, Copy, PartialEq, Eq, Debug)]
struct MessageOptions {
    /// Measured seconds, after one second of warm-up
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Characters per message
    #[arg(long, default_value_t = 200)]
    size: usize,
}

impl MessageOptions {
    fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }
}

#[derive(Args, Clone, Copy, PartialEq, Eq, Debug)]
struct DialectOption {
    /// Protocol dialect of the clients
    #[arg(long, value_enum, default_value_t = Dialect::Classic)]
    dialect: Dialect,
}

#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
enum Scenario {
    /// Cost of idle connections: memory and CPU per connection
    #[command(after_help = "Example:\n  teahouse-load idle --connections 10000 --server-pid $(pidof teahouse)")]
    Idle {
        /// Number of connections
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        #[command(flatten)]
        dialect: DialectOption,
    },
    /// Cost of new sessions that connect all at once
    #[command(after_help = "Example:\n  teahouse-load connect --connections 10000 --in-flight 500")]
    Connect {
        /// Number of connections
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Concurrent handshakes
        #[arg(long, default_value_t = IN_FLIGHT_MAX)]
        in_flight: usize,
        #[command(flatten)]
        dialect: DialectOption,
    },
    /// Reconnect storm: reset all connections at once, while a probe and an observer stay connected
    #[command(after_help = "\
Examples:
  teahouse-load storm --connections 10000 --rounds 3
  teahouse-load storm --connections 10000 --dialect v1 --rate 5")]
    Storm {
        /// Number of connections
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Number of storms
        #[arg(long, default_value_t = 1)]
        rounds: u32,
        /// Lobby messages per second during the storm (v1 only); every client must catch up on them
        #[arg(long, default_value_t = 2)]
        rate: u32,
        #[command(flatten)]
        dialect: DialectOption,
    },
    /// Latency and throughput of lobby messages to many subscribers
    #[command(after_help = "\
Examples:
  teahouse-load fanout --subscribers 1000 --rate 400
  teahouse-load fanout --subscribers 10000 --window deep --dialect v1")]
    Fanout {
        /// Number of subscribers
        #[arg(long, default_value_t = 1000)]
        subscribers: usize,
        /// Messages per second, sent on schedule
        #[arg(long, default_value_t = 400, conflicts_with = "window")]
        rate: u32,
        /// Messages in flight instead of a rate, to measure throughput: w1, w8, deep, or a number
        #[arg(long, value_parser = window)]
        window: Option<Window>,
        #[command(flatten)]
        message: MessageOptions,
        #[command(flatten)]
        dialect: DialectOption,
    },
    /// Throughput of messages spread over many small rooms (v1)
    #[command(after_help = "\
Examples:
  teahouse-load rooms --rooms 10000 --members 10 --people 10000
  teahouse-load rooms --rooms 10000 --members 10 --people 10000 --busy 1     all in one room, for comparison")]
    Rooms {
        /// Number of rooms
        #[arg(long, default_value_t = 1000)]
        rooms: usize,
        /// Members per room
        #[arg(long, default_value_t = 10)]
        members: usize,
        /// Number of clients
        #[arg(long, default_value_t = 1000)]
        people: usize,
        /// Number of rooms that receive messages [default: all]
        #[arg(long)]
        busy: Option<usize>,
        /// Messages in flight
        #[arg(long, default_value_t = 256, conflicts_with = "rate")]
        window: u32,
        /// Messages per second instead of a window, sent on schedule
        #[arg(long)]
        rate: Option<u32>,
        #[command(flatten)]
        message: MessageOptions,
    },
    /// Latency of private messages between pairs of clients
    #[command(after_help = "Example:\n  teahouse-load private --pairs 500 --rate 1000 --dialect v1")]
    Private {
        /// Number of pairs
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Messages per second in total, sent on schedule
        #[arg(long, default_value_t = 200)]
        rate: u32,
        #[command(flatten)]
        message: MessageOptions,
        #[command(flatten)]
        dialect: DialectOption,
    },
    /// Effect of slow readers on fast ones
    #[command(after_help = "Example:\n  teahouse-load slow --fast 500 --slow 50 --rate 200")]
    Slow {
        /// Clients that read all the time
        #[arg(long, default_value_t = 200)]
        fast: usize,
        /// Clients that stop reading halfway
        #[arg(long, default_value_t = 20)]
        slow: usize,
        /// Messages per second
        #[arg(long, default_value_t = 200)]
        rate: u32,
        #[command(flatten)]
        message: MessageOptions,
        #[command(flatten)]
        dialect: DialectOption,
    },
    /// Throughput and latency of durable messages
    #[command(after_help = "\
Examples:
  teahouse-load durable --senders 1000 --places each
  teahouse-load durable --senders 100 --by http")]
    Durable {
        /// Number of senders
        #[arg(long, default_value_t = 100)]
        senders: usize,
        /// Transport of the senders
        #[arg(long, value_enum, default_value_t = By::V1)]
        by: By,
        /// Rooms that the senders use (v1 only)
        #[arg(long, value_enum, default_value_t = Places::Each)]
        places: Places,
        /// Messages per second in total, sent on schedule. Without it, each sender waits for one
        /// acknowledgement before it sends the next message
        #[arg(long)]
        rate: Option<u32>,
        #[command(flatten)]
        message: MessageOptions,
    },
    /// Many sessions resume at once after an absence, while one live client keeps sending (v1)
    #[command(after_help = "Example:\n  teahouse-load resume --sessions 1000 --changes 500 --rooms 10")]
    Resume {
        /// Number of sessions
        #[arg(long, default_value_t = 1000)]
        sessions: usize,
        /// Missed messages per session
        #[arg(long, default_value_t = 500)]
        changes: usize,
        /// Rooms that the sessions are spread over
        #[arg(long, default_value_t = 10)]
        rooms: usize,
        /// Characters per message
        #[arg(long, default_value_t = 200)]
        size: usize,
    },
    /// Mixed workload in both dialects: connects, messages, typing, read marks; reproducible from its seed
    #[command(after_help = "Example:\n  teahouse-load mixed --people 2000 --rate 500 --seconds 60 --seed 7")]
    Mixed {
        /// Number of clients
        #[arg(long, default_value_t = 1000)]
        people: usize,
        /// Actions per second in total; half of them are messages
        #[arg(long, default_value_t = 200)]
        rate: u32,
        /// Seed of the workload
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        message: MessageOptions,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum By {
    /// v1 WebSocket; the `ack` proves durability
    V1,
    /// HTTP, to the lobby; the response proves durability
    Http,
    /// Classic WebSocket, to the lobby; the sender's own echo proves durability, and all senders receive all messages
    Classic,
}

impl By {
    fn transport(self) -> Transport {
        match self {
            Self::V1 => Transport::V1,
            Self::Http => Transport::Http,
            Self::Classic => Transport::Classic,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window(Pace);

fn window(text: &str) -> Result<Window, String> {
    Ok(Window(match text {
        "w1" => Pace::W1,
        "w8" => Pace::W8,
        "deep" => Pace::DEEP,
        number => match number.parse() {
            Ok(size @ 1..) => Pace::Window { size, burst: 1 },
            _ => return Err("expected w1, w8, deep, or a number of messages in flight".to_owned()),
        },
    }))
}

impl Cli {
    /// Runs the scenario and prints its summary to standard output.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let mut progress = Progress::on_stderr();
        let outcome = self.run_scenario(&mut std::io::stdout(), &mut progress);
        drop(progress);
        match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("teahouse-load: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Runs the scenario and writes its summary. Returns whether every message arrived once and in order.
    ///
    /// # Errors
    /// The scenario failed, or the summary could not be written.
    pub fn run_scenario(&self, out: &mut impl Write, progress: &mut Progress) -> Result<bool, LoadError> {
        process::raise_descriptor_limit()?;
        let Shared { url, jwt_secret, server_pid, awake, .. } = &self.shared;
        let target = &Target::new(url, jwt_secret)?.with_busy_poll(*awake);
        let server_pid = *server_pid;
        match self.scenario {
            Scenario::Idle { connections, dialect: DialectOption { dialect } } => {
                let params = idle::Idle { connections, dialect, server_pid };
                self.write(&idle::run(target, params, progress)?, out, progress)
            }
            Scenario::Connect { connections, in_flight: in_flight_max, dialect: DialectOption { dialect } } => {
                let params = connect::Connect { connections, in_flight_max, dialect, server_pid };
                self.write(&connect::run(target, params, progress)?, out, progress)
            }
            Scenario::Storm { connections, rounds, rate, dialect: DialectOption { dialect } } => {
                let params = storm::Storm { connections, rounds, dialect, rate, server_pid };
                self.write(&storm::run(target, params, progress)?, out, progress)
            }
            Scenario::Resume { sessions, changes, rooms, size: chars } => {
                let params = resume::Resume { sessions, changes, rooms, chars, server_pid };
                self.write(&resume::run(target, params, progress)?, out, progress)
            }
            Scenario::Fanout { subscribers, rate, window, message, dialect: DialectOption { dialect } } => {
                let pace = window.map_or(Pace::Rate(rate), |Window(pace)| pace);
                let (chars, duration) = (message.size, message.duration());
                let params = fanout::Fanout { subscribers, pace, chars, duration, dialect, server_pid };
                self.write(&fanout::run(target, params, progress)?, out, progress)
            }
            Scenario::Rooms { rooms, members, people, busy, window, rate, message } => {
                let (busy, chars, duration) = (busy.unwrap_or(rooms), message.size, message.duration());
                let params = rooms::Rooms { people, rooms, members, busy, window, rate, chars, duration, server_pid };
                self.write(&rooms::run(target, params, progress)?, out, progress)
            }
            Scenario::Private { pairs, rate, message, dialect: DialectOption { dialect } } => {
                let (chars, duration) = (message.size, message.duration());
                let params = private::Private { pairs, rate, chars, duration, dialect, server_pid };
                self.write(&private::run(target, params, progress)?, out, progress)
            }
            Scenario::Slow { fast, slow, rate, message, dialect: DialectOption { dialect } } => {
                let (chars, duration) = (message.size, message.duration());
                let params = slow::Slow { fast, slow, rate, chars, duration, dialect, server_pid };
                self.write(&slow::run(target, params, progress)?, out, progress)
            }
            Scenario::Durable { senders, by, places, rate, message } => {
                let (chars, duration, transport) = (message.size, message.duration(), by.transport());
                let params = durable::Durable { senders, duration, transport, places, rate, chars, server_pid };
                self.write(&durable::run(target, params, progress)?, out, progress)
            }
            Scenario::Mixed { people, rate, seed, message } => {
                let (chars, duration) = (message.size, message.duration());
                let params = mixed::Mixed { people, rate, chars, duration, seed, server_pid };
                self.write(&mixed::run(target, params, progress)?, out, progress)
            }
        }
    }

    fn write(&self, report: &impl Report, out: &mut impl Write, progress: &mut Progress) -> Result<bool, LoadError> {
        progress.clear();
        if self.shared.json {
            writeln!(out, "{}", serde_json::to_string(report).map_err(std::io::Error::from)?)?;
        } else {
            write!(out, "{report}")?;
        }
        Ok(report.receipts().is_none_or(|receipts| receipts.is_clean()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn scenarios_are_parsed_and_mistakes_are_usage_errors() {
        use clap::error::ErrorKind;
        let check = |line: &str, expect: ErrorKind| assert_eq!(read(line), Err(expect), "{line}");
        check("teahouse-load", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        check("teahouse-load dance", ErrorKind::InvalidSubcommand);
        check("teahouse-load fanout --window w9", ErrorKind::ValueValidation);
        check("teahouse-load fanout --rate 5 --window w1", ErrorKind::ArgumentConflict);
        check("teahouse-load --help", ErrorKind::DisplayHelp);
        let cli = read("teahouse-load fanout --window deep --json").unwrap();
        let Scenario::Fanout { window, .. } = cli.scenario else { panic!("{cli:?}") };
        assert_eq!((window, cli.shared.json), (Some(Window(Pace::DEEP)), true));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
