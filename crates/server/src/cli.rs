//! The command line: what can be asked for, and help that teaches. It does nothing by itself.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use teahouse_core::UserRole;

use crate::config::{FlagValue, Sources};
use crate::control::ControlRequest;

/// Exit status of a wrong command line or configuration (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

const EXAMPLES: &str = "\
Examples:
  teahouse                                        serve on 127.0.0.1:8080, data in ./teahouse-data
  teahouse --listen 0.0.0.0:8080 --data /var/lib/teahouse
  TEAHOUSE_SERVER__LISTEN=0.0.0.0:8080 teahouse   the same, by environment
  teahouse --config /etc/teahouse.toml config     what is in force, and where each value came from
  teahouse config --keys                          every key there is
  teahouse user role amy admin                    whether a server is running or not

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
    /// Change a user, whether a server is running on the data directory or not
    #[command(subcommand)]
    User(UserCommand),
}

/// What can be changed about a user.
#[derive(Subcommand, Debug, PartialEq, Eq)]
pub enum UserCommand {
    /// Set what a user may do: user, moderator (may delete what others said) or admin
    Role {
        /// The username
        name: String,
        /// user, moderator or admin
        #[arg(value_parser = role)]
        role: UserRole,
    },
    /// Keep a user out: its sessions close at once and none of its tokens is worth anything
    Disable {
        /// The username
        name: String,
    },
    /// Let a disabled user in again
    Enable {
        /// The username
        name: String,
    },
}

impl Cli {
    /// What to do, and the flags.
    #[must_use]
    pub fn split(self) -> (Command, Flags) {
        (self.command.unwrap_or_default(), self.flags)
    }
}

impl From<UserCommand> for ControlRequest {
    fn from(command: UserCommand) -> Self {
        match command {
            UserCommand::Role { name, role } => Self::UserRole { name, role: role.as_str().to_owned() },
            UserCommand::Disable { name } => Self::UserDisable { name },
            UserCommand::Enable { name } => Self::UserEnable { name },
        }
    }
}

/// Reads a command line.
///
/// # Errors
/// What to print and the status to exit with: help and version are 0, a mistake is [`EXIT_USAGE`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, (clap::Error, u8)> {
    Cli::try_parse_from(arguments).map_err(|error| {
        let status = if error.use_stderr() { EXIT_USAGE } else { 0 };
        (error, status)
    })
}

fn role(text: &str) -> Result<UserRole, String> {
    UserRole::parse(text).ok_or_else(|| format!("a role is one of {}", UserRole::ALL.map(UserRole::as_str).join(", ")))
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
