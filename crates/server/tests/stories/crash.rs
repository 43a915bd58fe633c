//! The server is killed again and again while users write over every transport: each acknowledged message is stored once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use teahouse_testkit::random::number_from_environment;

use crate::fixture::{PATIENCE, Random, Received, Server, User, wait_until};

/// How often the server is killed; `TEAHOUSE_TEST_KILLS` sets another number.
const KILLS: u64 = 5;

/// What clients sent and received.
#[derive(Default)]
struct Record {
    /// By key: content, path, and the id once it is acknowledged.
    said: Mutex<HashMap<String, Said>>,
    /// Id and content of messages that came over sockets.
    received: Mutex<HashMap<u64, String>>,
    acknowledged: AtomicU64,
}

#[derive(Clone)]
struct Said {
    body: String,
    private: bool,
    id: Option<u64>,
}

impl Record {
    /// Sends a message under its key, for the first time or again. Returns whether the server acknowledged it.
    async fn say(&self, user: &User, key: &str, said: Said) -> bool {
        self.said.lock().unwrap().insert(key.to_owned(), said.clone());
        let (path, status) = if said.private { ("/api/messages/send", 201) } else { ("/api/chat/send", 200) };
        let headers = [("Idempotency-Key", key)];
        match user.try_request(Method::POST, path, &headers, Some(said.body.clone())).await {
            Ok(answer) => {
                let id = answer.expect(status).data()["message_id"].as_u64().unwrap();
                let before = self.said.lock().unwrap().insert(key.to_owned(), Said { id: Some(id), ..said });
                let before = before.unwrap().id;
                assert!(before.is_none_or(|before| before == id), "{key} was {before:?} and is {id}");
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                true
            }
            // The server was killed. It may have stored the message.
            Err(_) => false,
        }
    }
}

/// Sends over HTTP until the server is down. The next round resends what was not acknowledged.
async fn send_until_down(record: Arc<Record>, user: User, round: u64, receiver: u64) {
    let open: Vec<(String, Said)> = {
        let said = record.said.lock().unwrap();
        let own = said.iter().filter(|(key, said)| said.id.is_none() && key.starts_with(&user.name));
        own.map(|(key, said)| (key.clone(), said.clone())).collect()
    };
    for (key, said) in open {
        if !record.say(&user, &key, said).await {
            return;
        }
    }
    for number in 0.. {
        let key = format!("{}-{round}-{number}", user.name);
        let private = number % 4 == 3;
        let body = if private { json!({"receiver_id": receiver, "content": key}) } else { json!({"content": key}) };
        if !record.say(&user, &key, Said { body: body.to_string(), private, id: None }).await {
            return;
        }
    }
}

/// Sends and reads over a socket until the server is down.
async fn chat_until_down(record: Arc<Record>, user: User, round: u64) {
    let Ok(mut tab) = user.try_open_tab().await else { return };
    for number in 0.. {
        let text = json!({"type": "message", "data": {"content": format!("{} {round} {number}", user.name)}});
        if tab.try_send_text(text.to_string()).await.is_err() {
            return;
        }
        loop {
            match tab.next_unbounded().await {
                Received::Envelope(envelope) if envelope["type"] == "message" => {
                    let (id, own) = (&envelope["data"]["id"], envelope["data"]["user_id"] == json!(user.id));
                    let content = envelope["data"]["content"].as_str().unwrap().to_owned();
                    let before = record.received.lock().unwrap().insert(id.as_u64().unwrap(), content.clone());
                    assert!(before.is_none_or(|before| before == content), "two messages with the id {id}");
                    if own {
                        break;
                    }
                }
                Received::Envelope(_) => {}
                _ => return,
            }
        }
    }
}

/// The ids of all stored messages by content. Asserts that ids are unique and times never decrease.
async fn load_all(writers: &[User]) -> HashMap<String, Vec<u64>> {
    let lobby = writers[0].lobby().await;
    let mut ids: Vec<u64> = lobby.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids grow");
    assert!(lobby.is_sorted_by_key(|message| message["send_time"].as_str().unwrap()), "times never decrease");
    let mut stored: HashMap<String, Vec<u64>> = HashMap::new();
    for message in &lobby {
        let content = message["content"].as_str().unwrap().to_owned();
        stored.entry(content).or_default().push(message["id"].as_u64().unwrap());
    }
    for writer in writers {
        let list = writer.get("/api/conversations").await.expect(200).data();
        for entry in list["conversations"].as_array().unwrap() {
            for message in writer.conversation(entry["id"].as_u64().unwrap()).await {
                if message["is_self"] == json!(true) {
                    let content = message["content"].as_str().unwrap().to_owned();
                    let id = message["id"].as_u64().unwrap();
                    stored.entry(content).or_default().push(id);
                    ids.push(id);
                }
            }
        }
    }
    ids.sort_unstable();
    assert!(ids.is_sorted_by(|a, b| a < b), "an id is given once in all rooms");
    stored
}

#[tokio::test]
async fn kill_9_at_random_moments_loses_and_repeats_no_acknowledged_message() {
    let kills = number_from_environment("TEAHOUSE_TEST_KILLS", KILLS);
    let mut random = Random::of_run("kill -9");
    let mut server = Server::without_limits(&[]);
    let record = Arc::new(Record::default());
    let writers: Vec<User> = (1..=4).map(|id| User::of_site(&server, id, &format!("writer{id}"))).collect();
    let talkers: Vec<User> = (11..=12).map(|id| User::of_site(&server, id, &format!("talker{id}"))).collect();
    for user in writers.iter().chain(&talkers) {
        user.get("/api/auth/me").await.expect(200);
    }
    let mut busy = 0;
    for round in 0..kills {
        let before = record.acknowledged.load(Ordering::Relaxed);
        let receiver = |index: usize| writers[(index + 1) % writers.len()].id;
        let mut tasks = Vec::new();
        for (index, user) in writers.iter().enumerate() {
            tasks.push(tokio::spawn(send_until_down(Arc::clone(&record), user.clone(), round, receiver(index))));
        }
        for user in &talkers {
            tasks.push(tokio::spawn(chat_until_down(Arc::clone(&record), user.clone(), round)));
        }
        // A random moment: perhaps before the first ack, and in every other round after it.
        if round % 2 == 0 {
            wait_until(async || {
                tokio::time::sleep(Duration::from_millis(1)).await;
                record.acknowledged.load(Ordering::Relaxed) > before
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(250))).await;
        server.kill();
        for task in tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("the task ends with the server").unwrap();
        }
        busy += u64::from(record.acknowledged.load(Ordering::Relaxed) > before);
        let killed = Instant::now();
        server.restart();
        User::anonymous(&server).get("/ready").await.expect(200);
        assert!(killed.elapsed() < Duration::from_secs(5), "up again after {:?}", killed.elapsed());
    }
    assert!(busy >= kills / 2, "only {busy} of {kills} kills were in the middle of something");

    let stored = load_all(&writers).await;
    let said = record.said.lock().unwrap().clone();
    let acknowledged = said.iter().filter_map(|(key, said)| Some((key, said.id?)));
    let mut count = 0;
    for (key, id) in acknowledged {
        assert_eq!(stored.get(key), Some(&vec![id]), "{key} is there once, under its id");
        count += 1;
    }
    for (text, ids) in &stored {
        assert_eq!(ids.len(), 1, "{text} is there twice");
    }
    for (id, text) in record.received.lock().unwrap().iter() {
        assert_eq!(stored.get(text), Some(&vec![*id]), "{text} was received, so it is stored");
    }
    println!("{kills} kills, {count} acknowledged, {} stored", stored.len());

    assert!(server.stop().await.success());
    let file = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    server.assert_no_panic();
}
