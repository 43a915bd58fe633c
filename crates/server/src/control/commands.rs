//! The administrative commands of the command line. Results go to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::client::{ControlClient, ControlClientError};
use super::protocol::{UserSummary, key_to_text};
use super::stdin::{StdinError, read_password};
use super::{ControlRequest, ControlResponse};
use crate::backup::{self, ExistingData};
use crate::cli::{Command, EXIT_USAGE, KeyCommand, UserCommand};
use crate::config::{Config, Secret};
use crate::crypto::random_bytes;
use crate::offline::DATABASE_FILE;
use crate::passwords::{PasswordError, hash_once};
use crate::secrets::ApiKey;
use crate::validation::credentials::{InvalidPassword, check_password};

/// Exit status when something does not exist, or exists already.
const EXIT_REFUSED: u8 = 1;
/// Exit status when neither server nor store is available (EX_UNAVAILABLE of sysexits.h).
const EXIT_UNAVAILABLE: u8 = 69;
/// Exit status of a failure (EX_SOFTWARE).
const EXIT_FAILED: u8 = 70;
/// Exit status when standard output cannot be written (EX_IOERR).
const EXIT_IO: u8 = 74;
/// Exit status after Ctrl-C, as in shells.
const EXIT_INTERRUPTED: u8 = 130;
/// Characters of the progress bar.
const BAR_CHARS: usize = 30;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Client(#[from] ControlClientError),
    #[error(transparent)]
    Stdin(#[from] StdinError),
    #[error("{0}; nothing was changed")]
    Password(#[from] InvalidPassword),
    #[error(transparent)]
    Hashing(#[from] PasswordError),
    #[error("the path of a backup must be UTF-8")]
    Path,
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    fn exit_status(&self) -> u8 {
        match self {
            Self::Client(_) => EXIT_UNAVAILABLE,
            Self::Stdin(StdinError::Interrupted) => EXIT_INTERRUPTED,
            Self::Stdin(_) | Self::Password(_) | Self::Path => EXIT_USAGE,
            Self::Hashing(_) => EXIT_FAILED,
            // A reader such as `head` has enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => EXIT_IO,
        }
    }
}

/// The source of a new password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PasswordSource {
    Generated,
    Stdin,
}

impl PasswordSource {
    fn from_flag(generate: bool) -> Self {
        if generate { Self::Generated } else { Self::Stdin }
    }
}

/// Runs a command and returns its exit status.
pub(crate) async fn run_command(config: &Config, command: Command) -> u8 {
    let outcome = match command {
        Command::User(command) => change_user(config, command).await,
        Command::Key(command) => change_keys(config, command).await,
        Command::Backup { directory } => make_backup(config, &directory).await,
        Command::Restore { backup, replace } => Ok(restore(config, &backup, replace).await),
        // `lib.rs` runs these.
        Command::Serve | Command::Config { .. } => Ok(EXIT_USAGE),
    };
    outcome.unwrap_or_else(|error| {
        let status = error.exit_status();
        if status != 0 {
            print_error(&error);
        }
        status
    })
}

async fn change_user(config: &Config, command: UserCommand) -> Result<u8, CommandError> {
    match command {
        UserCommand::Create { name, email, role, generate } => {
            let source = PasswordSource::from_flag(generate);
            let role = role.as_str().to_owned();
            let request = |password_hash| ControlRequest::UserCreate { name: name.clone(), email, role, password_hash };
            with_password(config, &name, source, request).await
        }
        UserCommand::Passwd { name, generate } => {
            let source = PasswordSource::from_flag(generate);
            let request = |password_hash| ControlRequest::UserPasswd { name: name.clone(), password_hash };
            with_password(config, &name, source, request).await
        }
        UserCommand::List { json } => list_users(config, json).await,
        UserCommand::Role { name, role } => {
            run_and_print(config, ControlRequest::UserRole { name, role: role.as_str().to_owned() }).await
        }
        UserCommand::Disable { name } => run_and_print(config, ControlRequest::UserDisable { name }).await,
        UserCommand::Enable { name } => run_and_print(config, ControlRequest::UserEnable { name }).await,
        UserCommand::Mute { name, time, .. } => {
            let for_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            run_and_print(config, ControlRequest::UserMute { name, for_ms }).await
        }
    }
}

async fn change_keys(config: &Config, command: KeyCommand) -> Result<u8, CommandError> {
    match command {
        KeyCommand::Create { name } => {
            let key = ApiKey::random();
            let request = ControlRequest::KeyCreate { name: name.clone(), key: key_to_text(key.fingerprint()) };
            match run(config, request).await? {
                ControlResponse::Done(message) => {
                    eprintln!("{message}. It is shown only once; the server stores only a hash.");
                    eprintln!("Your backend sends it with every request:  Authorization: ApiKey thk_…");
                    if let Err(error) = print(key.expose()) {
                        eprintln!("The key could not be printed and is lost; revoke it: teahouse key revoke {name}");
                        return Err(error.into());
                    }
                    Ok(0)
                }
                other => Ok(print_response(&other)),
            }
        }
        KeyCommand::List => match run(config, ControlRequest::KeyList).await? {
            ControlResponse::Keys(keys) => {
                for (name, since) in keys {
                    print(&format!("{since}  {name}"))?;
                }
                Ok(0)
            }
            other => Ok(print_response(&other)),
        },
        KeyCommand::Revoke { name } => run_and_print(config, ControlRequest::KeyRevoke { name }).await,
    }
}

async fn make_backup(config: &Config, directory: &Path) -> Result<u8, CommandError> {
    // The server has its own working directory.
    let directory = std::path::absolute(directory).map_err(|_| CommandError::Path)?;
    let into = directory.to_str().ok_or(CommandError::Path)?.to_owned();
    let mut bar = ProgressBar::new("backup");
    let client = ControlClient::open(config).await?;
    let response = client.run(ControlRequest::Backup { into }, &mut |done| bar.show(done)).await;
    client.close().await;
    bar.end();
    let response = response?;
    if matches!(response, ControlResponse::Done(_)) && !directory.join(DATABASE_FILE).exists() {
        print_error(&format!(
            "the running server wrote to {}, but this command cannot see it there: the server has other directories (a \
             container, or PrivateTmp of systemd); name a directory that both see, such as one beside the data",
            directory.display()
        ));
        return Ok(EXIT_FAILED);
    }
    Ok(print_response(&response))
}

async fn restore(config: &Config, source: &Path, replace: bool) -> u8 {
    let data = &config.server.data;
    let existing = if replace { ExistingData::MoveAside } else { ExistingData::Refuse };
    let mut bar = ProgressBar::new("restore");
    let restored = backup::restore_backup(source, data, existing, &mut |done| bar.show(done)).await;
    bar.end();
    match restored {
        Ok(aside) => {
            let mut message = format!("{} is restored into {}", source.display(), data.display());
            if let Some(aside) = aside {
                message = format!("{message}; the previous data is in {}", aside.display());
            }
            // The backup is restored even if nobody reads this.
            let _ = print(&message);
            eprintln!("Start the server now. The data has a new epoch, so every client reloads it.");
            0
        }
        Err(error) => {
            print_error(&error);
            if error.is_refusal() { EXIT_REFUSED } else { EXIT_FAILED }
        }
    }
}

async fn run_and_print(config: &Config, request: ControlRequest) -> Result<u8, CommandError> {
    Ok(print_response(&run(config, request).await?))
}

async fn run(config: &Config, request: ControlRequest) -> Result<ControlResponse, CommandError> {
    let client = ControlClient::open(config).await?;
    let response = client.run(request, &mut |_| {}).await;
    client.close().await;
    Ok(response?)
}

/// A valid password of 120 random bits.
fn generate_password() -> String {
    loop {
        let password = URL_SAFE_NO_PAD.encode(random_bytes::<15>());
        if check_password(&password).is_ok() {
            return password;
        }
    }
}

/// Runs a command with the hash of a new password; the password itself never leaves this process. A generated password is
/// the only output on standard output.
async fn with_password(
    config: &Config,
    name: &str,
    source: PasswordSource,
    request: impl FnOnce(Secret) -> ControlRequest,
) -> Result<u8, CommandError> {
    // Opened first, so that nobody types a password in vain.
    let client = ControlClient::open(config).await?;
    let running = async {
        let password = match source {
            PasswordSource::Generated => generate_password(),
            PasswordSource::Stdin => read_password(name).await?,
        };
        check_password(&password)?;
        let hash = Secret::new(hash_once(&password)?);
        Ok::<_, CommandError>((client.run(request(hash), &mut |_| {}).await?, password))
    };
    let outcome = running.await;
    client.close().await;
    match outcome? {
        (ControlResponse::Done(message), password) if source == PasswordSource::Generated => {
            eprintln!("{message}; the password is");
            print(&password)?;
            Ok(0)
        }
        (response, _) => Ok(print_response(&response)),
    }
}

async fn list_users(config: &Config, json: bool) -> Result<u8, CommandError> {
    let client = ControlClient::open(config).await?;
    let outcome = print_users(&client, json).await;
    client.close().await;
    outcome
}

async fn print_users(client: &ControlClient<'_>, json: bool) -> Result<u8, CommandError> {
    let mut out = io::stdout().lock();
    let mut last = None;
    if !json {
        writeln!(out, "{:<14}  {:<20}  {:<9}  {:<24}  REMARKS", "ID", "USERNAME", "ROLE", "SINCE")?;
    }
    loop {
        let page = match client.run(ControlRequest::UserList { after: last.unwrap_or(0) }, &mut |_| {}).await? {
            ControlResponse::Users(page) => page,
            other => return Ok(print_response(&other)),
        };
        for user in &page.users {
            if json {
                // One array with a user on each line.
                let user_json = serde_json::to_string(user).map_err(io::Error::from)?;
                write!(out, "{}{user_json}", if last.is_none() { "[\n" } else { ",\n" })?;
            } else {
                writeln!(out, "{}", row(user))?;
            }
            last = Some(user.id);
        }
        if !page.has_more {
            if json {
                writeln!(out, "{}", if last.is_none() { "[]" } else { "\n]" })?;
            }
            out.flush()?;
            return Ok(0);
        }
    }
}

fn row(user: &UserSummary) -> String {
    let mut remarks: Vec<String> = user.email.iter().cloned().collect();
    if user.disabled {
        remarks.push("disabled".to_owned());
    }
    remarks.extend(user.muted_until.iter().map(|until| format!("muted until {until}")));
    let UserSummary { id, username, role, created_at, .. } = user;
    format!("{id:<14}  {username:<20}  {role:<9}  {created_at:<24}  {}", remarks.join(", ")).trim_end().to_owned()
}

/// Prints a response and returns the exit status.
fn print_response(response: &ControlResponse) -> u8 {
    match response {
        ControlResponse::Done(message) => {
            // The command succeeded even if nobody reads this.
            let _ = print(message);
        }
        ControlResponse::Refused(message) | ControlResponse::BadRequest(message) | ControlResponse::Failed(message) => {
            print_error(message);
        }
        // The commands that list something print these themselves.
        ControlResponse::Users(_) | ControlResponse::Keys(_) => print_error(&"unexpected response of the server"),
    }
    response.exit_status()
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}

fn print_error(error: &dyn std::fmt::Display) {
    eprintln!("teahouse: {error}");
}

/// A progress bar on a terminal.
struct ProgressBar {
    label: &'static str,
    is_shown: bool,
}

impl ProgressBar {
    fn new(label: &'static str) -> Self {
        Self { label, is_shown: false }
    }

    fn show(&mut self, done: f64) {
        if !io::stderr().is_terminal() {
            return;
        }
        self.is_shown = true;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
        let full = (done.clamp(0.0, 1.0) * BAR_CHARS as f64) as usize;
        eprint!("\r{} [{}{}] {:3.0} %", self.label, "#".repeat(full), " ".repeat(BAR_CHARS - full), done * 100.0);
    }

    fn end(&mut self) {
        if self.is_shown {
            eprintln!();
        }
    }
}
