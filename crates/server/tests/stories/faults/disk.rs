//! A disk that is full, read-only or slow: writing is answered `overloaded` or waits, and everything else goes on.

use std::time::Duration;

use serde_json::{Value, json};
use teahouse_chaos::{Disk, Faults};

use super::{assert_one_life, becomes_ready};
use crate::stage::{Device, Person, Server, Tab, settles};

#[tokio::test]
async fn a_full_disk_refuses_writes_halves_nothing_and_recovers_without_restart() {
    writing_is_refused_for_a_while(Disk::Full).await;
}

#[tokio::test]
async fn a_read_only_disk_refuses_writes_halves_nothing_and_recovers_without_restart() {
    writing_is_refused_for_a_while(Disk::ReadOnly).await;
}

async fn writing_is_refused_for_a_while(disk: Disk) {
    let faults = Faults::new();
    let mut server = Server::under(&faults, &[]);
    let pid = server.pid();
    let [amy, bea, cid] = [(7, "amy"), (8, "bea"), (9, "cid")].map(|(id, name)| Person::of_site(&server, id, name));
    cid.get("/api/auth/me").await.expect(200);
    let (mut device, mut tab) = (amy.device().await, bea.opens_tab().await);
    let before = device.says(1, "before").await;
    assert_eq!(tab.next_of("message").await["content"], "before");
    becomes_ready(&server, 200).await;

    faults.disk(disk);
    nothing_can_be_written(&mut device, &mut tab, &before).await;
    for (path, body) in [
        ("/api/chat/send", json!({"content": "lost"})),
        ("/api/messages/send", json!({"receiver_id": amy.id, "content": "lost"})),
        ("/api/v1/rooms/1/messages", json!({"content": "lost", "client_id": "lost"})),
    ] {
        let answer = bea.post(path, body).await;
        assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1, "{path}");
        answer.refused(503, "overloaded");
    }
    becomes_ready(&server, 503).await;
    let finding = Person::stranger(&server).get("/ready").await.body();
    assert_eq!(finding, json!({"status": "unavailable", "store": "failing", "hub": "ok", "draining": false}));

    // Reading goes on, for who is there, who comes back and who comes anew; only somebody unknown cannot be noted.
    reading_goes_on(&mut device, &bea).await;
    let mut newcomer = cid.device().await;
    newcomer.loads_all_of(1).await;
    newcomer.comes_back().await;
    bea.opens_tab().await.is_alive().await;
    let stranger = Person::of_site(&server, 99, "nobody knows them");
    assert_eq!(stranger.tries_to_open_tab().await.unwrap_err(), "503 Service Unavailable");
    device.is_alive().await;
    tab.is_alive().await;
    assert!(faults.hits().refused_writes >= 10, "{:?}", faults.hits());

    faults.disk(Disk::Well);
    becomes_ready(&server, 200).await;
    // Nothing of what was refused happened: the same key is new, and no number is missing.
    let again = device.does("message", json!({"room": 1, "content": "again", "client_id": "refused-key"})).await;
    assert!(again.get("duplicate").is_none(), "{again}");
    for number in ["seq", "version"] {
        assert_eq!(again[number].as_u64().unwrap(), before[number].as_u64().unwrap() + 1, "{again}");
    }
    assert_eq!(tab.next_of("message").await["content"], "again");
    let texts: Vec<Value> = bea.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(texts, ["before", "again"]);
    assert_eq!(amy.get("/api/conversations").await.expect(200).data()["conversations"], json!([]));
    stranger.opens_tab().await.is_alive().await;
    device.shows_the_same_as_a_fresh_load().await;
    newcomer.shows_the_same_as_a_fresh_load().await;
    assert_one_life(&mut server, pid);
    server.assert_no_panic();
    assert!(server.stop().await.success());
    assert_whole(&server);
}

/// By every request that writes, over both kinds of socket.
async fn nothing_can_be_written(device: &mut Device, tab: &mut Tab, before: &Value) {
    let message = &before["id"];
    for (kind, data) in [
        ("message", json!({"room": 1, "content": "refused", "client_id": "refused-key"})),
        ("edit", json!({"message": message, "content": "changed"})),
        ("react", json!({"message": message, "emoji": "👍", "on": true})),
        ("delete", json!({"message": message})),
        ("create", json!({"kind": "private", "name": "tea", "title": ""})),
        ("open", json!({"user": 8})),
    ] {
        let error = device.is_refused(kind, data, "overloaded").await;
        assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 1), "{kind}: {error}");
    }
    tab.say("refused").await;
    let toast = tab.next_of("notification").await;
    assert_eq!((&toast["level"], &toast["code"]), (&json!("error"), &json!("overloaded")), "{toast}");
}

async fn reading_goes_on(device: &mut Device, bea: &Person) {
    let page = device.does("history", json!({"room": 1, "before": 1000, "limit": 10})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["messages"][0]["content"], "before");
    for path in ["/api/auth/me", "/api/chat/messages", "/api/conversations", "/api/chat/online-users", "/live"] {
        bea.get(path).await.expect(200);
    }
}

fn assert_whole(server: &Server) {
    let file = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[tokio::test]
async fn a_slow_disk_delays_acks_and_loses_none() {
    let faults = Faults::new();
    let mut server = Server::under(&faults, &[]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let (mut device, mut tab) = (amy.device().await, bea.opens_tab().await);
    faults.syncs_take(Duration::from_millis(40));
    faults.writes_take(Duration::from_millis(5));
    let texts: Vec<String> = (0..100).map(|number| format!("slowly {number}")).collect();
    device.says_many(1, texts.clone()).await;
    for text in &texts {
        assert_eq!(tab.next_of("message").await["content"], json!(text), "in order");
    }
    let hits = faults.hits();
    assert!(hits.slowed_syncs > 0 && hits.slowed_writes > 0, "{hits:?}");
    device.shows_the_same_as_a_fresh_load().await;
    server.kill9();
    faults.syncs_take(Duration::ZERO);
    faults.writes_take(Duration::ZERO);
    server.restart();
    let stored: Vec<Value> = bea.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(stored, texts, "what was acknowledged was on the slow disk");
}

#[tokio::test]
async fn h13_a_hanging_disk_is_reported_bounds_the_queue_and_loses_nothing_queued() {
    const QUEUE: u64 = 8;
    let faults = Faults::new();
    let environment = [("TEAHOUSE_STORE__QUEUE_MAX", "8"), ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")];
    let mut server = Server::under(&faults, &environment);
    let pid = server.pid();
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let (mut device, mut tab) = (amy.device().await, bea.opens_tab().await);
    becomes_ready(&server, 200).await;

    // The writer sits in a sync that takes ten minutes: whatever is asked now waits behind it.
    faults.syncs_take(Duration::from_secs(600));
    let say = |number: u64| json!({"room": 1, "content": format!("{number}"), "client_id": format!("{number}")});
    let mut asked = vec![device.asks("message", say(0)).await];
    settles(async || faults.hits().slowed_syncs >= 1).await;
    // A probe that asks whether all is well waits in that queue too.
    becomes_ready(&server, 503).await;
    let finding = Person::stranger(&server).get("/ready").await.body();
    assert_eq!((&finding["store"], &finding["hub"]), (&json!("failing"), &json!("ok")), "{finding}");
    for number in 1..=QUEUE {
        asked.push(device.asks("message", say(number)).await);
    }
    settles(async || server.metric("teahouse_store_writes_waiting").await == QUEUE).await;
    bea.post("/api/chat/send", json!({"content": "one too many"})).await.refused(503, "overloaded");
    tab.say("one too many").await;
    assert_eq!(tab.next_of("notification").await["code"], "overloaded");
    // Nobody else is kept waiting.
    bea.get("/api/chat/messages").await.expect(200);
    tab.is_alive().await;
    // However much more is asked, nothing of it is kept.
    insists(&mut device, 200).await;
    let before = server.memory_kib();
    insists(&mut device, 5000).await;
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB, by some 20 MB that were refused");

    faults.syncs_take(Duration::ZERO);
    let mut acknowledged = Vec::new();
    for (number, id) in asked.iter().enumerate() {
        match device.answer(id).await {
            Ok(_) => acknowledged.push(json!(number.to_string())),
            Err(error) => assert_eq!(error["code"], "overloaded", "{error}"),
        }
    }
    assert!(acknowledged.len() > 1, "some waited and were stored: {acknowledged:?}");
    becomes_ready(&server, 200).await;
    let stored: Vec<Value> = bea.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(stored, acknowledged, "what was acknowledged, and nothing that was refused");
    device.is_alive().await;
    assert_one_life(&mut server, pid);
}

/// Says so many long messages that there is no room for.
async fn insists(device: &mut Device, times: usize) {
    let long = "x".repeat(4000);
    for _ in 0..times {
        let key = device.fresh_key();
        let data = json!({"room": 1, "content": long, "client_id": key});
        device.is_refused("message", data, "overloaded").await;
    }
}
