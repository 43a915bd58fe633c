//! A full, read-only or slow disk: writes are answered `overloaded` or wait, and everything else works.

use std::time::Duration;

use serde_json::{Value, json};
use teahouse_testkit::{Disk, Faults};

use super::{assert_same_process, wait_for_ready};
use crate::fixture::{Device, Server, Tab, User, wait_until};

#[tokio::test]
async fn a_full_disk_refuses_writes_halves_nothing_and_recovers_without_restart() {
    assert_writes_refused(Disk::Full).await;
}

#[tokio::test]
async fn a_read_only_disk_refuses_writes_halves_nothing_and_recovers_without_restart() {
    assert_writes_refused(Disk::ReadOnly).await;
}

async fn assert_writes_refused(disk: Disk) {
    let faults = Faults::new();
    let mut server = Server::with_faults(&faults, &[]);
    let pid = server.pid();
    let [amy, bea, cid] = [(7, "amy"), (8, "bea"), (9, "cid")].map(|(id, name)| User::of_site(&server, id, name));
    cid.get("/api/auth/me").await.expect(200);
    let (mut device, mut tab) = (amy.device().await, bea.open_tab().await);
    let before = device.say(1, "before").await;
    assert_eq!(tab.next_of("message").await["content"], "before");
    wait_for_ready(&server, 200).await;

    faults.set_disk(disk);
    assert_nothing_writable(&mut device, &mut tab, &before).await;
    for (path, body) in [
        ("/api/chat/send", json!({"content": "lost"})),
        ("/api/messages/send", json!({"receiver_id": amy.id, "content": "lost"})),
        ("/api/v1/rooms/1/messages", json!({"content": "lost", "client_id": "lost"})),
    ] {
        let answer = bea.post(path, body).await;
        assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1, "{path}");
        answer.expect_error(503, "overloaded");
    }
    wait_for_ready(&server, 503).await;
    let finding = User::anonymous(&server).get("/ready").await.body();
    assert_eq!(finding, json!({"status": "unavailable", "store": "failing", "hub": "ok", "draining": false}));

    // Reads work for live, returning and new sessions. Only a user whom the server has never seen cannot be stored.
    assert_readable(&mut device, &bea).await;
    let mut newcomer = cid.device().await;
    newcomer.load_all(1).await;
    newcomer.reconnect().await;
    cid.open_tab().await.assert_alive().await;
    let stranger = User::of_site(&server, 99, "nobody knows them");
    assert_eq!(stranger.try_open_tab().await.unwrap_err(), "503");
    device.assert_alive().await;
    tab.assert_alive().await;
    assert!(faults.hits().refused_writes >= 10, "{:?}", faults.hits());

    faults.set_disk(Disk::Healthy);
    wait_for_ready(&server, 200).await;
    // Refused writes had no effect: the same key is new, and seqs have no gap.
    let again = device.request("message", json!({"room": 1, "content": "again", "client_id": "refused-key"})).await;
    assert!(again.get("duplicate").is_none(), "{again}");
    for number in ["seq", "version"] {
        assert_eq!(again[number].as_u64().unwrap(), before[number].as_u64().unwrap() + 1, "{again}");
    }
    assert_eq!(tab.next_of("message").await["content"], "again");
    let texts: Vec<Value> = bea.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(texts, ["before", "again"]);
    assert_eq!(amy.get("/api/conversations").await.expect(200).data()["conversations"], json!([]));
    stranger.open_tab().await.assert_alive().await;
    device.assert_same_as_fresh_load().await;
    newcomer.assert_same_as_fresh_load().await;
    assert_same_process(&mut server, pid);
    server.assert_no_panic();
    assert!(server.stop().await.success());
    assert_integrity(&server);
}

/// Sends every request that writes, in both dialects.
async fn assert_nothing_writable(device: &mut Device, tab: &mut Tab, before: &Value) {
    let message = &before["id"];
    for (kind, data) in [
        ("message", json!({"room": 1, "content": "refused", "client_id": "refused-key"})),
        ("edit", json!({"message": message, "content": "changed"})),
        ("react", json!({"message": message, "emoji": "👍", "on": true})),
        ("delete", json!({"message": message})),
        ("create", json!({"kind": "private", "name": "tea", "title": ""})),
        ("open", json!({"user": 8})),
    ] {
        let error = device.expect_error(kind, data, "overloaded").await;
        assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 1), "{kind}: {error}");
    }
    tab.say("refused").await;
    let toast = tab.next_of("notification").await;
    assert_eq!((&toast["level"], &toast["code"]), (&json!("error"), &json!("overloaded")), "{toast}");
}

async fn assert_readable(device: &mut Device, bea: &User) {
    let page = device.request("history", json!({"room": 1, "before": 1000, "limit": 10})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["messages"][0]["content"], "before");
    for path in ["/api/auth/me", "/api/chat/messages", "/api/conversations", "/api/chat/online-users", "/live"] {
        bea.get(path).await.expect(200);
    }
}

fn assert_integrity(server: &Server) {
    let file = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[tokio::test]
async fn a_slow_disk_delays_acks_and_loses_none() {
    let faults = Faults::new();
    let mut server = Server::with_faults(&faults, &[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut device, mut tab) = (amy.device().await, bea.open_tab().await);
    faults.delay_syncs(Duration::from_millis(40));
    faults.delay_writes(Duration::from_millis(5));
    let texts: Vec<String> = (0..100).map(|number| format!("slowly {number}")).collect();
    device.say_many(1, texts.clone()).await;
    for text in &texts {
        assert_eq!(tab.next_of("message").await["content"], json!(text), "in order");
    }
    let hits = faults.hits();
    assert!(hits.slowed_syncs > 0 && hits.slowed_writes > 0, "{hits:?}");
    device.assert_same_as_fresh_load().await;
    server.kill();
    faults.delay_syncs(Duration::ZERO);
    faults.delay_writes(Duration::ZERO);
    server.restart();
    let stored: Vec<Value> = bea.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(stored, texts, "every acknowledged message is stored");
}

#[tokio::test]
async fn h13_a_hanging_disk_is_reported_bounds_the_queue_and_loses_nothing_queued() {
    const QUEUE: u64 = 8;
    let faults = Faults::new();
    let environment = [("TEAHOUSE_STORE__QUEUE_MAX", "8"), ("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")];
    let mut server = Server::with_faults(&faults, &environment);
    let pid = server.pid();
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (mut device, mut tab) = (amy.device().await, bea.open_tab().await);
    wait_for_ready(&server, 200).await;

    // The writer waits in a sync that takes ten minutes, so every write waits in its queue.
    faults.delay_syncs(Duration::from_secs(600));
    let say = |number: u64| json!({"room": 1, "content": format!("{number}"), "client_id": format!("{number}")});
    let mut asked = vec![device.send_request("message", say(0)).await];
    wait_until(async || faults.hits().slowed_syncs >= 1).await;
    // The readiness probe waits in that queue too.
    wait_for_ready(&server, 503).await;
    let finding = User::anonymous(&server).get("/ready").await.body();
    assert_eq!((&finding["store"], &finding["hub"]), (&json!("failing"), &json!("ok")), "{finding}");
    for number in 1..=QUEUE {
        asked.push(device.send_request("message", say(number)).await);
    }
    wait_until(async || server.metric("teahouse_store_writes_waiting").await == QUEUE).await;
    bea.post("/api/chat/send", json!({"content": "one too many"})).await.expect_error(503, "overloaded");
    tab.say("one too many").await;
    assert_eq!(tab.next_of("notification").await["code"], "overloaded");
    // Nothing else waits.
    bea.get("/api/chat/messages").await.expect(200);
    tab.assert_alive().await;
    // The queue is full and takes no more writes.
    fill_queue(&mut device, 200).await;
    let before = server.memory_kib();
    fill_queue(&mut device, 5000).await;
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB, by some 20 MB that were refused");
    let reported = server.metric("teahouse_bounds_reached_total{bound=\"store.queue_max\"}").await;
    assert!(reported > 1000, "{reported} of several thousand refusals");

    faults.delay_syncs(Duration::ZERO);
    let mut acknowledged = Vec::new();
    for (number, id) in asked.iter().enumerate() {
        match device.answer(id).await {
            Ok(_) => acknowledged.push(json!(number.to_string())),
            Err(error) => assert_eq!(error["code"], "overloaded", "{error}"),
        }
    }
    assert!(acknowledged.len() > 1, "some waited and were stored: {acknowledged:?}");
    wait_for_ready(&server, 200).await;
    let stored: Vec<Value> = bea.lobby().await.iter().map(|message| message["content"].clone()).collect();
    assert_eq!(stored, acknowledged, "exactly the acknowledged messages are stored");
    device.assert_alive().await;
    assert_same_process(&mut server, pid);
}

/// Sends long messages that a full queue refuses.
async fn fill_queue(device: &mut Device, times: usize) {
    let long = "x".repeat(4000);
    for _ in 0..times {
        let key = device.new_client_id();
        let data = json!({"room": 1, "content": long, "client_id": key});
        device.expect_error("message", data, "overloaded").await;
    }
}
