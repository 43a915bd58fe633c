//! The command line: commands, flags and help. It executes nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use teahouse_core::UserRole;
use teahouse_core::text::is_username;

use crate::config::{self, FlagValue, Sources};
use crate::validation::credentials::{check_email, check_username};

/// Exit status of an invalid command line or configuration (EX_USAGE of sysexits.h).
pub(crate) const EXIT_USAGE: u8 = 64;

/// Maximum characters of an API key's name.
const KEY_NAME_CHARS_MAX: usize = 50;

const LOAD_MOVED: &str = "The load generator is a binary of its own: run teahouse-load instead of teahouse load.\n";

const EXAMPLES: &str = "\
Examples:
  teahouse                                        serve on 127.0.0.1:8080 with data in ./teahouse-data
  teahouse --listen 0.0.0.0:8080 --data /var/lib/teahouse
  TEAHOUSE_SERVER__LISTEN=0.0.0.0:8080 teahouse   set a key with an environment variable
  teahouse --config /etc/teahouse.toml config     print the effective configuration and its sources
  teahouse config --keys                          print all configuration keys
  teahouse user create amy --role admin           create an administrator; asks for the password
  teahouse key create shop-backend                create an API key for your site's backend
  teahouse backup /var/backups/tea-1              back up the data, also of a running server

Run `teahouse COMMAND --help` for details and more examples.
Flags override environment variables, which override the configuration file, which overrides the defaults.
An invalid command line or configuration exits with status 64.";

/// A realtime chat server for community sites: one binary, one data directory, no message lost or shown twice.
#[derive(Parser, Debug)]
#[command(name = "teahouse", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub flags: Flags,
    /// The command; `serve` by default.
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags for the most common configuration keys.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Configuration file (TOML); optional
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [key: server.listen]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Directory of the database, the secrets and the control socket [key: server.data]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data: Option<String>,
    /// Filter of log lines, such as info or debug [key: log.filter]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

impl Flags {
    /// The sources of the configuration, with these flags as the strongest.
    #[must_use]
    pub(crate) fn sources(self) -> Sources {
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

/// A command.
#[derive(Subcommand, Debug, PartialEq, Eq, Default)]
pub(crate) enum Command {
    /// Serve until SIGTERM (the default)
    #[default]
    Serve,
    /// Print the effective configuration and the source of each value; secrets are shown as (set)
    Config {
        /// Print all keys with their environment variables, defaults and descriptions instead
        #[arg(long)]
        keys: bool,
        /// Print docs/configuration.md instead
        #[arg(long, hide = true)]
        markdown: bool,
    },
    /// Create, list and change users; works with and without a running server
    #[command(
        subcommand,
        after_help = "\
Examples:
  teahouse user create amy --role admin
  teahouse user list
  teahouse user mute amy --for 1h"
    )]
    User(UserCommand),
    /// Create, list and revoke API keys of your site's backend; works with and without a running server
    #[command(
        subcommand,
        after_help = "\
Examples:
  teahouse key create shop-backend > key.txt
  curl -H \"Authorization: ApiKey $(cat key.txt)\" http://127.0.0.1:8080/api/server/presence?user_ids=1"
    )]
    Key(KeyCommand),
    /// Back up the database and the secrets; works with and without a running server
    #[command(after_help = "\
The backup contains the database and the secrets, readable only by its owner; protect it like the data.
It does not contain the configuration file. A running server makes the copy itself, as its own user and
with its own view of the file system. A directory without teahouse.db is not a complete backup.

Examples:
  teahouse backup /var/backups/tea-$(date +%F)
  teahouse backup /backup/now --data /var/lib/teahouse")]
    Backup {
        /// Target directory; it must be empty or not exist
        directory: PathBuf,
    },
    /// Restore a backup into the data directory while no server runs on it
    #[command(after_help = "\
The restored history gets a new epoch, so that every client reloads it and none mixes it with messages
sent after the backup. --replace moves existing data aside to NAME.before-restore-TIME.

Examples:
  teahouse restore /var/backups/tea-1 --data /var/lib/teahouse
  teahouse restore /var/backups/tea-1 --data /var/lib/teahouse --replace")]
    Restore {
        /// Directory of the backup
        backup: PathBuf,
        /// Move existing data aside
        #[arg(long)]
        replace: bool,
    },
}

/// A command for API keys.
#[derive(Subcommand, Debug, PartialEq, Eq)]
pub(crate) enum KeyCommand {
    /// Create an API key and print it once; the server keeps only a hash
    #[command(after_help = "Example:\n  teahouse key create shop-backend > key.txt")]
    Create {
        /// Name of the key: letters, digits, ".", "_" and "-"
        #[arg(value_parser = key_name)]
        name: String,
    },
    /// List all API keys with their creation times
    #[command(after_help = "Example:\n  teahouse key list")]
    List,
    /// Revoke a key; takes effect on the next request
    #[command(after_help = "Example:\n  teahouse key revoke shop-backend")]
    Revoke {
        /// Name of the key
        name: String,
    },
}

/// A command for users.
#[derive(Subcommand, Debug, PartialEq, Eq)]
pub(crate) enum UserCommand {
    /// Create an account; asks for the password, or reads it as one line from standard input
    #[command(after_help = "\
Examples:
  teahouse user create amy --role admin
  teahouse user create bob --email bob@example.org --generate
  teahouse user create bob < password.txt")]
    Create {
        /// Username
        #[arg(value_parser = username)]
        name: String,
        /// E-mail address, which also works for logging in
        #[arg(long, value_parser = email)]
        email: Option<String>,
        /// Role: user, moderator or admin
        #[arg(long, value_parser = role, default_value = "user")]
        role: UserRole,
        /// Generate a password and print it
        #[arg(long)]
        generate: bool,
    },
    /// List all users
    #[command(after_help = "\
Examples:
  teahouse user list
  teahouse user list --json | jq '.[] | select(.disabled)'")]
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Set a password; ends all logins of the user and closes their sockets
    #[command(after_help = "\
Examples:
  teahouse user passwd amy
  teahouse user passwd amy --generate")]
    Passwd {
        /// Username
        name: String,
        /// Generate a password and print it
        #[arg(long)]
        generate: bool,
    },
    /// Set a role: user, moderator (may delete messages of others) or admin
    #[command(after_help = "Example:\n  teahouse user role amy admin")]
    Role {
        /// Username
        name: String,
        /// Role: user, moderator or admin
        #[arg(value_parser = role)]
        role: UserRole,
    },
    /// Disable a user: closes all sessions at once and rejects all tokens
    #[command(after_help = "Example:\n  teahouse user disable amy")]
    Disable {
        /// Username
        name: String,
    },
    /// Enable a disabled user
    #[command(after_help = "Example:\n  teahouse user enable amy")]
    Enable {
        /// Username
        name: String,
    },
    /// Mute a user for a time: the user can read but not send
    #[command(after_help = "\
Examples:
  teahouse user mute amy --for 1h
  teahouse user mute amy --off")]
    Mute {
        /// Username
        name: String,
        /// Duration, such as 10m, 1h or 7d
        #[arg(long = "for", value_name = "TIME", value_parser = mute_duration, required_unless_present = "off")]
        time: Option<Duration>,
        /// End the mute
        #[arg(long, conflicts_with = "time")]
        off: bool,
    },
}

impl Cli {
    /// The command and the flags.
    #[must_use]
    pub(crate) fn split(self) -> (Command, Flags) {
        (self.command.unwrap_or_default(), self.flags)
    }
}

/// Parses a command line.
///
/// # Errors
/// The text to print and the exit status: 0 for help and version, [`EXIT_USAGE`] for an error.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, (clap::Error, u8)> {
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
    UserRole::parse(text)
        .ok_or_else(|| format!("the role must be one of {}", UserRole::ALL.map(UserRole::as_str).join(", ")))
}

fn username(text: &str) -> Result<String, String> {
    check_username(text).map(str::to_owned).map_err(|fault| format!("{fault}: 3 to 20 letters, digits, _, - and ."))
}

fn email(text: &str) -> Result<String, String> {
    check_email(text).map(str::to_owned).map_err(|fault| fault.to_string())
}

fn key_name(text: &str) -> Result<String, String> {
    let is_valid = is_username(text) && text.chars().count() <= KEY_NAME_CHARS_MAX;
    if is_valid { Ok(text.to_owned()) } else { Err("1 to 50 letters, digits, _, - and .".to_owned()) }
}

fn mute_duration(text: &str) -> Result<Duration, String> {
    match config::parse_duration(text)? {
        Duration::ZERO => Err("must be longer than zero; --off ends a mute".to_owned()),
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
    fn commands_are_parsed_and_errors_exit_64() {
        let check = |line: &str, expect: Result<Command, u8>| {
            assert_eq!(read(line).map(|(command, _)| command), expect, "{line}");
        };
        let role = |role| Command::User(UserCommand::Role { name: "amy".to_owned(), role });
        check("teahouse", Ok(Command::Serve));
        check("teahouse serve", Ok(Command::Serve));
        check("teahouse --listen 127.0.0.1:0", Ok(Command::Serve));
        let config = |keys, markdown| Ok(Command::Config { keys, markdown });
        check("teahouse config", config(false, false));
        check("teahouse config --keys", config(true, false));
        check("teahouse config --markdown", config(false, true));
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
