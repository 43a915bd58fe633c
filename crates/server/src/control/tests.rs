use std::path::Path;
use std::sync::{Arc, Mutex};

use teahouse_core::{Timestamp, UserId};
use tokio_util::sync::CancellationToken;

use super::apply::{Applied, Desk, apply};
use super::*;
use crate::config::{self, Config, Sources};

#[derive(Default)]
struct Recorder(Mutex<Vec<ControlRequest>>);

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, request: ControlRequest, progress: Progress) -> ControlAnswer {
        self.0.lock().unwrap().push(request.clone());
        match request {
            ControlRequest::UserDisable { name } if name == "nobody" => ControlAnswer::Refused("no".to_owned()),
            ControlRequest::Backup { .. } => {
                // Each is told before the next one is, which shows that telling is no matter of the end.
                for done in [0.25, 0.5] {
                    progress.send(done).unwrap();
                    tokio::task::yield_now().await;
                }
                ControlAnswer::Done("copied".to_owned())
            }
            _ => ControlAnswer::Done("yes".to_owned()),
        }
    }
}

/// Asks without looking at progress.
async fn asked(directory: &Path, request: &ControlRequest) -> Result<ControlAnswer, ReachError> {
    ask(directory, request, &mut |_| {}).await
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
    tokio::join!(server.serve(Arc::clone(handler) as Arc<dyn Handler>, shutdown.clone()), client).1
}

fn disable(name: &str) -> ControlRequest {
    ControlRequest::UserDisable { name: name.to_owned() }
}

#[tokio::test]
async fn what_is_asked_arrives_and_the_answer_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Arc::<Recorder>::default();
    let role = ControlRequest::UserRole { name: "小明 \"\n".to_owned(), role: "admin".to_owned() };
    let (first, second) = with_server(directory.path(), &recorder, async {
        (asked(directory.path(), &role).await.unwrap(), asked(directory.path(), &disable("nobody")).await.unwrap())
    })
    .await;
    assert_eq!((first.exit_status(), second.exit_status()), (0, 1));
    assert_eq!(*recorder.0.lock().unwrap(), [role, disable("nobody")]);
    assert!(!directory.path().join(SOCKET).exists(), "the socket's file goes with the server");
}

#[tokio::test]
async fn a_path_longer_than_a_socket_address_works() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let answer = with_server(&long, &Arc::default(), async { asked(&long, &disable("amy")).await.unwrap() }).await;
    assert_eq!(answer, ControlAnswer::Done("yes".to_owned()));
}

#[tokio::test]
async fn without_a_server_the_client_says_so() {
    let directory = tempfile::tempdir().unwrap();
    for directory in [directory.path(), &directory.path().join("nowhere")] {
        let answer = asked(directory, &disable("amy")).await;
        assert!(matches!(answer, Err(ReachError::NotRunning)), "{answer:?}");
    }
}

#[tokio::test]
async fn what_a_crash_left_is_replaced_and_a_living_server_is_not() {
    let directory = tempfile::tempdir().unwrap();
    // A listener that is dropped leaves its file, as a crash does.
    drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap());
    assert!(matches!(asked(directory.path(), &disable("amy")).await, Err(ReachError::NotRunning)));
    with_server(directory.path(), &Arc::default(), async {
        let second = ControlServer::bind(directory.path()).await;
        assert!(matches!(second, Err(BindError::AlreadyRunning)), "{second:?}");
        assert!(asked(directory.path(), &disable("amy")).await.is_ok(), "the first one is still there");
    })
    .await;
}

#[tokio::test]
async fn only_the_owner_can_open_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let server = ControlServer::bind(directory.path()).await.unwrap();
    let mode = std::fs::metadata(directory.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(server);
}

#[tokio::test]
async fn lines_that_mean_nothing_are_answered_and_change_nothing() {
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
async fn long_work_tells_how_far_it_is_and_keeps_nobody_else_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let backup = ControlRequest::Backup { into: "/b".to_owned() };
    let (answer, heard) = with_server(directory.path(), &Arc::default(), async {
        let mut heard = Vec::new();
        let answer = ask(directory.path(), &backup, &mut |done| heard.push(done)).await.unwrap();
        (answer, heard)
    })
    .await;
    assert_eq!(answer, ControlAnswer::Done("copied".to_owned()));
    assert!(heard.last() == Some(&0.5) && heard.is_sorted(), "{heard:?}");

    /// Backs up until somebody is disabled.
    #[derive(Default)]
    struct Busy(tokio::sync::Notify);

    #[async_trait]
    impl Handler for Busy {
        async fn handle(&self, request: ControlRequest, _: Progress) -> ControlAnswer {
            match request {
                ControlRequest::Backup { .. } => self.0.notified().await,
                _ => self.0.notify_one(),
            }
            ControlAnswer::Done(String::new())
        }
    }
    let server = ControlServer::bind(directory.path()).await.unwrap();
    let shutdown = CancellationToken::new();
    let client = async {
        let amy = disable("amy");
        let (copied, disabled) = tokio::join!(asked(directory.path(), &backup), asked(directory.path(), &amy));
        assert!(copied.is_ok() && disabled.is_ok());
        shutdown.cancel();
    };
    tokio::join!(server.serve(Arc::new(Busy::default()), shutdown.clone()), client);
}

#[tokio::test]
async fn a_server_that_ends_before_it_answers_is_not_taken_for_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap();
    let amy = disable("amy");
    let (answer, ()) = tokio::join!(asked(directory.path(), &amy), async { drop(listener.accept().await.unwrap()) });
    assert!(matches!(answer, Err(ReachError::Ended | ReachError::Io(_))), "{answer:?}");
}

#[tokio::test]
async fn going_down_waits_for_nobody_who_has_not_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut silent = None;
    with_server(directory.path(), &Arc::default(), async {
        silent = Some(tokio::net::UnixStream::connect(directory.path().join(SOCKET)).await.unwrap());
        // When this is answered, the one before it was accepted.
        asked(directory.path(), &disable("amy")).await.unwrap();
    })
    .await;
    let mut read = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut silent.unwrap(), &mut read).await.unwrap();
    assert_eq!(read, "");
}

#[tokio::test]
async fn a_server_that_goes_down_begins_no_copy_and_still_does_the_rest() {
    let stage = crate::http::tests::stage::stage();
    stage.join("amy").await;
    let closing = CancellationToken::new();
    let controller = Controller::new(Arc::clone(&stage.app), None, closing.clone());
    let parent = tempfile::tempdir().unwrap();
    let copy = parent.path().join("copy");
    let backup = || ControlRequest::Backup { into: copy.to_str().unwrap().to_owned() };
    closing.cancel();
    let refused = controller.handle(backup(), Progress::new(0.0)).await;
    assert_eq!((refused.exit_status(), copy.exists()), (70, false), "{refused:?}");
    assert_eq!(controller.handle(disable("amy"), Progress::new(0.0)).await.exit_status(), 0);
    assert_eq!(stage.live.revoked.lock().unwrap().len(), 1, "her sockets feel it");
}

#[test]
fn what_is_secret_stands_in_no_log() {
    let hash = Hidden("$argon2id$".to_owned());
    let request = ControlRequest::UserPasswd { name: "amy".to_owned(), password_hash: hash };
    assert!(!format!("{request:?}").contains("argon2"));
    let key = crate::secrets::ApiKey::random().key();
    assert_eq!(key_of_text(&key_text(key)), Some(key));
    for other in ["", "7", "x", &"0".repeat(33)] {
        assert_eq!(key_of_text(&Hidden(other.to_owned())), None, "{other}");
    }
}

/// Nobody listens to what these tests store.
fn store_in(directory: &Path) -> Arc<dyn teahouse_store::Store> {
    let options = teahouse_store_sqlite::SqliteOptions::new(directory);
    Arc::new(teahouse_store_sqlite::SqliteStore::open(options, Box::new(Nobody)).unwrap())
}

fn defaults() -> Config {
    config::load(Sources::default()).unwrap().config
}

async fn applied(store: &dyn teahouse_store::Store, request: ControlRequest) -> Applied {
    let desk = Desk { store, backups: None, config: &defaults(), now: Timestamp(1_795_328_736_120) };
    apply(&desk, request, Progress::new(0.0)).await
}

#[tokio::test]
async fn h17_who_was_changed_is_said_also_when_the_name_is_somebody_elses_address() {
    use teahouse_store::{SiteUser, Subject};
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    // A site may call its users by their addresses, and names in its tokens are held to no rule.
    for (id, username, email) in [(7, "amy@example.org", None), (8, "bob", Some("amy@example.org"))] {
        let subject = Subject::Id(UserId(id));
        let (username, email) = (username.to_owned(), email.map(str::to_owned));
        store.ensure_site_user(SiteUser { subject, username, email, now: Timestamp(0) }).await.unwrap();
    }
    let disabled = applied(&*store, disable("amy@example.org")).await;
    assert_eq!(disabled.answer.exit_status(), 0);
    assert_eq!(disabled.revoked.map(|revoked| revoked.user), Some(UserId(7)));
    let nobody = applied(&*store, disable("eve")).await;
    assert_eq!((nobody.answer.exit_status(), nobody.revoked), (1, None));
    // Bob is not given a password that was meant for somebody else.
    let password_hash = Hidden("$argon2id$".to_owned());
    let request = ControlRequest::UserPasswd { name: "amy@example.org".to_owned(), password_hash };
    let changed = applied(&*store, request).await;
    assert_ne!(changed.revoked.map(|revoked| revoked.user), Some(UserId(8)));
    assert_eq!(store.password_hash(UserId(8)).await.unwrap(), None);
}

#[tokio::test]
async fn users_are_listed_in_pages_and_none_is_left_out() {
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
    let page = async |after| match applied(&*store, ControlRequest::UserList { after }).await.answer {
        ControlAnswer::Users(page) => page,
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
