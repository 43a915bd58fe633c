//! The server goes down under load, by SIGKILL, a failed sync or SIGTERM. Each acknowledged message is stored once, and
//! every device that reconnects shows what the server has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use teahouse_testkit::Faults;

use super::{private_room, server_and_users, server_with};
use crate::fixture::{Device, PATIENCE, Random, Server, User};

const OUTAGES: u64 = 5;

/// What was sent, by key: the room, and id and seq once it is acknowledged.
type Said = Arc<Mutex<BTreeMap<String, (u64, Option<(u64, u64)>)>>>;

/// A device that sends until the server is down. It first resends what was not acknowledged in the last round.
struct Writer {
    device: Device,
    rooms: [u64; 2],
    said: Said,
    acknowledged: Arc<AtomicU64>,
    number: u64,
}

impl Writer {
    async fn say(&mut self, key: &str, room: u64) -> Option<()> {
        let data = json!({"room": room, "content": key, "client_id": key});
        self.said.lock().unwrap().entry(key.to_owned()).or_insert((room, None));
        match self.device.request_if_alive("message", data).await? {
            Ok(answer) => {
                let place = (answer["id"].as_u64().unwrap(), answer["seq"].as_u64().unwrap());
                let before = self.said.lock().unwrap().insert(key.to_owned(), (room, Some(place))).unwrap().1;
                assert!(before.is_none_or(|before| before == place), "{key} was {before:?} and is {place:?}");
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(())
            }
            Err(error) => panic!("{key}: {error}"),
        }
    }

    async fn write(mut self) -> Self {
        self.write_until_down().await;
        self.device.cut();
        self
    }

    async fn write_until_down(&mut self) -> Option<()> {
        self.device.try_connect().await.ok()?;
        let own = format!("{}-", self.device.user.name);
        let open: Vec<(String, u64)> = {
            let said = self.said.lock().unwrap();
            let open = said.iter().filter(|(key, (_, place))| place.is_none() && key.starts_with(&own));
            open.map(|(key, (room, _))| (key.clone(), *room)).collect()
        };
        for (key, room) in open {
            self.say(&key, room).await?;
        }
        loop {
            self.number += 1;
            let number = self.number;
            self.say(&format!("{own}{number}"), self.rooms[number as usize % 2]).await?;
            if let Some(last) = self.device.view.room(1).messages.keys().next_back()
                && number.is_multiple_of(5)
            {
                let react = json!({"message": last, "emoji": "🍵", "on": number.is_multiple_of(10)});
                self.device.request_if_alive("react", react).await?.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn kill_9_loses_and_repeats_no_acknowledged_message_and_devices_converge() {
    let fixture = server_and_users(["amy", "bea", "cid"]);
    outages("kill -9 with devices", fixture, async |server| server.kill()).await;
}

#[tokio::test]
async fn a_failed_sync_ends_the_process_and_loses_no_acknowledged_message() {
    let faults = Faults::new();
    let fixture = server_with(&faults.environment(), ["amy", "bea", "cid"]);
    let fail = async |server: &mut Server| {
        faults.fail_syncs(1);
        // 70 is EX_SOFTWARE. The process cannot know what is on the disk, so it exits and reads it again.
        assert_eq!(server.wait_for_exit(PATIENCE).await.code(), Some(70));
    };
    outages("failed syncs with devices", fixture, fail).await;
    assert_eq!(faults.hits().failed_syncs, OUTAGES);
}

#[tokio::test]
async fn p22_a_rolling_restart_loses_and_repeats_nothing() {
    // The owner and the listener do not read while the server drains.
    let fixture = server_with(&[("TEAHOUSE_SERVER__DRAIN_TIMEOUT", "1s")], ["amy", "bea", "cid"]);
    let restart = async |server: &mut Server| assert!(server.stop().await.success());
    outages("restarts with devices", fixture, restart).await;
}

/// Users write while `end` brings the server down, again and again, and reconnect when it is up.
async fn outages(story: &str, fixture: (Server, [User; 3]), end: impl AsyncFn(&mut Server)) {
    let mut random = Random::of_run(story);
    let (mut server, users) = fixture;
    let [amy, bea, cid] = &users;
    let mut owner = amy.device().await;
    let room = private_room(&mut owner, "tea", &[bea, cid]).await;
    let mut listener = cid.device().await;
    let (said, acknowledged) = (Said::default(), Arc::new(AtomicU64::new(0)));
    let writer = |user: &User| Writer {
        device: Device::new(user),
        rooms: [1, room],
        said: Arc::clone(&said),
        acknowledged: Arc::clone(&acknowledged),
        number: 0,
    };
    let mut writers = vec![writer(amy), writer(bea), writer(bea)];
    // Two devices of one user must not share keys.
    writers[2].number = 1_000_000;
    for round in 0..OUTAGES {
        let before = acknowledged.load(Ordering::Relaxed);
        let tasks: Vec<_> = writers.drain(..).map(|writer| tokio::spawn(writer.write())).collect();
        // The fault hits at a random moment after some more messages.
        let enough = before + 20 + random.below(60);
        listener.wait_for_view("some messages", |_| acknowledged.load(Ordering::Relaxed) > enough).await;
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        end(&mut server).await;
        for task in tasks {
            writers.push(tokio::time::timeout(PATIENCE, task).await.expect("the task ends with the server").unwrap());
        }
        server.restart();
        assert!(acknowledged.load(Ordering::Relaxed) > before, "round {round}");
        listener.reconnect().await;
        owner.reconnect().await;
    }

    let mut devices = vec![owner, listener];
    devices.extend(writers.into_iter().map(|writer| writer.device));
    for device in &mut devices {
        device.reconnect().await;
        for id in [1, room] {
            device.load_all(id).await;
        }
    }
    let all: Vec<Value> =
        [1, room].iter().flat_map(|id| devices[0].view.room(*id).messages.values()).cloned().collect();
    let mut stored: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for message in &all {
        let place = (message["id"].as_u64().unwrap(), message["seq"].as_u64().unwrap());
        stored.entry(message["client_id"].as_str().unwrap()).or_default().push(place);
        assert_eq!(message["client_id"], message["content"]);
    }
    let said = std::mem::take(&mut *said.lock().unwrap());
    let mut count = 0;
    for (key, (_, place)) in &said {
        match place {
            Some(place) => assert_eq!(stored.get(key.as_str()), Some(&vec![*place]), "{key} is there once"),
            None => assert!(stored.get(key.as_str()).is_none_or(|places| places.len() == 1), "{key} is there twice"),
        }
        count += usize::from(place.is_some());
    }
    println!("{story}: {OUTAGES} times, {count} acknowledged, {} stored", stored.len());
    for device in &mut devices {
        device.assert_same_as_fresh_load().await;
    }
    server.assert_no_panic();
}
