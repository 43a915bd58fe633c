//! The process itself: descriptors run out, it is asked to go under load, a handler panics, its data is not its own.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use teahouse_chaos::Faults;

use super::assert_one_life;
use crate::stage::{BINARY, Device, PATIENCE, Person, Server, Wire};

#[tokio::test]
async fn without_free_descriptors_accepting_pauses_and_live_sessions_go_on() {
    let mut server = Server::without_limits(&[]);
    let pid = server.pid();
    let [amy, bea, cid] = [(7, "amy"), (8, "bea"), (9, "cid")].map(|(id, name)| Person::of_site(&server, id, name));
    let (mut device, mut tab) = (amy.device().await, bea.opens_tab().await);
    device.says(1, "before").await;

    let room_for = 4;
    server.limits_descriptors(server.descriptors() as u64 + room_for);
    // They connect, since the kernel takes them; the server takes what it may and leaves the others there.
    let crowd = join_all((0..20).map(|_| Wire::connect(server.address()))).await;
    server.log_line("cannot accept connections");
    let waiting = tokio::spawn({
        let cid = cid.clone();
        async move { cid.opens_tab().await }
    });
    for number in 0..20 {
        device.says(1, &format!("meanwhile {number}")).await;
    }
    for heard in ["before".to_owned()].into_iter().chain((0..20).map(|number| format!("meanwhile {number}"))) {
        assert_eq!(tab.next_of("message").await["content"], json!(heard));
    }
    tab.is_alive().await;
    assert!(!waiting.is_finished(), "there is no place for another one");

    drop(crowd);
    let mut late = waiting.await.unwrap();
    device.says(1, "room again").await;
    assert_eq!(late.next_of("message").await["content"], "room again");
    assert_eq!(amy.lobby().await.len(), 22);
    device.shows_the_same_as_a_fresh_load().await;
    assert_one_life(&mut server, pid);
    server.assert_no_panic();
}

/// Says things until it is sent away; what was acknowledged, and what it was told in parting.
async fn talks_until_sent_away(mut device: Device) -> (Vec<u64>, Value) {
    let mut acknowledged = Vec::new();
    loop {
        let key = device.fresh_key();
        let data = json!({"room": 1, "content": key, "client_id": key});
        match device.tries_while_it_lives("message", data).await {
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
    let person = |id: u64| Person::of_site(&server, id, &format!("user{id}"));
    let (talkers, devices, tabs) = ((1..=4).map(person), (11..=40).map(person), (51..=80).map(person));
    let talkers: Vec<Person> = talkers.collect();
    let (devices, tabs): (Vec<Person>, Vec<Person>) = (devices.collect(), tabs.collect());
    let mut devices = join_all(devices.iter().map(Person::device)).await;
    let mut tabs = join_all(tabs.iter().map(Person::opens_tab)).await;
    let talking: Vec<_> = join_all(talkers.iter().map(Person::device)).await;
    let talking: Vec<_> = talking.into_iter().map(|device| tokio::spawn(talks_until_sent_away(device))).collect();
    for _ in 0..20 {
        tabs[0].next_of("message").await;
    }

    let begun = Instant::now();
    server.terminate();
    let mut acknowledged = Vec::new();
    let mut returns = Vec::new();
    for goodbye in join_all(devices.iter_mut().map(|device| device.is_closed(1012))).await {
        returns.push(goodbye["retry_ms"].as_u64().unwrap());
    }
    for task in talking {
        let (ids, goodbye) = task.await.unwrap();
        assert_eq!((&goodbye["code"], &goodbye["reconnect"]), (&json!(1012), &json!(true)), "{goodbye}");
        assert!(!ids.is_empty(), "it was under load");
        acknowledged.extend(ids);
        returns.push(goodbye["retry_ms"].as_u64().unwrap());
    }
    for (_, code, _) in join_all(tabs.iter_mut().map(crate::stage::Tab::until_closed)).await {
        assert_eq!(code, 1012);
    }
    assert!(server.ended(DRAIN).await.success());
    assert!(begun.elapsed() <= DRAIN, "{:?}", begun.elapsed());
    assert_eq!(returns.iter().collect::<BTreeSet<_>>().len(), returns.len(), "each has its own: {returns:?}");

    server.restart();
    let stored: Vec<u64> = talkers[0].lobby().await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    for id in acknowledged {
        assert_eq!(stored.iter().filter(|stored| **stored == id).count(), 1, "message {id}");
    }
    for device in &mut devices {
        device.comes_back().await;
    }
    devices[0].shows_the_same_as_a_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn a_panicking_handler_ends_only_its_request() {
    let faults = Faults::new();
    let mut server = Server::under(&faults, &[]);
    let pid = server.pid();
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let (mut device, mut tab) = (amy.device().await, bea.opens_tab().await);
    let say = async || {
        // Who gives no client_id gets one by chance, of which there is none: a panic in the thick of a handler.
        let body = Some(json!({"content": "never"}).to_string());
        amy.try_ask(Method::POST, "/api/v1/rooms/1/messages", &[], body).await.unwrap()
    };
    for _ in 0..4 {
        faults.random_fails(1);
        let answer = say().await;
        assert!(!answer.text.contains("random"), "what went wrong inside is not told: {}", answer.text);
        answer.refused(500, "internal");
    }
    assert_eq!(faults.hits().failed_random, 4);
    assert!(server.log().matches("panicked").count() >= 4, "{}", server.log());

    let ack = device.says(1, "after").await;
    assert_eq!(ack["seq"], 1, "nothing of it was stored");
    assert_eq!(tab.next_of("message").await["content"], "after");
    say().await.expect(201);
    assert_eq!(amy.lobby().await.len(), 2);
    assert_one_life(&mut server, pid);
}

#[tokio::test]
async fn newer_or_half_migrated_data_is_refused_with_instructions_and_left_alone() {
    let mut server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    amy.says("hi").await;
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
        let output = tokio::time::timeout(PATIENCE, starting).await.expect("it does not start").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(instruction), "{said}");
        assert_eq!(std::fs::read(&database).unwrap(), before, "it was left alone");
        damage(&right);
    }
    server.restart();
    assert_eq!(amy.lobby().await.len(), 1);
}
