//! `teahouse user …`: each command with and without a running server.

use reqwest::Method;
use serde_json::{Value, json};

use super::test_server::{CommandOutput, ServerState, TestServer, run};

const PASSWORD: &str = "oolong7\n";

#[tokio::test]
async fn a_created_user_logs_in_with_the_password_from_standard_input() {
    for state in [ServerState::Running, ServerState::Stopped] {
        let mut server = TestServer::open(&[]);
        let made = server.with_state(state, |server| {
            server.command_with_input(
                PASSWORD,
                &["user", "create", "amy", "--email", "amy@example.org", "--role", "moderator"],
            )
        });
        made.assert_output(0, "amy is created, with the id 1 and the role moderator");
        for name in ["amy", "amy@example.org"] {
            let token = server.log_in(name, "oolong7").await.unwrap();
            let (status, account) = server.own_account(&token).await;
            assert_eq!((status, &account["username"], &account["role"]), (200, &json!("amy"), &json!("moderator")));
        }
    }
}

#[tokio::test]
async fn setting_a_password_ends_every_login_and_its_socket() {
    let mut server = TestServer::open(&[]);
    server.command_with_input(PASSWORD, &["user", "create", "amy"]).assert_output(0, "amy");
    let token = server.log_in("amy", "oolong7").await.unwrap();
    let mut socket = server.connect_classic(&token).await;
    server.command_with_input("pu-erh-8\r\n", &["user", "passwd", "AMY"]).assert_output(0, "amy has a new password");
    assert_eq!(socket.read_close().await.0, 1008);
    assert_eq!(server.own_account(&token).await.0, 401);
    assert_eq!(server.log_in("amy", "oolong7").await, None);
    let token = server.log_in("amy", "pu-erh-8").await.unwrap();
    assert_eq!(server.own_account(&token).await.0, 200, "a login right after the change stays valid");

    let set = server
        .with_state(ServerState::Stopped, |server| server.command_with_input("sencha-9\n", &["user", "passwd", "amy"]));
    set.assert_output(0, "amy has a new password");
    assert_eq!(server.own_account(&token).await.0, 401);
    assert!(server.log_in("amy", "sencha-9").await.is_some());
}

#[tokio::test]
async fn a_generated_password_is_the_only_line_on_standard_output() {
    let server = TestServer::open(&[]);
    for command in ["create", "passwd"] {
        let made = server.command(&["user", command, "amy", "--generate"]).assert_output(0, "the password is");
        let password = made.out.strip_suffix('\n').unwrap();
        assert!(password.len() >= 20 && !password.contains(char::is_whitespace), "{made:?}");
        assert!(!made.err.contains(password));
        assert!(server.log_in("amy", password).await.is_some(), "{command}");
    }
}

#[test]
fn an_invalid_account_is_refused_and_nothing_is_changed() {
    for state in [ServerState::Running, ServerState::Stopped] {
        let mut server = TestServer::open(&[]);
        server.command_with_input(PASSWORD, &["user", "create", "amy", "--email", "a@b.org"]).assert_output(0, "amy");
        server.with_state(state, |server| {
            let check = |typed: &str, arguments: &[&str], status, said: &str| {
                let run: CommandOutput = server.command_with_input(typed, &[&["user"], arguments].concat());
                assert_eq!(run.out, "", "{run:?}");
                run.assert_output(status, said);
            };
            check(PASSWORD, &["create", "Amy"], 1, "this username is taken");
            check(PASSWORD, &["create", "bob", "--email", "A@B.org"], 1, "this e-mail address is taken");
            check("rt1\n", &["create", "bob"], 64, "too short");
            check("letters\n", &["create", "bob"], 64, "a letter and a digit");
            check("", &["create", "bob"], 64, "--generate");
            check("\n", &["create", "bob"], 64, "--generate");
            check(PASSWORD, &["create", "b"], 64, "3 to 20");
            check(PASSWORD, &["create", "b o b"], 64, "letters, digits");
            check(PASSWORD, &["create", "bob", "--email", "bob"], 64, "e-mail");
            check(PASSWORD, &["create", "bob", "oolong7"], 64, "oolong7");
            check(PASSWORD, &["passwd", "bob"], 1, "teahouse user list");
            check("letters\n", &["passwd", "amy"], 64, "a letter and a digit");
            check("", &["mute", "bob", "--off"], 1, "there is no user \"bob\"");
            let listed = server.command(&["user", "list", "--json"]).assert_output(0, "amy");
            assert_eq!(serde_json::from_str::<Vec<Value>>(&listed.out).unwrap().len(), 1);
        });
    }
}

#[tokio::test]
async fn users_are_listed_as_a_table_and_as_json() {
    let mut server = TestServer::open(&[]);
    let empty = server.command(&["user", "list", "--json"]).assert_output(0, "[]");
    assert_eq!(serde_json::from_str::<Value>(&empty.out).unwrap(), json!([]));
    for name in ["amy", "小明同学"] {
        server.command_with_input(PASSWORD, &["user", "create", name]).assert_output(0, name);
    }
    server.command(&["user", "disable", "小明同学"]).assert_output(0, "is disabled");
    server.command(&["user", "mute", "amy", "--for", "1h"]).assert_output(0, "amy may not write until 2");
    for state in [ServerState::Running, ServerState::Stopped] {
        let (json, table) = server.with_state(state, |server| {
            (
                server.command(&["user", "list", "--json"]),
                server.command(&["user", "list"]).assert_output(0, "USERNAME"),
            )
        });
        let users: Vec<Value> = serde_json::from_str(&json.out).unwrap();
        let [amy, ming] = &users[..] else { panic!("{json:?}") };
        assert_eq!((&amy["username"], &amy["disabled"], &amy["role"]), (&json!("amy"), &json!(false), &json!("user")));
        assert!(amy["muted_until"].is_string() && amy["created_at"].is_string(), "{amy}");
        assert_eq!((&ming["id"], &ming["disabled"], &ming["muted_until"]), (&json!(2), &json!(true), &Value::Null));
        let rows: Vec<&str> = table.out.lines().collect();
        assert!(rows.len() == 3 && rows[1].contains("muted until") && rows[2].ends_with("disabled"), "{table:?}");
    }
}

#[tokio::test]
async fn a_muted_user_cannot_send_until_the_mute_ends() {
    let mut server = TestServer::open(&[]);
    server.command_with_input(PASSWORD, &["user", "create", "amy"]).assert_output(0, "amy");
    let token = server.log_in("amy", "oolong7").await.unwrap();
    assert_eq!(server.send_message(&token, "hi").await.0, 200);
    for state in [ServerState::Running, ServerState::Stopped] {
        let mute = |server: &TestServer| server.command(&["user", "mute", "amy", "--for", "1h"]);
        server.with_state(state, mute).assert_output(0, "amy may not write until");
        assert_eq!(server.send_message(&token, "ho").await.0, 403);
        let unmute = |server: &TestServer| server.command(&["user", "mute", "amy", "--off"]);
        server.with_state(state, unmute).assert_output(0, "amy may write again");
        assert_eq!(server.send_message(&token, "ho").await.0, 200);
    }
}

#[tokio::test]
async fn disabling_a_user_ends_sessions_and_tokens_at_once() {
    let server = TestServer::open(&[]);
    server.command_with_input(PASSWORD, &["user", "create", "amy"]).assert_output(0, "amy");
    let token = server.log_in("amy", "oolong7").await.unwrap();
    let mut socket = server.connect_classic(&token).await;
    server.command(&["user", "disable", "amy"]).assert_output(0, "amy is disabled");
    assert_eq!(socket.read_close().await.0, 1008);
    assert_eq!(server.own_account(&token).await.0, 401);
    server.command(&["user", "enable", "amy"]).assert_output(0, "amy is enabled");
    assert!(server.log_in("amy", "oolong7").await.is_some());
}

#[tokio::test]
async fn with_a_sites_tokens_local_accounts_get_ids_outside_of_the_sites() {
    let environment = [("TEAHOUSE_AUTH__JWT_SECRET", "the secret of the site")];
    for state in [ServerState::Running, ServerState::Stopped] {
        let mut server = TestServer::open(&environment);
        let made = server.with_state(state, |server| server.command_with_input(PASSWORD, &["user", "create", "amy"]));
        made.assert_output(0, "with the id 1099511627776");
        assert!(server.log_in("amy", "oolong7").await.is_some());
        let form = json!({ "username": "bob", "password": "oolong7", "email": "bob@example.org" });
        assert_eq!(server.request(Method::POST, "/api/auth/register", "", form).await.0, 403);
    }
}

#[test]
fn without_data_no_password_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let run = run(directory.path(), &["user", "create", "amy", "--data", "typo"], &[], PASSWORD);
    run.assert_output(69, "there is no data in typo");
    assert!(!directory.path().join("typo").exists());
}
