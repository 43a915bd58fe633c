//! The command line: what can be asked for, and help that teaches. It does nothing by itself.

use std::ffi::OsString;
use std::path::PathBuf;

use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use teahouse_core::UserRole;
use teahouse_core::text::is_username;

use crate::config::{self, FlagValue, Sources};
use crate::validation::credentials::{check_email, check_username};

/// Exit status of a wrong command line or configuration (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Characters of a key's name; enough for any machine's.
const KEY_NAME_CHARS_MAX: usize = 50;

const LOAD_MOVED: &str = "The load generator is a binary of its own: run teahouse-load instead of teahouse load.\n";

const EXAMPLES: &str = "\
Examples:
  teahouse                                        serve on 127.0.0.1:8080, data in ./teahouse-data
  teahouse --listen 0.0.0.0:8080 --data /var/lib/teahouse
  TEAHOUSE_SERVER__LISTEN=0.0.0.0:8080 teahouse   the same, by environment
  teahouse --config /etc/teahouse.toml config     what is in force, and where each value came from
  teahouse config --keys                          every key there is
  teahouse user create amy --role admin           asks for a password; works with a running server and without
  teahouse key create shop-backend                a key for your site's backend
  teahouse backup /var/backups/tea-1              of a running server, too

`teahouse COMMAND --help` says more and has examples of its own.
Values come from flags, then the environment, then the file, then the defaults.
A wrong command line or configuration exits with status 64.";

/// A realtime chat server for community sites: one binary, one file, no message lost or shown twice.
#[derive(Parser, Debug)]
#[command(name = "teahouse", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do; serving when nothing is said.
    #[command(subcommand)]
    command: Option<Command>,
}

/// The most common keys of the configuration, as flags.
#[derive(Args, Debug)]
pub struct Flags {
    /// The configuration file (TOML); none is needed
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen [key: server.listen]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The directory of database, secrets and control socket [key: server.data]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data: Option<String>,
    /// Which log lines are written, such as info or debug [key: log.filter]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

impl Flags {
    /// Where the configuration comes from, with these flags on top.
    #[must_use]
    pub fn sources(self) -> Sources {
        let table = [
            ("--listen", "server.listen", self.listen),
            ("--data", "server.data", self.data),
            ("--log", "log.filter", self.log),
        ];
        let given =
            table.into_iter().filter_map(|(flag, key, value)| value.map(|value| FlagValue { flag, key, value }));
        Sources::of_process(given.collect(), self.config)
    }
}

/// What can be asked for.
#[derive(Subcommand, Debug, PartialEq, Eq, Default)]
pub enum Command {
    /// Serve until SIGTERM (the default)
    #[default]
    Serve,
    /// Print the configuration in force and where each value came from; secrets only as (set)
    Config {
        /// Print every key with its variable, default and meaning instead
        #[arg(long)]
        keys: bool,
    },
    /// Make, list and change users, whether a server is running on the data directory or not
    #[command(
        subcommand,
        after_help = "\
Examples:
  teahouse user create amy --role admin
  teahouse user list
  teahouse user mute amy --for 1h"
    )]
    User(UserCommand),
    /// Make, list and revoke the keys of your site's backend, whether a server is running or not
    #[command(
        subcommand,
        after_help = "\
Examples:
  teahouse key create shop-backend > key.txt
  curl -H \"Authorization: ApiKey $(cat key.txt)\" http://127.0.0.1:8080/api/server/presence?user_ids=1"
    )]
    Key(KeyCommand),
    /// Copy everything that is needed to come back, beside a running server or without one
    #[command(after_help = "\
The copy holds the database and the secrets, for its owner alone; keep it as safe as the data. The
configuration is yours to copy. A running server does the copying, as its own user and with its own view
of the disk. Without teahouse.db in it a directory is no whole backup.

Examples:
  teahouse backup /var/backups/tea-$(date +%F)
  teahouse backup /backup/now --data /var/lib/teahouse")]
    Backup {
        /// Where to: a directory that is empty or not there yet
        directory: PathBuf,
    },
    /// Put a backup into the data directory, while no server is running on it
    #[command(after_help = "\
The restored history has a new epoch, so that every client loads it anew and none mixes it with what came
after the backup. With --replace the data that is there is moved aside, to NAME.before-restore-TIME.

Examples:
  teahouse restore /var/backups/tea-1 --data /var/lib/teahouse
  teahouse restore /var/backups/tea-1 --data /var/lib/teahouse --replace")]
    Restore {
        /// The backup's directory
        backup: PathBuf,
        /// Move data that is there aside
        #[arg(long)]
        replace: bool,
    },
}

/// What can be done about the keys of a site's backend.
#[derive(Subcommand, Debug, PartialEq, Eq)]
pub enum KeyCommand {
    /// Make a key and print it, this once: the server keeps only a hash of it
    #[command(after_help = "Example:\n  teahouse key create shop-backend > key.txt")]
    Create {
        /// What you call it: letters, digits, _, - and .
        #[arg(value_parser = key_name)]
        name: String,
    },
    /// Print the names of all keys, and since when they are
    #[command(after_help = "Example:\n  teahouse key list")]
    List,
    /// Make a key worthless, from the next request on
    #[command(after_help = "Example:\n  teahouse key revoke shop-backend")]
    Revoke {
        /// What you call it
        name: String,
    },
}

/// What can be done about users.
#[derive(Subcommand, Debug, PartialEq, Eq)]
pub enum UserCommand {
    /// Make an account; its password is asked for, or is one line of standard input
    #[command(after_help = "\
Examples:
  teahouse user create amy --role admin
  teahouse user create bob --email bob@example.org --generate
  teahouse user create bob < password.txt")]
    Create {
        /// The username
        #[arg(value_parser = username)]
        name: String,
        /// The e-mail address, by which one can log in as well
        #[arg(long, value_parser = email)]
        email: Option<String>,
        /// user, moderator or admin
        #[arg(long, value_parser = role, default_value = "user")]
        role: UserRole,
        /// Make a password and print it
        #[arg(long)]
        generate: bool,
    },
    /// Print all users
    #[command(after_help = "\
Examples:
  teahouse user list
  teahouse user list --json | jq '.[] | select(.disabled)'")]
    List {
        /// As one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Set a password; every login there is ends, and its sockets close
    #[command(after_help = "\
Examples:
  teahouse user passwd amy
  teahouse user passwd amy --generate")]
    Passwd {
        /// The username
        name: String,
        /// Make a password and print it
        #[arg(long)]
        generate: bool,
    },
    /// Set what a user may do: user, moderator (may delete what others said) or admin
    #[command(after_help = "Example:\n  teahouse user role amy admin")]
    Role {
        /// The username
        name: String,
        /// user, moderator or admin
        #[arg(value_parser = role)]
        role: UserRole,
    },
    /// Keep a user out: its sessions close at once and none of its tokens is worth anything
    #[command(after_help = "Example:\n  teahouse user disable amy")]
    Disable {
        /// The username
        name: String,
    },
    /// Let a disabled user in again
    #[command(after_help = "Example:\n  teahouse user enable amy")]
    Enable {
        /// The username
        name: String,
    },
    /// Keep a user from writing for a while; they still read
    #[command(after_help = "\
Examples:
  teahouse user mute amy --for 1h
  teahouse user mute amy --off")]
    Mute {
        /// The username
        name: String,
        /// For how long, such as 10m, 1h or 7d
        #[arg(long = "for", value_name = "TIME", value_parser = time, required_unless_present = "off")]
        time: Option<Duration>,
        /// No longer
        #[arg(long, conflicts_with = "time")]
        off: bool,
    },
}

impl Cli {
    /// What to do, and the flags.
    #[must_use]
    pub fn split(self) -> (Command, Flags) {
        (self.command.unwrap_or_default(), self.flags)
    }
}

/// Reads a command line.
///
/// # Errors
/// What to print and the status to exit with: help and version are 0, a mistake is [`EXIT_USAGE`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, (clap::Error, u8)> {
    Cli::try_parse_from(arguments).map_err(|error| {
        let error = if names_load(&error) { clap::Error::raw(error.kind(), LOAD_MOVED) } else { error };
        let status = if error.use_stderr() { EXIT_USAGE } else { 0 };
        (error, status)
    })
}

/// Whether the command line asked for `load`, which earlier versions had.
fn names_load(error: &clap::Error) -> bool {
    let subcommand = error.get(ContextKind::InvalidSubcommand);
    error.kind() == ErrorKind::InvalidSubcommand
        && matches!(subcommand, Some(ContextValue::String(name)) if name == "load")
}

fn role(text: &str) -> Result<UserRole, String> {
    UserRole::parse(text).ok_or_else(|| format!("a role is one of {}", UserRole::ALL.map(UserRole::as_str).join(", ")))
}

fn username(text: &str) -> Result<String, String> {
    check_username(text).map(str::to_owned).map_err(|fault| format!("{fault}: 3 to 20 letters, digits, _, - and ."))
}

fn email(text: &str) -> Result<String, String> {
    check_email(text).map(str::to_owned).map_err(|fault| fault.to_string())
}

fn key_name(text: &str) -> Result<String, String> {
    let good = is_username(text) && text.chars().count() <= KEY_NAME_CHARS_MAX;
    if good { Ok(text.to_owned()) } else { Err("1 to 50 letters, digits, _, - and .".to_owned()) }
}

fn time(text: &str) -> Result<Duration, String> {
    match config::parse_time(text)? {
        Duration::ZERO => Err("is no time; --off ends a mute".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Command, Flags), u8> {
        let arguments = line.split(' ').map(OsString::from);
        parse(arguments).map(Cli::split).map_err(|(_, status)| status)
    }

    #[test]
    fn commands_are_read_and_mistakes_exit_64() {
        let check = |line: &str, expect: Result<Command, u8>| {
            assert_eq!(read(line).map(|(command, _)| command), expect, "{line}");
        };
        let role = |role| Command::User(UserCommand::Role { name: "amy".to_owned(), role });
        check("teahouse", Ok(Command::Serve));
        check("teahouse serve", Ok(Command::Serve));
        check("teahouse --listen 127.0.0.1:0", Ok(Command::Serve));
        check("teahouse config", Ok(Command::Config { keys: false }));
        check("teahouse config --keys", Ok(Command::Config { keys: true }));
        check("teahouse user role amy admin", Ok(role(UserRole::Admin)));
        check("teahouse user disable amy", Ok(Command::User(UserCommand::Disable { name: "amy".to_owned() })));
        check("teahouse user enable amy", Ok(Command::User(UserCommand::Enable { name: "amy".to_owned() })));
        check("teahouse user list --json", Ok(Command::User(UserCommand::List { json: true })));
        let mute = |time, off| Ok(Command::User(UserCommand::Mute { name: "amy".to_owned(), time, off }));
        check("teahouse user mute amy --for 1h", mute(Some(Duration::from_secs(3600)), false));
        check("teahouse user mute amy --off", mute(None, true));
        check("teahouse user mute amy", Err(64));
        check("teahouse user mute amy --for 1h --off", Err(64));
        check("teahouse user mute amy --for soon", Err(64));
        check("teahouse user mute amy --for 0", Err(64));
        let create = |email: Option<&str>, role, generate| {
            let (name, email) = ("amy".to_owned(), email.map(str::to_owned));
            Ok(Command::User(UserCommand::Create { name, email, role, generate }))
        };
        check("teahouse user create amy", create(None, UserRole::User, false));
        let line = "teahouse user create amy --role admin --email a@b.org --generate";
        check(line, create(Some("a@b.org"), UserRole::Admin, true));
        check("teahouse user create am", Err(64));
        check("teahouse user create amy --email amy", Err(64));
        check("teahouse user create amy --password secret1", Err(64));
        check("teahouse key create shop", Ok(Command::Key(KeyCommand::Create { name: "shop".to_owned() })));
        check("teahouse key create a/b", Err(64));
        check("teahouse key create", Err(64));
        check("teahouse key list", Ok(Command::Key(KeyCommand::List)));
        check("teahouse backup /b", Ok(Command::Backup { directory: "/b".into() }));
        check("teahouse backup", Err(64));
        check("teahouse restore /b --replace", Ok(Command::Restore { backup: "/b".into(), replace: true }));
        for line in ["teahouse load", "teahouse load fanout --json", "teahouse load --help"] {
            let (error, status) = parse(line.split(' ').map(OsString::from)).unwrap_err();
            assert_eq!((error.to_string(), status), (format!("error: {LOAD_MOVED}"), 64), "{line}");
        }
        check("teahouse user role amy king", Err(64));
        check("teahouse user", Err(64));
        check("teahouse --lissen x", Err(64));
        check("teahouse dance", Err(64));
        check("teahouse --help", Err(0));
        check("teahouse --version", Err(0));
    }

    #[test]
    fn flags_work_on_either_side_of_the_command() {
        for line in [
            "teahouse --data /d --log debug serve",
            "teahouse serve --data /d --log debug",
            "teahouse --data /d --log debug",
        ] {
            let (_, flags) = read(line).unwrap();
            let given: Vec<_> = flags.sources().flags.into_iter().map(|given| (given.key, given.value)).collect();
            assert_eq!(given, [("server.data", "/d".to_owned()), ("log.filter", "debug".to_owned())], "{line}");
        }
    }
}
