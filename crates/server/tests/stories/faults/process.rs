//! The process: no free descriptors, SIGTERM under load, a panicking handler, data of another version.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use teahouse_testkit::Faults;

use super::assert_same_process;
use crate::fixture::{BINARY, Device, PATIENCE, RawSocket, Server, User};

#[tokio::test]
async fn without_free_descriptors_accepting_pauses_and_live_sessions_go_on() {
    let mut server = Server::without_limits(&[]);
    let pid = server.pid();
    let [amy, bea, cid] = [(7, "amy"), (8, "bea"), (9, "cid")].map(|(id, name)| User::of_site(&server, id, name));
    let (mut device, mut tab) = (amy.device().await, bea.open_tab().await);
    device.say(1, "before").await;

    let room_for = 4;
    server.limit_descriptors(server.descriptors() as u64 + room_for);
    // The kernel completes all connections. The server accepts as many as it may, and leaves the others in the backlog.
    let crowd = join_all((0..20).map(|_| RawSocket::connect(server.address()))).await;
    server.wait_for_log_line("accept failed; pausing");
    let waiting = tokio::spawn({
        let cid = cid.clone();
        async move { cid.open_tab().await }
    });
    for number in 0..20 {
        device.say(1, &format!("meanwhile {number}")).await;
    }
    for received in ["before".to_owned()].into_iter().chain((0..20).map(|number| format!("meanwhile {number}"))) {
        assert_eq!(tab.next_of("message").await["content"], json!(received));
    }
    tab.assert_alive().await;
    assert!(!waiting.is_finished(), "there is no place for another one");

    drop(crowd);
    let mut late = waiting.await.unwrap();
    device.say(1, "room again").await;
    assert_eq!(late.next_of("message").await["content"], "room again");
    assert_eq!(amy.lobby().await.len(), 22);
    device.assert_same_as_fresh_load().await;
    assert_same_process(&mut server, pid);
    server.assert_no_panic();
}

/// Sends messages until the server closes the session. Returns the acknowledged ids and the goodbye.
async fn send_until_closed(mut device: Device) -> (Vec<u64>, Value) {
    let mut acknowledged = Vec::new();
    loop {
        let key = device.new_client_id();
        let data = json!({"room": 1, "content": key, "client_id": key});
        match device.request_if_alive("message", data).await {
            Some(Ok(ack)) => acknowledged.push(ack["id"].as_u64().unwrap()),
            Some(Err(error)) => panic!("{error}"),
            None => break,
        }
    }
    (acknowledged, device.view.goodbye.clone().expect("a goodbye"))
}

#[tokio::test]
async fn p22_sigterm_under_load_sends_goodbye_and_loses_no_acknowledged_message() {
    const DRAIN: Duration = Duration::from_secs(10);
    let mut server = Server::without_limits(&[]);
    let user = |id: u64| User::of_site(&server, id, &format!("user{id}"));
    let (talkers, devices, tabs) = ((1..=4).map(user), (11..=40).map(user), (51..=80).map(user));
    let talkers: Vec<User> = talkers.collect();
    let (devices, tabs): (Vec<User>, Vec<User>) = (devices.collect(), tabs.collect());
    let mut devices = join_all(devices.iter().map(User::device)).await;
    let mut tabs = join_all(tabs.iter().map(User::open_tab)).await;
    let talking: Vec<_> = join_all(talkers.iter().map(User::device)).await;
    let talking: Vec<_> = talking.into_iter().map(|device| tokio::spawn(send_until_closed(device))).collect();
    for _ in 0..20 {
        tabs[0].next_of("message").await;
    }

    let begun = Instant::now();
    server.terminate();
    let mut acknowledged = Vec::new();
    let mut returns = Vec::new();
    for goodbye in join_all(devices.iter_mut().map(|device| device.expect_close(1012))).await {
        returns.push(goodbye["retry_ms"].as_u64().unwrap());
    }
    for task in talking {
        let (ids, goodbye) = task.await.unwrap();
        assert_eq!((&goodbye["code"], &goodbye["reconnect"]), (&json!(1012), &json!(true)), "{goodbye}");
        assert!(!ids.is_empty(), "the server was under load");
        acknowledged.extend(ids);
        returns.push(goodbye["retry_ms"].as_u64().unwrap());
    }
    for (_, code, _) in join_all(tabs.iter_mut().map(crate::fixture::Tab::read_to_close)).await {
        assert_eq!(code, 1012);
    }
    assert!(server.wait_for_exit(DRAIN).await.success());
    assert!(begun.elapsed() <= DRAIN, "{:?}", begun.elapsed());
    assert_eq!(
        returns.iter().collect::<BTreeSet<_>>().len(),
        returns.len(),
        "each client has its own retry time: {returns:?}"
    );

    server.restart();
    let stored: Vec<u64> = talkers[0].lobby().await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    for id in acknowledged {
        assert_eq!(stored.iter().filter(|stored| **stored == id).count(), 1, "message {id}");
    }
    for device in &mut devices {
        device.reconnect().await;
    }
    devices[0].assert_same_as_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_panicking_handler_ends_only_its_request() {
    let faults = Faults::new();
    let mut server = Server::with_faults(&faults, &[]);
    let pid = server.pid();
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut device, mut tab) = (amy.device().await, bea.open_tab().await);
    let say = async || {
        // Without a client_id the server makes a random one. The fault makes that panic in the middle of a handler.
        let body = Some(json!({"content": "never"}).to_string());
        amy.try_request(Method::POST, "/api/v1/rooms/1/messages", &[], body).await.unwrap()
    };
    for _ in 0..4 {
        faults.fail_random(1);
        let answer = say().await;
        assert!(!answer.text.contains("random"), "an internal error reveals no detail: {}", answer.text);
        answer.expect_error(500, "internal");
    }
    assert_eq!(faults.hits().failed_random, 4);
    assert!(server.log().matches("panicked").count() >= 4, "{}", server.log());

    let ack = device.say(1, "after").await;
    assert_eq!(ack["seq"], 1, "nothing was stored");
    assert_eq!(tab.next_of("message").await["content"], "after");
    say().await.expect(201);
    assert_eq!(amy.lobby().await.len(), 2);
    assert_same_process(&mut server, pid);
}

#[tokio::test]
async fn newer_or_half_migrated_data_is_refused_with_instructions_and_left_alone() {
    let mut server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    amy.say("hi").await;
    assert!(server.stop().await.success());
    let database = server.data().join("teahouse.db");
    let damage = |sql: &str| rusqlite::Connection::open(&database).unwrap().execute_batch(sql).unwrap();
    let known: i64 = {
        let file = rusqlite::Connection::open(&database).unwrap();
        file.query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'schema'", [], |row| row.get(0)).unwrap()
    };
    for (wrong, right, instruction) in [
        (
            "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1');
             UPDATE meta SET value = '99' WHERE key = 'schema'"
                .to_owned(),
            format!(
                "DELETE FROM refinery_schema_history WHERE version = 99;
                 UPDATE meta SET value = '{known}' WHERE key = 'schema'"
            ),
            "start that version, or restore a backup",
        ),
        (
            "UPDATE meta SET value = '1' WHERE key = 'schema'".to_owned(),
            format!("UPDATE meta SET value = '{known}' WHERE key = 'schema'"),
            "restore a backup, or start the version that last worked with it",
        ),
    ] {
        damage(&wrong);
        let before = std::fs::read(&database).unwrap();
        let data = server.data().to_owned();
        let starting = tokio::task::spawn_blocking(move || {
            let mut process = std::process::Command::new(BINARY);
            process.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).env_clear().output().unwrap()
        });
        let output = tokio::time::timeout(PATIENCE, starting).await.expect("the server refuses to start").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(instruction), "{said}");
        assert_eq!(std::fs::read(&database).unwrap(), before, "the server left it alone");
        damage(&right);
    }
    server.restart();
    assert_eq!(amy.lobby().await.len(), 1);
}
