//! `teahouse backup` and `teahouse restore`.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::Value;

use super::house::{House, With, mode, run};
use super::open_store;

/// Many messages a second are nothing to be refused here.
const NO_LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "100000"),
];

/// The contents of the lobby, oldest first.
async fn lobby(house: &House, token: &str) -> Vec<String> {
    let mut contents = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/api/chat/messages/new?limit=100&after_id={after}");
        let (status, page) = house.ask(Method::GET, &path, &format!("Bearer {token}"), Value::Null).await;
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

/// A house with amy in it, who has said something; her token.
async fn with_amy(environment: &[(&'static str, &'static str)]) -> (House, String) {
    let house = House::open(environment);
    house.typing("oolong7\n", &["user", "create", "amy"]).expect(0, "amy");
    let token = house.log_in("amy", "oolong7").await.unwrap();
    assert_eq!(house.say(&token, "first").await.0, 200);
    (house, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_server_that_is_written_to_comes_back_whole_with_another_epoch() {
    let (mut house, token) = with_amy(NO_LIMITS).await;
    for number in 0..50 {
        assert_eq!(house.say(&token, &format!("{number}")).await.0, 200);
    }
    let over = AtomicBool::new(false);
    let writing = async {
        let mut said = 50;
        while !over.load(Ordering::Relaxed) {
            assert_eq!(house.say(&token, &format!("{said}")).await.0, 200);
            said += 1;
        }
        said
    };
    let copying = async {
        tokio::task::block_in_place(|| house.command(&["backup", "copy"])).expect(0, "everything is in");
        over.store(true, Ordering::Relaxed);
    };
    let (said, ()) = tokio::join!(writing, copying);
    let copy = house.path("copy");
    assert_eq!(names(&copy), ["teahouse.db", "token.secret"]);
    assert_eq!([mode(&copy), mode(&copy.join("teahouse.db")), mode(&copy.join("token.secret"))], [0o700, 0o600, 0o600]);

    house.stop();
    run(house.directory.path(), &["restore", "copy", "--data", "elsewhere"], &[], "").expect(0, "new epoch");
    assert_eq!([mode(&house.path("elsewhere")), mode(&house.path("elsewhere/token.secret"))], [0o700, 0o600]);
    house.start_on("elsewhere");
    // The secret came along, so amy is still logged in.
    let restored = lobby(&house, &token).await;
    assert!(restored.len() > 50 && restored.len() <= said + 1, "{} of {said}", restored.len());
    assert_eq!(restored[0], "first");
    assert!(restored[1..].iter().enumerate().all(|(number, content)| *content == format!("{number}")), "{restored:?}");
    house.stop();
    assert_ne!(epoch(&house.path("elsewhere")).await, epoch(&house.path("data")).await);
    assert_eq!(names(&copy), ["teahouse.db", "token.secret"], "a backup can be restored again");
}

#[tokio::test]
async fn a_backup_is_made_without_a_server_as_well() {
    let (mut house, token) = with_amy(&[]).await;
    house.do_with(With::NoServer, |house| house.command(&["backup", "a/b/copy"])).expect(0, "everything is in");
    house.stop();
    run(house.directory.path(), &["restore", "a/b/copy", "--data", "elsewhere"], &[], "").expect(0, "restored");
    house.start_on("elsewhere");
    assert_eq!(lobby(&house, &token).await, ["first"]);
}

#[tokio::test]
async fn a_backup_goes_into_an_empty_directory_and_never_over_anything() {
    for with in [With::Server, With::NoServer] {
        let (mut house, _) = with_amy(&[]).await;
        fs::create_dir(house.path("empty")).unwrap();
        house.do_with(with, |house| house.command(&["backup", "empty"])).expect(0, "everything is in");
        fs::create_dir(house.path("full")).unwrap();
        fs::write(house.path("full/diary"), "dear").unwrap();
        fs::write(house.path("file"), "dear").unwrap();
        house.do_with(with, |house| {
            for (place, status) in [("full", 1), ("empty", 1), ("data", 1), ("file", 70), ("file/below", 70)] {
                let refused = house.command(&["backup", place]);
                assert_eq!((refused.status, refused.out.as_str()), (Some(status), ""), "{place}: {refused:?}");
            }
        });
        assert_eq!(names(&house.path("full")), ["diary"]);
        assert_eq!(names(&house.path("empty")), ["teahouse.db", "token.secret"]);
        assert_eq!(fs::read_to_string(house.path("file")).unwrap(), "dear");
    }
}

#[tokio::test]
async fn data_that_is_in_the_way_is_moved_aside_only_when_that_is_asked_for() {
    let (mut house, token) = with_amy(&[]).await;
    house.command(&["backup", "copy"]).expect(0, "everything is in");
    house.say(&token, "after the backup").await;
    let restore = |house: &House, more: &[&str]| house.command(&[&["restore", "copy"], more].concat());
    restore(&house, &[]).expect(1, "--replace");
    restore(&house, &["--replace"]).expect(1, "a server is running on");
    assert_eq!(lobby(&house, &token).await, ["first", "after the backup"]);
    house.stop();
    let before = epoch(&house.path("data")).await;
    restore(&house, &[]).expect(1, "--replace");
    let restored = restore(&house, &["--replace"]).expect(0, "what was there before is in");
    let moved: Vec<_> =
        names(house.directory.path()).into_iter().filter(|name| name.contains("before-restore")).collect();
    let [aside] = &moved[..] else { panic!("{moved:?}") };
    assert!(aside.starts_with("data.before-restore-2") && restored.out.contains(aside.as_str()), "{restored:?}");
    house.start();
    assert_eq!(lobby(&house, &token).await, ["first"]);
    house.stop();
    assert_ne!(epoch(&house.path("data")).await, before);
    // Nothing of the old is lost.
    house.start_on(aside);
    assert_eq!(lobby(&house, &token).await, ["first", "after the backup"]);
    house.stop();
    assert_eq!(epoch(&house.path(aside)).await, before);
}

#[tokio::test]
async fn what_is_no_backup_changes_nothing() {
    let (mut house, token) = with_amy(&[]).await;
    house.command(&["backup", "copy"]).expect(0, "everything is in");
    house.stop();
    fs::create_dir(house.path("nothing")).unwrap();
    fs::create_dir(house.path("damaged")).unwrap();
    let mut bytes = fs::read(house.path("copy/teahouse.db")).unwrap();
    bytes[..100].fill(7);
    fs::write(house.path("damaged/teahouse.db"), bytes).unwrap();
    for (backup, status, said) in [
        ("nowhere", 1, "is no backup"),
        ("nothing", 1, "is no backup"),
        ("data", 1, "teahouse backup DIRECTORY --data data"),
        ("damaged", 70, "the backup cannot be used"),
    ] {
        for data in ["data", "new"] {
            let arguments = ["restore", backup, "--replace", "--data", data];
            run(house.directory.path(), &arguments, &[], "").expect(status, said);
        }
        assert!(!house.path("new").exists(), "{backup}");
    }
    // SQLite may leave files of its own beside the database.
    let left: Vec<_> = names(&house.path("data")).into_iter().filter(|name| !name.starts_with("teahouse.")).collect();
    assert_eq!(left, ["token.secret"]);
    house.start();
    assert_eq!(lobby(&house, &token).await, ["first"]);
}
