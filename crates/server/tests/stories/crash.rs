//! kill -9, again and again, while people write by every door: what was acknowledged is there, once, in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::stage::{Chance, Heard, PATIENCE, Person, Server};

const KILLS: usize = 22;

/// What was said and what came of it.
#[derive(Default)]
struct Record {
    /// By key: text, path, and the id once it was acknowledged.
    said: Mutex<HashMap<String, Said>>,
    /// What people heard over their sockets: id and text.
    heard: Mutex<HashMap<u64, String>>,
    acknowledged: AtomicU64,
}

#[derive(Clone)]
struct Said {
    body: String,
    private: bool,
    id: Option<u64>,
}

impl Record {
    /// Says something under its key, for the first time or again; whether it was acknowledged.
    async fn say(&self, person: &Person, key: &str, said: Said) -> bool {
        self.said.lock().unwrap().insert(key.to_owned(), said.clone());
        let (path, status) = if said.private { ("/api/messages/send", 201) } else { ("/api/chat/send", 200) };
        let headers = [("Idempotency-Key", key)];
        match person.try_ask(Method::POST, path, &headers, Some(said.body.clone())).await {
            Ok(answer) => {
                let id = answer.expect(status).data()["message_id"].as_u64().unwrap();
                let before = self.said.lock().unwrap().insert(key.to_owned(), Said { id: Some(id), ..said });
                let before = before.unwrap().id;
                assert!(before.is_none_or(|before| before == id), "{key} was {before:?} and is {id}");
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                true
            }
            // Killed: it may have been stored or not.
            Err(_) => false,
        }
    }
}

/// Writes over HTTP until the server is gone. What was not acknowledged when it went is said again the next time.
async fn writes(record: Arc<Record>, person: Person, round: usize, receiver: u64) {
    let open: Vec<(String, Said)> = {
        let said = record.said.lock().unwrap();
        let own = said.iter().filter(|(key, said)| said.id.is_none() && key.starts_with(&person.name));
        own.map(|(key, said)| (key.clone(), said.clone())).collect()
    };
    for (key, said) in open {
        if !record.say(&person, &key, said).await {
            return;
        }
    }
    for number in 0.. {
        let key = format!("{}-{round}-{number}", person.name);
        let private = number % 4 == 3;
        let body = if private { json!({"receiver_id": receiver, "content": key}) } else { json!({"content": key}) };
        if !record.say(&person, &key, Said { body: body.to_string(), private, id: None }).await {
            return;
        }
    }
}

/// Talks and listens over a socket until the server is gone. What one hears was said.
async fn talks(record: Arc<Record>, person: Person, round: usize) {
    let Ok(mut tab) = person.tries_to_open_tab().await else { return };
    for number in 0.. {
        let text = json!({"type": "message", "data": {"content": format!("{} {round} {number}", person.name)}});
        if tab.try_send_text(text.to_string()).await.is_err() {
            return;
        }
        loop {
            match tab.next_ever().await {
                Heard::Envelope(envelope) if envelope["type"] == "message" => {
                    let (id, own) = (&envelope["data"]["id"], envelope["data"]["user_id"] == json!(person.id));
                    let content = envelope["data"]["content"].as_str().unwrap().to_owned();
                    let before = record.heard.lock().unwrap().insert(id.as_u64().unwrap(), content.clone());
                    assert!(before.is_none_or(|before| before == content), "two messages with the id {id}");
                    if own {
                        break;
                    }
                }
                Heard::Envelope(_) => {}
                _ => return,
            }
        }
    }
}

#[tokio::test]
async fn kill_9_at_random_moments_loses_and_repeats_no_acknowledged_message() {
    let mut chance = Chance::printed("kill -9");
    let mut server = Server::without_limits(&[]);
    let record = Arc::new(Record::default());
    let writers: Vec<Person> = (1..=4).map(|id| Person::of_site(&server, id, &format!("writer{id}"))).collect();
    let talkers: Vec<Person> = (11..=12).map(|id| Person::of_site(&server, id, &format!("talker{id}"))).collect();
    for person in writers.iter().chain(&talkers) {
        person.get("/api/auth/me").await.expect(200);
    }
    let mut busy = 0;
    for round in 0..KILLS {
        let before = record.acknowledged.load(Ordering::Relaxed);
        let receiver = |index: usize| writers[(index + 1) % writers.len()].id;
        let mut tasks = Vec::new();
        for (index, person) in writers.iter().enumerate() {
            tasks.push(tokio::spawn(writes(Arc::clone(&record), person.clone(), round, receiver(index))));
        }
        for person in &talkers {
            tasks.push(tokio::spawn(talks(Arc::clone(&record), person.clone(), round)));
        }
        // The moment is the fault: at once, or in the thick of it.
        tokio::time::sleep(Duration::from_millis(chance.below(250))).await;
        server.kill9();
        for task in tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("it ends with the server").unwrap();
        }
        busy += usize::from(record.acknowledged.load(Ordering::Relaxed) > before);
        let killed = Instant::now();
        server.restart();
        Person::stranger(&server).get("/ready").await.expect(200);
        assert!(killed.elapsed() < Duration::from_secs(5), "up again after {:?}", killed.elapsed());
    }
    assert!(busy >= KILLS / 2, "only {busy} of {KILLS} kills were in the middle of something");

    let lobby = writers[0].lobby().await;
    let mut ids: Vec<u64> = lobby.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids grow");
    assert!(lobby.is_sorted_by_key(|message| message["send_time"].as_str().unwrap()), "times never decrease");
    let mut stored: HashMap<String, Vec<u64>> = HashMap::new();
    for message in &lobby {
        let content = message["content"].as_str().unwrap().to_owned();
        stored.entry(content).or_default().push(message["id"].as_u64().unwrap());
    }
    for writer in &writers {
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
    assert!(ids.is_sorted_by(|a, b| a < b), "an id is given once in the whole house");
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
    for (id, text) in record.heard.lock().unwrap().iter() {
        assert_eq!(stored.get(text), Some(&vec![*id]), "{text} was heard, so it was said");
    }
    println!("{KILLS} kills, {count} acknowledged, {} stored", stored.len());

    assert!(server.stop().await.success());
    let file = rusqlite::Connection::open(server.data().join("teahouse.db")).unwrap();
    let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    server.assert_no_panic();
}
