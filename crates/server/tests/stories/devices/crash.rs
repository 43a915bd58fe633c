//! The server goes down under load, by kill -9, by a sync that fails, by being asked to, while devices write, react and
//! come back: what was acknowledged is there, once, and every device that comes back shows what is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use teahouse_chaos::Faults;

use super::{house, house_with, private_room};
use crate::stage::{Chance, Device, PATIENCE, Person, Server};

const OUTAGES: u64 = 5;

/// What was said, by key: where, and its id and seq once that was acknowledged.
type Said = Arc<Mutex<BTreeMap<String, (u64, Option<(u64, u64)>)>>>;

/// One who writes until the server is gone: first what was not acknowledged when it went, then on and on.
struct Writer {
    device: Device,
    rooms: [u64; 2],
    said: Said,
    acknowledged: Arc<AtomicU64>,
    number: u64,
}

impl Writer {
    async fn says(&mut self, key: &str, room: u64) -> Option<()> {
        let data = json!({"room": room, "content": key, "client_id": key});
        self.said.lock().unwrap().entry(key.to_owned()).or_insert((room, None));
        match self.device.tries_while_it_lives("message", data).await? {
            Ok(answer) => {
                let place = (answer["id"].as_u64().unwrap(), answer["seq"].as_u64().unwrap());
                let before = self.said.lock().unwrap().insert(key.to_owned(), (room, Some(place))).unwrap().1;
                assert!(before.is_none_or(|before| before == place), "{key} was {before:?} and is {place:?}");
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                Some(())
            }
            // The next one is told to come back, or its writer is gone already.
            Err(error) => panic!("{key}: {error}"),
        }
    }

    async fn writes(mut self) -> Self {
        self.writes_on().await;
        self.device.drops();
        self
    }

    async fn writes_on(&mut self) -> Option<()> {
        self.device.tries_to_come().await.ok()?;
        let own = format!("{}-", self.device.person.name);
        let open: Vec<(String, u64)> = {
            let said = self.said.lock().unwrap();
            let open = said.iter().filter(|(key, (_, place))| place.is_none() && key.starts_with(&own));
            open.map(|(key, (room, _))| (key.clone(), *room)).collect()
        };
        for (key, room) in open {
            self.says(&key, room).await?;
        }
        loop {
            self.number += 1;
            let number = self.number;
            self.says(&format!("{own}{number}"), self.rooms[number as usize % 2]).await?;
            if let Some(last) = self.device.view.room(1).messages.keys().next_back()
                && number.is_multiple_of(5)
            {
                let react = json!({"message": last, "emoji": "🍵", "on": number.is_multiple_of(10)});
                self.device.tries_while_it_lives("react", react).await?.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn kill_9_loses_and_repeats_no_acknowledged_message_and_devices_converge() {
    let house = house(["amy", "bea", "cid"]);
    outages("kill -9 with devices", house, async |server| server.kill9()).await;
}

#[tokio::test]
async fn a_failed_sync_ends_the_process_and_loses_no_acknowledged_message() {
    let faults = Faults::new();
    let house = house_with(&faults.environment(), ["amy", "bea", "cid"]);
    let fail = async |server: &mut Server| {
        faults.syncs_fail(1);
        // 70: a program that cannot go on (sysexits). What its disk holds it reads anew.
        assert_eq!(server.ended(PATIENCE).await.code(), Some(70));
    };
    outages("failed syncs with devices", house, fail).await;
    assert_eq!(faults.hits().failed_syncs, OUTAGES);
}

#[tokio::test]
async fn p22_a_rolling_restart_loses_and_repeats_nothing() {
    let house = house(["amy", "bea", "cid"]);
    let restart = async |server: &mut Server| assert!(server.stop().await.success());
    outages("restarts with devices", house, restart).await;
}

/// People write while the server goes down, again and again, and come back when it is up. `end` brings it down.
async fn outages(story: &str, house: (Server, [Person; 3]), end: impl AsyncFn(&mut Server)) {
    let mut chance = Chance::printed(story);
    let (mut server, people) = house;
    let [amy, bea, cid] = &people;
    let mut owner = amy.device().await;
    let room = private_room(&mut owner, "tea", &[bea, cid]).await;
    let mut listener = cid.device().await;
    let (said, acknowledged) = (Said::default(), Arc::new(AtomicU64::new(0)));
    let writer = |person: &Person| Writer {
        device: Device::of(person),
        rooms: [1, room],
        said: Arc::clone(&said),
        acknowledged: Arc::clone(&acknowledged),
        number: 0,
    };
    let mut writers = vec![writer(amy), writer(bea), writer(bea)];
    // Two devices of one user have keys of their own all the same.
    writers[2].number = 1_000_000;
    for round in 0..OUTAGES {
        let before = acknowledged.load(Ordering::Relaxed);
        let tasks: Vec<_> = writers.drain(..).map(|writer| tokio::spawn(writer.writes())).collect();
        // The fault is in the thick of it: after some messages more, and then at any moment.
        let enough = before + 20 + chance.below(60);
        listener.until_view("some messages", |_| acknowledged.load(Ordering::Relaxed) > enough).await;
        tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
        end(&mut server).await;
        for task in tasks {
            writers.push(tokio::time::timeout(PATIENCE, task).await.expect("it ends with the server").unwrap());
        }
        server.restart();
        assert!(acknowledged.load(Ordering::Relaxed) > before, "round {round}");
        listener.comes_back().await;
        owner.comes_back().await;
    }

    let mut devices = vec![owner, listener];
    devices.extend(writers.into_iter().map(|writer| writer.device));
    for device in &mut devices {
        device.comes_back().await;
        for id in [1, room] {
            device.loads_all_of(id).await;
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
        device.shows_the_same_as_a_fresh_load().await;
    }
    server.assert_no_panic();
}
