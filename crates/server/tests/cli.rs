//! The command line of the real binary: exit status and output.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

#[path = "cli/backups.rs"]
mod backups;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/test_server.rs"]
mod test_server;
#[path = "cli/users.rs"]
mod users;

use std::path::Path;
use std::sync::Arc;

use teahouse_core::{Timestamp, UserRole};
use teahouse_store::{CommitGroup, CommitSink, NewUser, Store};
use teahouse_store_sqlite::{SqliteOptions, SqliteStore};

use test_server::{CommandOutput, run};

/// Runs the binary with only these environment variables and empty standard input.
fn teahouse(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> CommandOutput {
    run(directory, arguments, environment, "")
}

fn with_file(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("t.toml"), text).unwrap();
    directory
}

#[test]
fn an_invalid_configuration_exits_64_and_names_key_and_source() {
    let check = |file: &str, environment: &[(&str, &str)], flags: &[&str], expect: &[&str]| {
        let directory = with_file(file);
        for command in [&["config"][..], &["serve"], &[]] {
            let arguments: Vec<_> = ["--config", "t.toml"].iter().chain(flags).chain(command).copied().collect();
            let run = teahouse(directory.path(), &arguments, environment);
            assert_eq!(run.status, Some(64), "{arguments:?}: {}", run.err);
            for part in expect {
                assert!(run.err.contains(part), "{part:?} in {}", run.err);
            }
            assert_eq!(run.out, "");
        }
        assert!(!directory.path().join("teahouse-data").exists(), "the server did not start");
    };
    check("[server]\n\nlissen = 1\n", &[], &[], &["server.lissen", "t.toml:3"]);
    check("[server]\nshards = \"many\"\n", &[], &[], &["server.shards", "t.toml:2"]);
    check("", &[("TEAHOUSE_LOG__FORMAT", "xml")], &[], &["log.format", "TEAHOUSE_LOG__FORMAT"]);
    check("", &[("TEAHOUSE_NONSENSE", "1")], &[], &["TEAHOUSE_NONSENSE"]);
    check("", &[], &["--listen", "here"], &["server.listen", "flag --listen"]);
    let all = &["server.listen", "t.toml:2", "log.format", "t.toml:4", "TEAHOUSE_SERVER__SHARDS"];
    check("[server]\nlisten = 1\n[log]\nformat = 2\n", &[("TEAHOUSE_SERVER__SHARDS", "0")], &[], all);
}

#[test]
fn config_prints_effective_values_and_their_sources() {
    let directory = with_file("[server]\nlisten = \"127.0.0.1:1\"\ndata = \"from-file\"\nshards = 3\n");
    let environment = [("TEAHOUSE_SERVER__LISTEN", "127.0.0.1:2"), ("TEAHOUSE_SERVER__DATA", "from-environment")];
    let run = teahouse(directory.path(), &["config", "--config", "t.toml", "--listen", "127.0.0.1:3"], &environment);
    assert_eq!(run.status, Some(0), "{}", run.err);
    for expect in [
        "server.listen = \"127.0.0.1:3\"  # flag --listen\n",
        "server.data = \"from-environment\"  # environment TEAHOUSE_SERVER__DATA\n",
        "server.shards = 3  # t.toml:4\n",
        "server.drain_timeout = \"10s\"  # default\n",
        "auth.jwt_secret = (not set)  # default\n",
    ] {
        assert!(run.out.contains(expect), "{expect:?} in {}", run.out);
    }
}

#[test]
fn config_reads_the_file_that_the_environment_names() {
    let directory = with_file("[server]\nshards = 3\n");
    let run = teahouse(directory.path(), &["config"], &[("TEAHOUSE_CONFIG", "t.toml")]);
    assert!(run.out.contains("server.shards = 3  # t.toml:2\n"), "{}{}", run.out, run.err);
}

#[test]
fn a_secret_is_never_printed() {
    let check = |file: &str, environment: &[(&str, &str)], expect: &str| {
        let directory = with_file(file);
        let run = teahouse(directory.path(), &["config", "--config", "t.toml"], environment);
        assert!(run.out.contains(expect) || run.err.contains(expect), "{}{}", run.out, run.err);
        assert!(!run.out.contains("hunter2") && !run.err.contains("hunter2"), "{}{}", run.out, run.err);
    };
    check("[auth]\njwt_secret = \"hunter2\"\n", &[], "auth.jwt_secret = (set)  # t.toml:2");
    check("", &[("TEAHOUSE_AUTH__JWT_SECRET", "hunter2")], "auth.jwt_secret = (set)  # environment");
    check("[auth]\njwt_secret = \"hunter2\n", &[], "t.toml:2");
    check("[auth]\njwt_secret = [[\"hunter2\"]]\n", &[], "auth.jwt_secret (t.toml:2)");
    check("[auth]\njwt_sekret = \"hunter2\"\n", &[], "auth.jwt_sekret (t.toml:2)");
}

#[test]
fn help_has_examples_and_usage_errors_exit_64() {
    let directory = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], status, expect: &str| {
        let run = teahouse(directory.path(), arguments, &[]);
        assert_eq!(run.status, Some(status), "{arguments:?}");
        let shown = if status == 0 { &run.out } else { &run.err };
        assert!(shown.contains(expect), "{expect:?} in {shown}");
    };
    check(&["--help"], 0, "teahouse user create amy --role admin");
    check(&["--version"], 0, concat!("teahouse ", env!("CARGO_PKG_VERSION")));
    check(&["config", "--keys"], 0, "sessions.ping_interval  (TEAHOUSE_SESSIONS__PING_INTERVAL; default: 25s)");
    check(&["dance"], 64, "dance");
    check(&["--lissen"], 64, "--lissen");
    check(&["user", "role", "amy", "king"], 64, "user, moderator, admin");
    // The help of every command contains an example.
    for command in [
        "user create amy --role admin",
        "user list --json",
        "user passwd amy",
        "user role amy admin",
        "user disable amy",
        "user enable amy",
        "user mute amy --for 1h",
        "key create shop-backend",
        "key list",
        "key revoke shop-backend",
        "backup /var/backups",
        "restore /var/backups",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let depth = if ["backup", "restore"].contains(&words[0]) { 1 } else { 2 };
        check(&[&words[..depth], &["--help"]].concat(), 0, &format!("teahouse {command}"));
    }
}

struct NullSink;

impl CommitSink for NullSink {
    fn commit(&mut self, _: CommitGroup<'_>) {}
}

fn open_store(directory: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(SqliteOptions::new(directory), Box::new(NullSink)).unwrap())
}

#[tokio::test]
async fn users_are_changed_in_the_store_when_no_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let amy = NewUser {
        username: "amy".to_owned(),
        email: None,
        password_hash: String::new(),
        now: Timestamp(0),
        ids_start: 1,
    };
    let store = open_store(&data);
    let id = store.create_user(amy).await.unwrap().profile.id;
    let check = |arguments: &[&str], status, expect: &str| {
        let arguments: Vec<_> = ["user"].iter().chain(arguments).chain(&["--data", "data"]).copied().collect();
        let run = teahouse(directory.path(), &arguments, &[]);
        assert_eq!(run.status, Some(status), "{arguments:?}: {}{}", run.out, run.err);
        assert!(run.out.contains(expect) || run.err.contains(expect), "{}{}", run.out, run.err);
    };
    // Another process has the store open and does not answer on the control socket.
    check(&["role", "amy", "admin"], 69, "another process");
    store.close().await;
    drop(store);
    check(&["role", "AMY", "moderator"], 0, "amy is now moderator");
    check(&["disable", "amy"], 0, "amy is disabled");
    check(&["enable", "nobody"], 1, "there is no user \"nobody\"");
    let user = open_store(&data).user(id).await.unwrap().unwrap();
    assert_eq!((user.role, user.disabled), (UserRole::Moderator, true));
}

#[test]
fn a_wrong_data_directory_is_reported_and_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let run = teahouse(directory.path(), &["user", "disable", "amy", "--data", "typo"], &[]);
    assert_eq!(run.status, Some(69));
    assert!(run.err.contains("there is no data in typo"), "{}", run.err);
    assert!(!directory.path().join("typo").exists());
}
