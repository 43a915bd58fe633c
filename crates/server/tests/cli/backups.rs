//! `teahouse backup` and `teahouse restore`.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::Value;

use super::open_store;
use super::test_server::{ServerState, TestServer, mode, run};

/// The tests send and read faster than the default limits.
const NO_LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "100000"),
];

/// The contents of the lobby, oldest first.
async fn lobby(server: &TestServer, token: &str) -> Vec<String> {
    let mut contents = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/api/chat/messages/new?limit=100&after_id={after}");
        let (status, page) = server.request(Method::GET, &path, &format!("Bearer {token}"), Value::Null).await;
        assert_eq!(status, 200, "{page}");
        for message in page["messages"].as_array().unwrap() {
            contents.push(message["content"].as_str().unwrap().to_owned());
            after = message["id"].as_u64().unwrap();
        }
        if page["has_more"] != true {
            return contents;
        }
    }
}

async fn epoch(data: &Path) -> String {
    let store = open_store(data);
    let epoch = store.epoch().to_owned();
    store.close().await;
    epoch
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

/// A server with the user amy, who has sent a message, and her token.
async fn with_amy(environment: &[(&'static str, &'static str)]) -> (TestServer, String) {
    let server = TestServer::open(environment);
    server.command_with_input("oolong7\n", &["user", "create", "amy"]).assert_output(0, "amy");
    let token = server.log_in("amy", "oolong7").await.unwrap();
    assert_eq!(server.send_message(&token, "first").await.0, 200);
    (server, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_restores_completely_with_another_epoch() {
    let (mut server, token) = with_amy(NO_LIMITS).await;
    for number in 0..50 {
        assert_eq!(server.send_message(&token, &format!("{number}")).await.0, 200);
    }
    let over = AtomicBool::new(false);
    let writing = async {
        let mut said = 50;
        while !over.load(Ordering::Relaxed) {
            assert_eq!(server.send_message(&token, &format!("{said}")).await.0, 200);
            said += 1;
        }
        said
    };
    let copying = async {
        tokio::task::block_in_place(|| server.command(&["backup", "copy"])).assert_output(0, "the backup is in");
        over.store(true, Ordering::Relaxed);
    };
    let (said, ()) = tokio::join!(writing, copying);
    let copy = server.path("copy");
    assert_eq!(names(&copy), ["teahouse.db", "token.secret"]);
    assert_eq!([mode(&copy), mode(&copy.join("teahouse.db")), mode(&copy.join("token.secret"))], [0o700, 0o600, 0o600]);

    server.stop();
    run(server.directory.path(), &["restore", "copy", "--data", "elsewhere"], &[], "").assert_output(0, "new epoch");
    assert_eq!([mode(&server.path("elsewhere")), mode(&server.path("elsewhere/token.secret"))], [0o700, 0o600]);
    server.start_on("elsewhere");
    // The backup contains the token secret, so amy is still logged in.
    let restored = lobby(&server, &token).await;
    assert!(restored.len() > 50 && restored.len() <= said + 1, "{} of {said}", restored.len());
    assert_eq!(restored[0], "first");
    assert!(restored[1..].iter().enumerate().all(|(number, content)| *content == format!("{number}")), "{restored:?}");
    server.stop();
    assert_ne!(epoch(&server.path("elsewhere")).await, epoch(&server.path("data")).await);
    assert_eq!(names(&copy), ["teahouse.db", "token.secret"], "a backup can be restored again");
}

#[tokio::test]
async fn a_backup_works_without_a_server() {
    let (mut server, token) = with_amy(&[]).await;
    server
        .with_state(ServerState::Stopped, |server| server.command(&["backup", "a/b/copy"]))
        .assert_output(0, "the backup is in");
    server.stop();
    run(server.directory.path(), &["restore", "a/b/copy", "--data", "elsewhere"], &[], "").assert_output(0, "restored");
    server.start_on("elsewhere");
    assert_eq!(lobby(&server, &token).await, ["first"]);
}

#[tokio::test]
async fn a_backup_needs_an_empty_directory_and_never_overwrites() {
    for state in [ServerState::Running, ServerState::Stopped] {
        let (mut server, _) = with_amy(&[]).await;
        fs::create_dir(server.path("empty")).unwrap();
        server.with_state(state, |server| server.command(&["backup", "empty"])).assert_output(0, "the backup is in");
        fs::create_dir(server.path("full")).unwrap();
        fs::write(server.path("full/diary"), "dear").unwrap();
        fs::write(server.path("file"), "dear").unwrap();
        server.with_state(state, |server| {
            for (place, status) in [("full", 1), ("empty", 1), ("data", 1), ("file", 70), ("file/below", 70)] {
                let refused = server.command(&["backup", place]);
                assert_eq!((refused.status, refused.out.as_str()), (Some(status), ""), "{place}: {refused:?}");
            }
        });
        assert_eq!(names(&server.path("full")), ["diary"]);
        assert_eq!(names(&server.path("empty")), ["teahouse.db", "token.secret"]);
        assert_eq!(fs::read_to_string(server.path("file")).unwrap(), "dear");
    }
}

#[tokio::test]
async fn existing_data_is_moved_aside_only_with_replace() {
    let (mut server, token) = with_amy(&[]).await;
    server.command(&["backup", "copy"]).assert_output(0, "the backup is in");
    server.send_message(&token, "after the backup").await;
    let restore = |server: &TestServer, more: &[&str]| server.command(&[&["restore", "copy"], more].concat());
    restore(&server, &[]).assert_output(1, "--replace");
    restore(&server, &["--replace"]).assert_output(1, "a server is running on");
    assert_eq!(lobby(&server, &token).await, ["first", "after the backup"]);
    server.stop();
    let before = epoch(&server.path("data")).await;
    restore(&server, &[]).assert_output(1, "--replace");
    let restored = restore(&server, &["--replace"]).assert_output(0, "the previous data is in");
    let moved: Vec<_> =
        names(server.directory.path()).into_iter().filter(|name| name.contains("before-restore")).collect();
    let [aside] = &moved[..] else { panic!("{moved:?}") };
    assert!(aside.starts_with("data.before-restore-2") && restored.out.contains(aside.as_str()), "{restored:?}");
    server.start();
    assert_eq!(lobby(&server, &token).await, ["first"]);
    server.stop();
    assert_ne!(epoch(&server.path("data")).await, before);
    // The old data is complete.
    server.start_on(aside);
    assert_eq!(lobby(&server, &token).await, ["first", "after the backup"]);
    server.stop();
    assert_eq!(epoch(&server.path(aside)).await, before);
}

#[tokio::test]
async fn restoring_from_what_is_not_a_backup_changes_nothing() {
    let (mut server, token) = with_amy(&[]).await;
    server.command(&["backup", "copy"]).assert_output(0, "the backup is in");
    server.stop();
    fs::create_dir(server.path("nothing")).unwrap();
    fs::create_dir(server.path("damaged")).unwrap();
    let mut bytes = fs::read(server.path("copy/teahouse.db")).unwrap();
    bytes[..100].fill(7);
    fs::write(server.path("damaged/teahouse.db"), bytes).unwrap();
    for (backup, status, said) in [
        ("nowhere", 1, "is not a backup"),
        ("nothing", 1, "is not a backup"),
        ("data", 1, "teahouse backup DIRECTORY --data data"),
        ("damaged", 70, "the backup cannot be used"),
    ] {
        for data in ["data", "new"] {
            let arguments = ["restore", backup, "--replace", "--data", data];
            run(server.directory.path(), &arguments, &[], "").assert_output(status, said);
        }
        assert!(!server.path("new").exists(), "{backup}");
    }
    // SQLite may leave files of its own beside the database.
    let left: Vec<_> = names(&server.path("data")).into_iter().filter(|name| !name.starts_with("teahouse.")).collect();
    assert_eq!(left, ["token.secret"]);
    server.start();
    assert_eq!(lobby(&server, &token).await, ["first"]);
}
