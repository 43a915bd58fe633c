//! What an operator types, done: asks whoever can be asked, prints what came of it, says with which status to
//! exit. Answers go to standard output, and everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::offline::{Answerer, ChangeError};
use super::stdin::{StdinError, read_password};
use super::{ControlAnswer, ControlRequest, Hidden, UserLine, key_text};
use crate::backup::{DATABASE, InTheWay, restore};
use crate::cli::{Command, EXIT_USAGE, KeyCommand, UserCommand};
use crate::config::Config;
use crate::passwords::{PasswordError, Passwords};
use crate::secrets::{ApiKey, random_bytes};
use crate::use_cases::credentials::{PasswordFault, check_password};

/// Exit status when something that was to be there was not, or the other way round.
const EXIT_REFUSED: u8 = 1;
/// Exit status when the server or the store cannot be asked (EX_UNAVAILABLE of sysexits.h).
const EXIT_UNAVAILABLE: u8 = 69;
/// Exit status when something failed (EX_SOFTWARE).
const EXIT_FAILED: u8 = 70;
/// Exit status when the answer cannot be written (EX_IOERR).
const EXIT_IO: u8 = 74;
/// Exit status of what was interrupted, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;
/// Characters of a bar of progress.
const BAR_CHARS: usize = 30;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
enum OperateError {
    /// Nobody can be asked.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// There is no password.
    #[error(transparent)]
    Stdin(#[from] StdinError),
    /// The password cannot be one.
    #[error("{0}; nothing was changed")]
    Password(#[from] PasswordFault),
    /// It cannot be hashed.
    #[error(transparent)]
    Hashing(#[from] PasswordError),
    /// A path that is not text.
    #[error("the path of a backup must be UTF-8")]
    Path,
    /// The answer cannot be written.
    #[error("standard output cannot be written to: {0}")]
    Output(#[from] io::Error),
}

impl OperateError {
    fn exit_status(&self) -> u8 {
        match self {
            Self::Change(_) => EXIT_UNAVAILABLE,
            Self::Stdin(StdinError::Interrupted) => EXIT_INTERRUPTED,
            Self::Stdin(_) | Self::Password(_) | Self::Path => EXIT_USAGE,
            Self::Hashing(_) => EXIT_FAILED,
            // Whoever only wanted the head of a list is content.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => EXIT_IO,
        }
    }
}

/// Where a new password comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generate {
    /// It is made here.
    Yes,
    /// It is typed or piped in.
    No,
}

impl From<bool> for Generate {
    fn from(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}

/// Does what was typed, and says with which status to exit.
pub async fn operate(config: &Config, command: Command) -> u8 {
    let done = match command {
        Command::User(command) => change_user(config, command).await,
        Command::Key(command) => change_keys(config, command).await,
        Command::Backup { directory } => make_backup(config, &directory).await,
        Command::Restore { backup, replace } => Ok(put_back(config, &backup, replace).await),
        // These are not for here.
        Command::Serve | Command::Config { .. } => Ok(EXIT_USAGE),
    };
    done.unwrap_or_else(|error| {
        let status = error.exit_status();
        if status != 0 {
            complain(&error);
        }
        status
    })
}

async fn change_user(config: &Config, command: UserCommand) -> Result<u8, OperateError> {
    match command {
        UserCommand::Create { name, email, role, generate } => {
            let generate = Generate::from(generate);
            let role = role.as_str().to_owned();
            let request = |password_hash| ControlRequest::UserCreate { name: name.clone(), email, role, password_hash };
            with_password(config, &name, generate, request).await
        }
        UserCommand::Passwd { name, generate } => {
            let generate = Generate::from(generate);
            let request = |password_hash| ControlRequest::UserPasswd { name: name.clone(), password_hash };
            with_password(config, &name, generate, request).await
        }
        UserCommand::List { json } => list_users(config, json).await,
        UserCommand::Role { name, role } => {
            once(config, ControlRequest::UserRole { name, role: role.as_str().to_owned() }).await
        }
        UserCommand::Disable { name } => once(config, ControlRequest::UserDisable { name }).await,
        UserCommand::Enable { name } => once(config, ControlRequest::UserEnable { name }).await,
        UserCommand::Mute { name, time, .. } => {
            let for_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            once(config, ControlRequest::UserMute { name, for_ms }).await
        }
    }
}

async fn change_keys(config: &Config, command: KeyCommand) -> Result<u8, OperateError> {
    match command {
        KeyCommand::Create { name } => {
            let key = ApiKey::random();
            let request = ControlRequest::KeyCreate { name: name.clone(), key: key_text(key.key()) };
            match ask(config, request).await? {
                ControlAnswer::Done(sentence) => {
                    eprintln!("{sentence}. It is shown this once; the server keeps only a hash of it.");
                    eprintln!("Your backend sends it with every request:  Authorization: ApiKey thk_…");
                    if let Err(error) = print(key.expose()) {
                        eprintln!("It could not be printed, so nobody has it: teahouse key revoke {name}");
                        return Err(error.into());
                    }
                    Ok(0)
                }
                refused => Ok(told(&refused)),
            }
        }
        KeyCommand::List => match ask(config, ControlRequest::KeyList).await? {
            ControlAnswer::Keys(keys) => {
                for (name, since) in keys {
                    print(&format!("{since}  {name}"))?;
                }
                Ok(0)
            }
            refused => Ok(told(&refused)),
        },
        KeyCommand::Revoke { name } => once(config, ControlRequest::KeyRevoke { name }).await,
    }
}

async fn make_backup(config: &Config, directory: &Path) -> Result<u8, OperateError> {
    // The server has another working directory.
    let directory = std::path::absolute(directory).map_err(|_| OperateError::Path)?;
    let into = directory.to_str().ok_or(OperateError::Path)?.to_owned();
    let mut bar = Bar::new("backup");
    let answerer = Answerer::open(config).await?;
    let answer = answerer.ask(ControlRequest::Backup { into }, &mut |done| bar.show(done)).await;
    answerer.close().await;
    bar.end();
    let answer = answer?;
    if matches!(answer, ControlAnswer::Done(_)) && !directory.join(DATABASE).exists() {
        complain(&format!(
            "the running server wrote to {}, but that cannot be seen from here: it has directories of its own (a container, \
             or PrivateTmp of systemd); name one that both see, such as one beside the data",
            directory.display()
        ));
        return Ok(EXIT_FAILED);
    }
    Ok(told(&answer))
}

async fn put_back(config: &Config, backup: &Path, replace: bool) -> u8 {
    let data = &config.server.data;
    let in_the_way = if replace { InTheWay::MoveAside } else { InTheWay::Refuse };
    let mut bar = Bar::new("restore");
    let restored = restore(backup, data, in_the_way, &mut |done| bar.show(done)).await;
    bar.end();
    match restored {
        Ok(aside) => {
            let mut sentence = format!("{} is restored into {}", backup.display(), data.display());
            if let Some(aside) = aside {
                sentence = format!("{sentence}; what was there before is in {}", aside.display());
            }
            // Whether anybody reads it or not.
            let _ = print(&sentence);
            eprintln!("Start the server now. Its history has a new epoch, so every client loads it anew.");
            0
        }
        Err(error) => {
            complain(&error);
            if error.is_refusal() { EXIT_REFUSED } else { EXIT_FAILED }
        }
    }
}

/// Asks one thing and tells what came of it.
async fn once(config: &Config, request: ControlRequest) -> Result<u8, OperateError> {
    Ok(told(&ask(config, request).await?))
}

async fn ask(config: &Config, request: ControlRequest) -> Result<ControlAnswer, OperateError> {
    let answerer = Answerer::open(config).await?;
    let answer = answerer.ask(request, &mut |_| {}).await;
    answerer.close().await;
    Ok(answer?)
}

/// 120 random bits, with a letter and a digit.
fn generated() -> String {
    loop {
        let password = URL_SAFE_NO_PAD.encode(random_bytes::<15>());
        if check_password(&password).is_ok() {
            return password;
        }
    }
}

/// Asks for something with a new password's hash: the password itself goes no further than this process. One
/// that was made here is all that stands on standard output.
async fn with_password(
    config: &Config,
    name: &str,
    generate: Generate,
    request: impl FnOnce(Hidden) -> ControlRequest,
) -> Result<u8, OperateError> {
    // Whoever types a password is told before that it would be for nothing.
    let answerer = Answerer::open(config).await?;
    let answered = async {
        let password = match generate {
            Generate::Yes => generated(),
            Generate::No => read_password(name).await?,
        };
        check_password(&password)?;
        let hash = Hidden(Passwords::new(1)?.hash(password.clone()).await?);
        Ok::<_, OperateError>((answerer.ask(request(hash), &mut |_| {}).await?, password))
    };
    let answered = answered.await;
    answerer.close().await;
    match answered? {
        (ControlAnswer::Done(sentence), password) if generate == Generate::Yes => {
            eprintln!("{sentence}; the password is");
            print(&password)?;
            Ok(0)
        }
        (answer, _) => Ok(told(&answer)),
    }
}

async fn list_users(config: &Config, json: bool) -> Result<u8, OperateError> {
    let answerer = Answerer::open(config).await?;
    let listed = print_users(&answerer, json).await;
    answerer.close().await;
    listed
}

async fn print_users(answerer: &Answerer<'_>, json: bool) -> Result<u8, OperateError> {
    let mut out = io::stdout().lock();
    let mut last = None;
    if !json {
        writeln!(out, "{:<14}  {:<20}  {:<9}  {:<24}  REMARKS", "ID", "USERNAME", "ROLE", "SINCE")?;
    }
    loop {
        let page = match answerer.ask(ControlRequest::UserList { after: last.unwrap_or(0) }, &mut |_| {}).await? {
            ControlAnswer::Users(page) => page,
            refused => return Ok(told(&refused)),
        };
        for user in &page.users {
            if json {
                // One array, a user a line.
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

fn row(user: &UserLine) -> String {
    let mut remarks: Vec<String> = user.email.iter().cloned().collect();
    if user.disabled {
        remarks.push("disabled".to_owned());
    }
    remarks.extend(user.muted_until.iter().map(|until| format!("muted until {until}")));
    let UserLine { id, username, role, created_at, .. } = user;
    format!("{id:<14}  {username:<20}  {role:<9}  {created_at:<24}  {}", remarks.join(", ")).trim_end().to_owned()
}

/// Prints what came of something, and says with which status to exit.
fn told(answer: &ControlAnswer) -> u8 {
    match answer {
        ControlAnswer::Done(sentence) => {
            // It is done, whether anybody reads that or not.
            let _ = print(sentence);
        }
        ControlAnswer::Refused(sentence) | ControlAnswer::BadRequest(sentence) | ControlAnswer::Failed(sentence) => {
            complain(sentence);
        }
        // Whoever asks for these prints them.
        ControlAnswer::Users(_) | ControlAnswer::Keys(_) => complain(&"the server answered something else"),
    }
    answer.exit_status()
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}

fn complain(why: &dyn std::fmt::Display) {
    eprintln!("teahouse: {why}");
}

/// A bar that grows, where a person looks at it.
struct Bar {
    what: &'static str,
    shown: bool,
}

impl Bar {
    fn new(what: &'static str) -> Self {
        Self { what, shown: false }
    }

    fn show(&mut self, done: f64) {
        if !io::stderr().is_terminal() {
            return;
        }
        self.shown = true;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
        let full = (done.clamp(0.0, 1.0) * BAR_CHARS as f64) as usize;
        eprint!("\r{} [{}{}] {:3.0} %", self.what, "#".repeat(full), " ".repeat(BAR_CHARS - full), done * 100.0);
    }

    fn end(&mut self) {
        if self.shown {
            eprintln!();
        }
    }
}
