use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use teahouse_core::{Change, Timestamp, UserId};
use tokio_util::sync::CancellationToken;

use super::connection::{ConnectionError, send_command};
use super::execute::execute;
use super::protocol::{UserPage, key_from_text, key_to_text};
use super::*;
use crate::config::{self, Config, Secret, Sources};
use crate::http::tests::fixture::{FakeSessions, fixture};
use crate::use_cases::admin::AdminContext;

#[derive(Default)]
struct Recorder(Mutex<Vec<ControlRequest>>);

#[async_trait]
impl ControlHandler for Recorder {
    async fn handle(&self, request: ControlRequest, progress: Progress) -> ControlResponse {
        self.0.lock().unwrap().push(request.clone());
        match request {
            ControlRequest::UserDisable { name } if name == "nobody" => ControlResponse::Refused("no".to_owned()),
            ControlRequest::Backup { .. } => {
                // Progress is written at once and not only with the response.
                for done in [0.25, 0.5] {
                    progress.send(done).unwrap();
                    tokio::task::yield_now().await;
                }
                ControlResponse::Done("copied".to_owned())
            }
            _ => ControlResponse::Done("yes".to_owned()),
        }
    }
}

/// Sends a command and ignores its progress.
async fn send(directory: &Path, command: &ControlRequest) -> Result<ControlResponse, ConnectionError> {
    send_command(directory, command, &mut |_| {}).await
}

/// Runs `client` against a server on this directory, and the server to its end.
async fn with_server<T>(directory: &Path, handler: &Arc<Recorder>, client: impl Future<Output = T>) -> T {
    let server = ControlServer::bind(directory).await.unwrap();
    let shutdown = CancellationToken::new();
    let client = async {
        let result = client.await;
        shutdown.cancel();
        result
    };
    tokio::join!(server.serve(Arc::clone(handler) as Arc<dyn ControlHandler>, shutdown.clone()), client).1
}

fn disable(name: &str) -> ControlRequest {
    ControlRequest::UserDisable { name: name.to_owned() }
}

#[tokio::test]
async fn a_command_arrives_and_its_response_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Arc::<Recorder>::default();
    let role = ControlRequest::UserRole { name: "小明 \"\n".to_owned(), role: "admin".to_owned() };
    let (first, second) = with_server(directory.path(), &recorder, async {
        (send(directory.path(), &role).await.unwrap(), send(directory.path(), &disable("nobody")).await.unwrap())
    })
    .await;
    assert_eq!((first.exit_status(), second.exit_status()), (0, 1));
    assert_eq!(*recorder.0.lock().unwrap(), [role, disable("nobody")]);
    assert!(!directory.path().join(SOCKET).exists(), "the server removes the socket's file");
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_works() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let answer = with_server(&long, &Arc::default(), async { send(&long, &disable("amy")).await.unwrap() }).await;
    assert_eq!(answer, ControlResponse::Done("yes".to_owned()));
}

#[tokio::test]
async fn without_a_server_the_client_reports_it() {
    let directory = tempfile::tempdir().unwrap();
    for directory in [directory.path(), &directory.path().join("nowhere")] {
        let answer = send(directory, &disable("amy")).await;
        assert!(matches!(answer, Err(ConnectionError::NotRunning)), "{answer:?}");
    }
}

#[tokio::test]
async fn the_socket_of_a_crashed_server_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    // Dropping a listener leaves its file, as a crash does.
    drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap());
    assert!(matches!(send(directory.path(), &disable("amy")).await, Err(ConnectionError::NotRunning)));
    with_server(directory.path(), &Arc::default(), async {
        let second = ControlServer::bind(directory.path()).await;
        assert!(matches!(second, Err(BindError::AlreadyRunning)), "{second:?}");
        assert!(send(directory.path(), &disable("amy")).await.is_ok(), "the first server still responds");
    })
    .await;
}

#[tokio::test]
async fn only_the_owner_can_open_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let server = ControlServer::bind(directory.path()).await.unwrap();
    let mode = std::fs::metadata(directory.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(server);
}

#[tokio::test]
async fn invalid_lines_get_a_response_and_change_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let directory = tempfile::tempdir().unwrap();
    let recorder = Arc::<Recorder>::default();
    with_server(directory.path(), &recorder, async {
        for line in
            ["\n", "nonsense\n", "{\"ask\":\"dance\"}\n", "{\"ask\":\"user_enable\",\"name\":1}\n", &"x".repeat(4096)]
        {
            let mut stream = tokio::net::UnixStream::connect(directory.path().join(SOCKET)).await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.contains("bad_request"), "{line:?}: {answer}");
        }
    })
    .await;
    assert!(recorder.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_long_command_reports_progress_and_does_not_block_others() {
    let directory = tempfile::tempdir().unwrap();
    let backup = ControlRequest::Backup { into: "/b".to_owned() };
    let (answer, heard) = with_server(directory.path(), &Arc::default(), async {
        let mut heard = Vec::new();
        let answer = send_command(directory.path(), &backup, &mut |done| heard.push(done)).await.unwrap();
        (answer, heard)
    })
    .await;
    assert_eq!(answer, ControlResponse::Done("copied".to_owned()));
    assert!(heard.last() == Some(&0.5) && heard.is_sorted(), "{heard:?}");

    /// A backup that takes until a user is disabled.
    #[derive(Default)]
    struct Busy(tokio::sync::Notify);

    #[async_trait]
    impl ControlHandler for Busy {
        async fn handle(&self, request: ControlRequest, _: Progress) -> ControlResponse {
            match request {
                ControlRequest::Backup { .. } => self.0.notified().await,
                _ => self.0.notify_one(),
            }
            ControlResponse::Done(String::new())
        }
    }
    let server = ControlServer::bind(directory.path()).await.unwrap();
    let shutdown = CancellationToken::new();
    let client = async {
        let amy = disable("amy");
        let (copied, disabled) = tokio::join!(send(directory.path(), &backup), send(directory.path(), &amy));
        assert!(copied.is_ok() && disabled.is_ok());
        shutdown.cancel();
    };
    tokio::join!(server.serve(Arc::new(Busy::default()), shutdown.clone()), client);
}

#[tokio::test]
async fn a_server_that_stops_before_it_responds_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap();
    let amy = disable("amy");
    let (answer, ()) = tokio::join!(send(directory.path(), &amy), async { drop(listener.accept().await.unwrap()) });
    assert!(matches!(answer, Err(ConnectionError::Ended | ConnectionError::Io(_))), "{answer:?}");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_client_that_sent_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut silent = None;
    with_server(directory.path(), &Arc::default(), async {
        silent = Some(tokio::net::UnixStream::connect(directory.path().join(SOCKET)).await.unwrap());
        // The server accepts in order, so with this response it has accepted the silent client.
        send(directory.path(), &disable("amy")).await.unwrap();
    })
    .await;
    let mut read = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut silent.unwrap(), &mut read).await.unwrap();
    assert_eq!(read, "");
}

#[tokio::test]
async fn a_server_that_shuts_down_starts_no_backup_and_runs_other_commands() {
    let fixture = fixture();
    fixture.join("amy").await;
    let closing = CancellationToken::new();
    let controller = AppHandler::new(Arc::clone(&fixture.app), closing.clone());
    let parent = tempfile::tempdir().unwrap();
    let copy = parent.path().join("copy");
    let backup = || ControlRequest::Backup { into: copy.to_str().unwrap().to_owned() };
    closing.cancel();
    let refused = controller.handle(backup(), Progress::new(0.0)).await;
    assert_eq!((refused.exit_status(), copy.exists()), (70, false), "{refused:?}");
    assert_eq!(controller.handle(disable("amy"), Progress::new(0.0)).await.exit_status(), 0);
    assert_eq!(fixture.live.revoked.lock().unwrap().len(), 1, "amy's live sessions end");
}

#[tokio::test]
async fn a_command_whose_client_leaves_runs_to_its_end() {
    // More than one job of the store publishes.
    const ROOMS: usize = 30;
    let fixture = fixture();
    let amy = fixture.join("amy").await;
    for number in 0..ROOMS {
        let body = serde_json::json!({ "kind": "public", "name": format!("tea {number}") });
        assert_eq!(fixture.post("/api/v1/rooms", Some(&amy), body).await.status, 201);
    }
    let controller = AppHandler::new(Arc::clone(&fixture.app), CancellationToken::new());
    let mute = ControlRequest::UserMute { name: "amy".to_owned(), for_ms: Some(60_000) };
    let mut handling = controller.handle(mute, Progress::new(0.0));
    assert!(handling.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(handling);
    fixture.app.finish_tasks().await;
    let mut muted = fixture.commits.of(|change| match change {
        Change::Entry { entry, .. } if entry.muted => Some(entry.id),
        _ => None,
    });
    muted.sort_unstable();
    muted.dedup();
    assert_eq!(muted.len(), ROOMS + 1, "with the lobby");
}

#[test]
fn secrets_are_not_in_debug_output() {
    let hash = Secret::new("$argon2id$".to_owned());
    let request = ControlRequest::UserPasswd { name: "amy".to_owned(), password_hash: hash };
    assert!(!format!("{request:?}").contains("argon2"));
    let key = crate::secrets::ApiKey::random().fingerprint();
    assert_eq!(key_from_text(&key_to_text(key)), Some(key));
    for other in ["", "7", "x", &"0".repeat(33)] {
        assert_eq!(key_from_text(&Secret::new(other.to_owned())), None, "{other}");
    }
}

fn store_in(directory: &Path) -> Arc<dyn teahouse_store::Store> {
    Arc::new(crate::offline::open_store(directory).unwrap())
}

fn defaults() -> Config {
    config::load(Sources::default()).unwrap().config
}

/// Runs a command on a store, and gives the response and whose live sessions it ended.
async fn run(store: &dyn teahouse_store::Store, request: ControlRequest) -> (ControlResponse, Vec<UserId>) {
    let (live, config) = (FakeSessions::default(), defaults());
    let context =
        AdminContext { store, backups: None, live: Some(&live), config: &config, now: Timestamp(1_795_328_736_120) };
    let response = execute(&context, request, Progress::new(0.0)).await;
    let revoked = live.revoked.lock().unwrap().iter().map(|revoked| revoked.user).collect();
    (response, revoked)
}

#[tokio::test]
async fn h17_a_name_that_is_another_users_address_changes_only_its_own_user() {
    use teahouse_store::{SiteUser, Subject};
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    // A site may use e-mail addresses as usernames; the rules for usernames do not apply to its tokens.
    for (id, username, email) in [(7, "amy@example.org", None), (8, "bob", Some("amy@example.org"))] {
        let subject = Subject::Id(UserId(id));
        let (username, email) = (username.to_owned(), email.map(str::to_owned));
        store.ensure_site_user(SiteUser { subject, username, email, now: Timestamp(0) }).await.unwrap();
    }
    let (response, revoked) = run(&*store, disable("amy@example.org")).await;
    assert_eq!((response.exit_status(), revoked), (0, vec![UserId(7)]));
    let (response, revoked) = run(&*store, disable("eve")).await;
    assert_eq!((response.exit_status(), revoked), (1, vec![]));
    // The command must not change the password of bob, whose e-mail address the name is.
    let password_hash = Secret::new("$argon2id$".to_owned());
    let request = ControlRequest::UserPasswd { name: "amy@example.org".to_owned(), password_hash };
    let (_, revoked) = run(&*store, request).await;
    assert!(!revoked.contains(&UserId(8)), "{revoked:?}");
    assert_eq!(store.password_hash(UserId(8)).await.unwrap(), None);
}

#[tokio::test]
async fn a_list_of_users_in_pages_is_complete() {
    use teahouse_store::NewUser;
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let people = PAGE_USERS + 1;
    for number in 0..people {
        let username = format!("user{number}");
        let new = NewUser { username, email: None, password_hash: String::new(), now: Timestamp(0), ids_start: 1 };
        store.create_user(new).await.unwrap();
    }
    let mut seen = Vec::new();
    let page = async |after| match run(&*store, ControlRequest::UserList { after }).await.0 {
        ControlResponse::Users(page) => page,
        other => panic!("{other:?}"),
    };
    loop {
        let UserPage { users, has_more } = page(seen.last().copied().unwrap_or(0)).await;
        seen.extend(users.iter().map(|user| user.id));
        if !has_more {
            break;
        }
    }
    assert_eq!(seen.len(), people as usize);
    assert!(seen.is_sorted());
}
