//! The command line of `teahouse load`: what can be asked of the crowd, and help that teaches.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::error::LoadError;
use crate::process;
use crate::progress::Progress;
use crate::scenarios::durable::Places;
use crate::scenarios::fanout::Pace;
use crate::scenarios::{
    IN_FLIGHT_MAX, Report, connect, durable, fanout, idle, mixed, private, resume, rooms, slow, storm,
};
use crate::target::{Dialect, Door, Target};

const EXAMPLES: &str = "\
The crowd signs its own tokens, as your site's backend does: give it the same secret. A server's limits are
made for people, one to a connection, and must be raised for most of this; on a server that is for nothing else:

  export TEAHOUSE_AUTH__JWT_SECRET=a-secret-of-at-least-thirty-two-characters
  export TEAHOUSE_LIMITS__SENDS_PER_SECOND=1000000 TEAHOUSE_LIMITS__SENDS_BURST=1000000
  export TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND=1000000 TEAHOUSE_LIMITS__ENVELOPES_BURST=1000000
  teahouse --data /tmp/load-data &

Examples:
  teahouse load idle --connections 10000 --server-pid $!    what an open and quiet connection costs
  teahouse load storm --connections 10000                   all are cut off and come back at once
  teahouse load storm --dialect v1 --rate 5                 and hear exactly what they missed
  teahouse load fanout --subscribers 1000 --rate 400        how soon everybody hears a message
  teahouse load fanout --subscribers 1000 --window w8       how many messages everybody can hear
  teahouse load durable --senders 1000 --places each        durable messages a second
  teahouse load mixed --people 2000 --seed 7                a day on a site, in small
  teahouse load fanout --json | jq .latency.p99_ms          for programs

Whatever is sent at a rate is sent when it is due, whether the server keeps up or not, and what is late is
measured from when it was due: a server that stalls shows. Exits with 1 if a message was lost, came twice or
in the wrong order. The classic scenarios work with every server that the classic front end works with.";

/// What a crowd is asked to do to a server.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Load {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Args, Clone, PartialEq, Eq, Debug)]
struct Shared {
    /// Where the server listens
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The server's `auth.jwt_secret`; with it the crowd signs its own tokens
    #[arg(long, global = true, env = "TEAHOUSE_AUTH__JWT_SECRET", hide_env_values = true, default_value = "")]
    jwt_secret: String,
    /// The server's process id, when it runs on this machine: its memory and processor time are shown too
    #[arg(long, global = true, value_name = "PID")]
    server_pid: Option<u32>,
    /// The crowd never sleeps, so that a server on this machine does not pay for waking it, as it would not for
    /// clients across a network; needs a core of its own
    #[arg(long, global = true)]
    awake: bool,
    /// The summary as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Args, Clone, Copy, PartialEq, Eq, Debug)]
struct Said {
    /// For how many seconds, after one that is not counted
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Characters of a message
    #[arg(long, default_value_t = 200)]
    size: usize,
}

impl Said {
    fn duration(self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }
}

#[derive(Args, Clone, Copy, PartialEq, Eq, Debug)]
struct Spoken {
    /// What the clients speak
    #[arg(long, value_enum, default_value_t = Dialect::Classic)]
    dialect: Dialect,
}

#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
enum Scenario {
    /// What a connection costs that is open and quiet
    #[command(after_help = "Example:\n  teahouse load idle --connections 10000 --server-pid $(pidof teahouse)")]
    Idle {
        /// How many connections
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        #[command(flatten)]
        spoken: Spoken,
    },
    /// New people come, all at once
    #[command(after_help = "Example:\n  teahouse load connect --connections 10000 --in-flight 500")]
    Connect {
        /// How many come
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Handshakes under way at once
        #[arg(long, default_value_t = IN_FLIGHT_MAX)]
        in_flight: usize,
        #[command(flatten)]
        spoken: Spoken,
    },
    /// Everybody is cut off and comes back at once, while a probe asks without pause and an onlooker listens
    #[command(after_help = "\
Examples:
  teahouse load storm --connections 10000 --rounds 3
  teahouse load storm --connections 10000 --dialect v1 --rate 5")]
    Storm {
        /// How many connections
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// How often they are cut off
        #[arg(long, default_value_t = 1)]
        rounds: u32,
        /// Lobby messages a second meanwhile, in v1: whoever comes back is to hear what they missed
        #[arg(long, default_value_t = 2)]
        rate: u32,
        #[command(flatten)]
        spoken: Spoken,
    },
    /// How soon, and how often, everybody hears a lobby message
    #[command(after_help = "\
Examples:
  teahouse load fanout --subscribers 1000 --rate 400
  teahouse load fanout --subscribers 10000 --window deep --dialect v1")]
    Fanout {
        /// How many listen
        #[arg(long, default_value_t = 1000)]
        subscribers: usize,
        /// Messages a second, whether anybody keeps up or not
        #[arg(long, default_value_t = 400, conflicts_with = "window")]
        rate: u32,
        /// Instead: so many messages on their way at once, as fast as that goes: w1, w8, deep, or a number
        #[arg(long, value_parser = window)]
        window: Option<Window>,
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        spoken: Spoken,
    },
    /// Many small rooms, and messages spread over them; v1
    #[command(after_help = "\
Examples:
  teahouse load rooms --rooms 10000 --members 10 --people 10000
  teahouse load rooms --rooms 10000 --members 10 --people 10000 --busy 1     all in one of them, to compare")]
    Rooms {
        /// How many rooms
        #[arg(long, default_value_t = 1000)]
        rooms: usize,
        /// How many people in each
        #[arg(long, default_value_t = 10)]
        members: usize,
        /// How many people in all
        #[arg(long, default_value_t = 1000)]
        people: usize,
        /// In how many of the rooms somebody speaks; all, when not given
        #[arg(long)]
        busy: Option<usize>,
        /// Messages on their way at once
        #[arg(long, default_value_t = 256, conflicts_with = "rate")]
        window: u32,
        /// Instead: messages a second, whether anybody keeps up or not
        #[arg(long)]
        rate: Option<u32>,
        #[command(flatten)]
        said: Said,
    },
    /// Private messages between pairs of people
    #[command(after_help = "Example:\n  teahouse load private --pairs 500 --rate 1000 --dialect v1")]
    Private {
        /// How many pairs
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Messages a second of all together, whether the server keeps up or not
        #[arg(long, default_value_t = 200)]
        rate: u32,
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        spoken: Spoken,
    },
    /// Slow readers beside fast ones
    #[command(after_help = "Example:\n  teahouse load slow --fast 500 --slow 50 --rate 200")]
    Slow {
        /// How many read all the time
        #[arg(long, default_value_t = 200)]
        fast: usize,
        /// How many stop reading half way
        #[arg(long, default_value_t = 20)]
        slow: usize,
        /// Messages a second
        #[arg(long, default_value_t = 200)]
        rate: u32,
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        spoken: Spoken,
    },
    /// How many messages a second become durable, and how long one takes
    #[command(after_help = "\
Examples:
  teahouse load durable --senders 1000 --places each
  teahouse load durable --senders 100 --by http")]
    Durable {
        /// How many senders
        #[arg(long, default_value_t = 100)]
        senders: usize,
        /// How they send
        #[arg(long, value_enum, default_value_t = By::V1)]
        by: By,
        /// Where they speak, in v1
        #[arg(long, value_enum, default_value_t = Places::Each)]
        places: Places,
        /// Messages a second of all together, due whether the server keeps up or not; when not given, each
        /// sender waits for the proof of one before it sends the next
        #[arg(long)]
        rate: Option<u32>,
        #[command(flatten)]
        said: Said,
    },
    /// Many come back after an absence and are caught up, while somebody talks on; v1
    #[command(after_help = "Example:\n  teahouse load resume --sessions 1000 --changes 500 --rooms 10")]
    Resume {
        /// How many come back
        #[arg(long, default_value_t = 1000)]
        sessions: usize,
        /// How many messages each has missed
        #[arg(long, default_value_t = 500)]
        changes: usize,
        /// Over how many rooms they are spread
        #[arg(long, default_value_t = 10)]
        rooms: usize,
        /// Characters of a message
        #[arg(long, default_value_t = 200)]
        size: usize,
    },
    /// A day on a site, in small, drawn from a seed: people come and go, talk, type and read; both dialects
    #[command(after_help = "Example:\n  teahouse load mixed --people 2000 --rate 500 --seconds 60 --seed 7")]
    Mixed {
        /// How many people
        #[arg(long, default_value_t = 1000)]
        people: usize,
        /// Deeds a second of all together: half of them are messages
        #[arg(long, default_value_t = 200)]
        rate: u32,
        /// What the day is drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        said: Said,
    },
}

/// By which way messages are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum By {
    /// Over v1; the ack is the proof
    V1,
    /// Over HTTP, to the lobby; the answer is the proof
    Http,
    /// Over classic, to the lobby; one's own echo is the proof, and everybody hears everybody
    Classic,
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
            _ => return Err("w1, w8, deep, or how many messages are on their way at once".to_owned()),
        },
    }))
}

impl Load {
    /// Does what is asked and prints what came of it.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let mut progress = Progress::on_stderr();
        let outcome = self.run_scenario(&mut progress);
        drop(progress);
        match outcome {
            Ok(status) => status,
            Err(error) => {
                eprintln!("teahouse load: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run_scenario(&self, progress: &mut Progress) -> Result<ExitCode, LoadError> {
        process::raise_descriptor_limit()?;
        let Shared { url, jwt_secret, server_pid, awake, .. } = &self.shared;
        let target = &Target::new(url, jwt_secret)?.visited_awake(*awake);
        let server_pid = *server_pid;
        match self.scenario {
            Scenario::Idle { connections, spoken: Spoken { dialect } } => {
                let asked = idle::Idle { connections, dialect, server_pid };
                self.print(&idle::run(target, asked, progress)?, progress)
            }
            Scenario::Connect { connections, in_flight, spoken: Spoken { dialect } } => {
                let asked = connect::Connect { connections, in_flight_max: in_flight, dialect, server_pid };
                self.print(&connect::run(target, asked, progress)?, progress)
            }
            Scenario::Storm { connections, rounds, rate, spoken: Spoken { dialect } } => {
                let asked = storm::Storm { connections, rounds, dialect, rate, server_pid };
                self.print(&storm::run(target, asked, progress)?, progress)
            }
            Scenario::Fanout { subscribers, rate, window, said, spoken: Spoken { dialect } } => {
                let pace = window.map_or(Pace::Rate(rate), |Window(pace)| pace);
                let (chars, duration) = (said.size, said.duration());
                let asked = fanout::Fanout { subscribers, pace, chars, duration, dialect, server_pid };
                self.print(&fanout::run(target, asked, progress)?, progress)
            }
            Scenario::Rooms { rooms, members, people, busy, window, rate, said } => {
                let (busy, chars, duration) = (busy.unwrap_or(rooms), said.size, said.duration());
                let asked = rooms::Rooms { people, rooms, members, busy, window, rate, chars, duration, server_pid };
                self.print(&rooms::run(target, asked, progress)?, progress)
            }
            Scenario::Private { pairs, rate, said, spoken: Spoken { dialect } } => {
                let (chars, duration) = (said.size, said.duration());
                let asked = private::Private { pairs, rate, chars, duration, dialect, server_pid };
                self.print(&private::run(target, asked, progress)?, progress)
            }
            Scenario::Slow { fast, slow, rate, said, spoken: Spoken { dialect } } => {
                let (chars, duration) = (said.size, said.duration());
                let asked = slow::Slow { fast, slow, rate, chars, duration, dialect, server_pid };
                self.print(&slow::run(target, asked, progress)?, progress)
            }
            Scenario::Durable { senders, by, places, rate, said } => {
                let door = match by {
                    By::V1 => Door::V1,
                    By::Http => Door::Http,
                    By::Classic => Door::Classic,
                };
                let (chars, duration) = (said.size, said.duration());
                let asked = durable::Durable { senders, duration, door, places, rate, chars, server_pid };
                self.print(&durable::run(target, asked, progress)?, progress)
            }
            Scenario::Resume { sessions, changes, rooms, size: chars } => {
                let asked = resume::Resume { sessions, changes, rooms, chars, server_pid };
                self.print(&resume::run(target, asked, progress)?, progress)
            }
            Scenario::Mixed { people, rate, seed, said } => {
                let (chars, duration) = (said.size, said.duration());
                let asked = mixed::Mixed { people, rate, chars, duration, seed, server_pid };
                self.print(&mixed::run(target, asked, progress)?, progress)
            }
        }
    }

    fn print(&self, report: &impl Report, progress: &mut Progress) -> Result<ExitCode, LoadError> {
        progress.clear();
        if self.shared.json {
            println!("{}", serde_json::to_string(report).map_err(std::io::Error::from)?);
        } else {
            print!("{report}");
        }
        let is_clean = report.receipts().is_none_or(|receipts| receipts.are_clean());
        Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
