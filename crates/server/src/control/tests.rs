use std::path::Path;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;

#[derive(Default)]
struct Recorder(Mutex<Vec<ControlRequest>>);

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, request: ControlRequest) -> ControlAnswer {
        self.0.lock().unwrap().push(request.clone());
        match request {
            ControlRequest::UserDisable { name } if name == "nobody" => ControlAnswer::NoSuchUser("no".to_owned()),
            _ => ControlAnswer::Done("yes".to_owned()),
        }
    }
}

/// Runs `client` against a server on this directory, and the server to its end.
async fn with_server<T>(directory: &Path, handler: &Recorder, client: impl Future<Output = T>) -> T {
    let server = ControlServer::bind(directory).await.unwrap();
    let shutdown = CancellationToken::new();
    let client = async {
        let result = client.await;
        shutdown.cancel();
        result
    };
    tokio::join!(server.serve(handler, shutdown.clone()), client).1
}

fn disable(name: &str) -> ControlRequest {
    ControlRequest::UserDisable { name: name.to_owned() }
}

#[tokio::test]
async fn what_is_asked_arrives_and_the_answer_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let role = ControlRequest::UserRole { name: "小明 \"\n".to_owned(), role: "admin".to_owned() };
    let (first, second) = with_server(directory.path(), &recorder, async {
        (ask(directory.path(), &role).await.unwrap(), ask(directory.path(), &disable("nobody")).await.unwrap())
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
    let answer = with_server(&long, &Recorder::default(), async { ask(&long, &disable("amy")).await.unwrap() }).await;
    assert_eq!(answer, ControlAnswer::Done("yes".to_owned()));
}

#[tokio::test]
async fn without_a_server_the_client_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let asked = ask(directory.path(), &disable("amy")).await;
    assert!(matches!(asked, Err(ReachError::NotRunning)), "{asked:?}");
    let asked = ask(&directory.path().join("nowhere"), &disable("amy")).await;
    assert!(matches!(asked, Err(ReachError::NotRunning)), "{asked:?}");
}

#[tokio::test]
async fn what_a_crash_left_is_replaced_and_a_living_server_is_not() {
    let directory = tempfile::tempdir().unwrap();
    // A listener that is dropped leaves its file, as a crash does.
    drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap());
    assert!(matches!(ask(directory.path(), &disable("amy")).await, Err(ReachError::NotRunning)));
    with_server(directory.path(), &Recorder::default(), async {
        let second = ControlServer::bind(directory.path()).await;
        assert!(matches!(second, Err(BindError::AlreadyRunning)), "{second:?}");
        assert!(ask(directory.path(), &disable("amy")).await.is_ok(), "the first one is still there");
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
    let recorder = Recorder::default();
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
async fn h17_who_was_changed_is_said_also_when_the_name_is_somebody_elses_address() {
    struct Nobody;
    impl teahouse_store::CommitSink for Nobody {
        fn committed(&mut self, _: Vec<teahouse_core::Commit>) {}
    }
    let directory = tempfile::tempdir().unwrap();
    let options = teahouse_store::SqliteOptions::new(directory.path());
    let store = teahouse_store::SqliteStore::open(options, Box::new(Nobody)).unwrap();
    // A site may call its users by their addresses, and names in its tokens are held to no rule.
    for (id, username, email) in [(7, "amy@example.org", None), (8, "bob", Some("amy@example.org"))] {
        let subject = teahouse_store::Subject::Id(UserId(id));
        let (username, email) = (username.to_owned(), email.map(str::to_owned));
        let user = teahouse_store::SiteUser { subject, username, email, now: teahouse_core::Timestamp(0) };
        store.ensure_site_user(user).await.unwrap();
    }
    let (answer, changed) = apply(&store, &disable("amy@example.org")).await;
    assert_eq!((answer.exit_status(), changed), (0, Some(UserId(7))));
    assert_eq!(apply(&store, &disable("eve")).await.1, None);
}
