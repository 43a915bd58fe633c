//! `teahouse user …`: each command with a server running and without.

use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, Run, With, run};

const PASSWORD: &str = "oolong7\n";

#[tokio::test]
async fn a_user_who_was_made_logs_in_with_the_password_that_was_piped_in() {
    for with in [With::Server, With::NoServer] {
        let mut house = House::open(&[]);
        let made = house.do_with(with, |house| {
            house.typing(PASSWORD, &["user", "create", "amy", "--email", "amy@example.org", "--role", "moderator"])
        });
        made.expect(0, "amy is made, with the id 1 and the role moderator");
        for name in ["amy", "amy@example.org"] {
            let token = house.log_in(name, "oolong7").await.unwrap();
            let (status, account) = house.me(&token).await;
            assert_eq!((status, &account["username"], &account["role"]), (200, &json!("amy"), &json!("moderator")));
        }
    }
}

#[tokio::test]
async fn a_password_that_was_set_ends_every_login_and_its_socket() {
    let mut house = House::open(&[]);
    house.typing(PASSWORD, &["user", "create", "amy"]).expect(0, "amy");
    let token = house.log_in("amy", "oolong7").await.unwrap();
    let mut tab = house.tab(&token).await;
    house.typing("pu-erh-8\r\n", &["user", "passwd", "AMY"]).expect(0, "amy has a new password");
    assert_eq!(tab.until_closed().await.0, 1008);
    assert_eq!(house.me(&token).await.0, 401);
    assert_eq!(house.log_in("amy", "oolong7").await, None);
    let token = house.log_in("amy", "pu-erh-8").await.unwrap();
    assert_eq!(house.me(&token).await.0, 200, "a login right after it is no old one");

    let set = house.do_with(With::NoServer, |house| house.typing("sencha-9\n", &["user", "passwd", "amy"]));
    set.expect(0, "amy has a new password");
    assert_eq!(house.me(&token).await.0, 401);
    assert!(house.log_in("amy", "sencha-9").await.is_some());
}

#[tokio::test]
async fn a_password_that_was_made_here_is_all_that_is_printed() {
    let house = House::open(&[]);
    for command in ["create", "passwd"] {
        let made = house.command(&["user", command, "amy", "--generate"]).expect(0, "the password is");
        let password = made.out.strip_suffix('\n').unwrap();
        assert!(password.len() >= 20 && !password.contains(char::is_whitespace), "{made:?}");
        assert!(!made.err.contains(password));
        assert!(house.log_in("amy", password).await.is_some(), "{command}");
    }
}

#[test]
fn what_cannot_be_an_account_is_refused_and_nothing_is_changed() {
    for with in [With::Server, With::NoServer] {
        let mut house = House::open(&[]);
        house.typing(PASSWORD, &["user", "create", "amy", "--email", "a@b.org"]).expect(0, "amy");
        house.do_with(with, |house| {
            let check = |typed: &str, arguments: &[&str], status, said: &str| {
                let run: Run = house.typing(typed, &[&["user"], arguments].concat());
                assert_eq!(run.out, "", "{run:?}");
                run.expect(status, said);
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
            let listed = house.command(&["user", "list", "--json"]).expect(0, "amy");
            assert_eq!(serde_json::from_str::<Vec<Value>>(&listed.out).unwrap().len(), 1);
        });
    }
}

#[tokio::test]
async fn everybody_is_listed_for_people_and_for_programs() {
    let mut house = House::open(&[]);
    let empty = house.command(&["user", "list", "--json"]).expect(0, "[]");
    assert_eq!(serde_json::from_str::<Value>(&empty.out).unwrap(), json!([]));
    for name in ["amy", "小明同学"] {
        house.typing(PASSWORD, &["user", "create", name]).expect(0, name);
    }
    house.command(&["user", "disable", "小明同学"]).expect(0, "is disabled");
    house.command(&["user", "mute", "amy", "--for", "1h"]).expect(0, "amy may not write until 2");
    for with in [With::Server, With::NoServer] {
        let (json, table) = house.do_with(with, |house| {
            (house.command(&["user", "list", "--json"]), house.command(&["user", "list"]).expect(0, "USERNAME"))
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
async fn who_is_muted_may_not_write_until_the_mute_is_over_or_taken_back() {
    let mut house = House::open(&[]);
    house.typing(PASSWORD, &["user", "create", "amy"]).expect(0, "amy");
    let token = house.log_in("amy", "oolong7").await.unwrap();
    assert_eq!(house.say(&token, "hi").await.0, 200);
    for with in [With::Server, With::NoServer] {
        let mute = |house: &House| house.command(&["user", "mute", "amy", "--for", "1h"]);
        house.do_with(with, mute).expect(0, "amy may not write until");
        assert_eq!(house.say(&token, "ho").await.0, 403);
        let unmute = |house: &House| house.command(&["user", "mute", "amy", "--off"]);
        house.do_with(with, unmute).expect(0, "amy may write again");
        assert_eq!(house.say(&token, "ho").await.0, 200);
    }
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once() {
    let house = House::open(&[]);
    house.typing(PASSWORD, &["user", "create", "amy"]).expect(0, "amy");
    let token = house.log_in("amy", "oolong7").await.unwrap();
    let mut tab = house.tab(&token).await;
    house.command(&["user", "disable", "amy"]).expect(0, "amy is disabled");
    assert_eq!(tab.until_closed().await.0, 1008);
    assert_eq!(house.me(&token).await.0, 401);
    house.command(&["user", "enable", "amy"]).expect(0, "amy is enabled");
    assert!(house.log_in("amy", "oolong7").await.is_some());
}

#[tokio::test]
async fn beside_a_sites_tokens_an_account_of_our_own_stays_out_of_the_sites_ids() {
    let environment = [("TEAHOUSE_AUTH__JWT_SECRET", "the secret of the site")];
    for with in [With::Server, With::NoServer] {
        let mut house = House::open(&environment);
        let made = house.do_with(with, |house| house.typing(PASSWORD, &["user", "create", "amy"]));
        made.expect(0, "with the id 1099511627776");
        assert!(house.log_in("amy", "oolong7").await.is_some());
        let form = json!({ "username": "bob", "password": "oolong7", "email": "bob@example.org" });
        assert_eq!(house.ask(Method::POST, "/api/auth/register", "", form).await.0, 403);
    }
}

#[test]
fn without_data_there_is_nothing_to_type_a_password_for() {
    let directory = tempfile::tempdir().unwrap();
    let run = run(directory.path(), &["user", "create", "amy", "--data", "typo"], &[], PASSWORD);
    run.expect(69, "there is no data in typo");
    assert!(!directory.path().join("typo").exists());
}
