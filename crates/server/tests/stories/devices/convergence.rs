//! Several people with several devices do everything there is to do, in any order, while devices come and go: in
//! the end every device shows what there is. The seed is printed.

use serde_json::{Value, json};

use super::house;
use crate::stage::{Chance, Device, Person};

const EMOJI: [&str; 4] = ["👍", "🍵", "❤️", "👨‍👩‍👧‍👦"];

/// One device and the chance of whoever holds it.
struct Player {
    device: Device,
    chance: Chance,
    people: Vec<u64>,
    actions: usize,
}

impl Player {
    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.chance.below(from.len() as u64) as usize])
    }

    fn some_room(&mut self) -> u64 {
        let rooms: Vec<u64> = self.device.view.rooms.keys().copied().collect();
        self.pick(&rooms).unwrap()
    }

    fn some_message(&mut self) -> Option<u64> {
        let messages: Vec<u64> =
            self.device.view.rooms.values().flat_map(|room| room.messages.keys().copied()).collect();
        self.pick(&messages)
    }

    fn somebody(&mut self) -> u64 {
        let people = self.people.clone();
        self.pick(&people).unwrap()
    }

    /// Something that may well be refused: what is meant may be gone, or not one's own.
    fn something(&mut self) -> Option<(&'static str, Value)> {
        let room = self.some_room();
        let message = self.some_message();
        let emoji = self.pick(&EMOJI).unwrap();
        Some(match self.chance.below(40) {
            0..=13 => {
                let reply_to = message.filter(|id| self.device.view.room(room).messages.contains_key(id));
                let reply_to = reply_to.filter(|_| self.chance.below(3) == 0);
                let (key, text) = (self.device.fresh_key(), format!("something @user{} says", self.chance.below(9)));
                ("message", json!({"room": room, "content": text, "client_id": key, "reply_to": reply_to}))
            }
            14..=17 => ("edit", json!({"message": message?, "content": format!("edit {}", self.chance.below(1000))})),
            18..=19 => ("delete", json!({"message": message?})),
            20..=25 => ("react", json!({"message": message?, "emoji": emoji, "on": self.chance.below(3) > 0})),
            26..=28 => {
                ("read", json!({"room": room, "seq": self.chance.below(self.device.view.room(room).last_seq + 2)}))
            }
            29 => ("history", json!({"room": room, "before": self.device.view.room(room).low, "limit": 5})),
            30 => {
                let since = self.chance.below(self.device.view.room(room).version + 1);
                ("sync", json!({"room": room, "since": since}))
            }
            31 => ("create", json!({"kind": "public", "name": self.device.fresh_key(), "title": "new"})),
            32 => ("join", json!({"room": 1 + self.chance.below(12)})),
            33 => ("leave", json!({"room": room})),
            34..=35 => ("invite", json!({"room": room, "user": self.somebody()})),
            36 => ("remove", json!({"room": room, "user": self.somebody()})),
            37 => ("update", json!({"room": room, "title": format!("title {}", self.chance.below(1000))})),
            38 => ("role", json!({"room": room, "user": self.somebody(), "role": "owner"})),
            _ => ("open", json!({"user": self.somebody()})),
        })
    }

    async fn plays(mut self) -> Self {
        for _ in 0..self.actions {
            match self.chance.below(30) {
                // Cut off, perhaps in the middle of a bracket; and back at once.
                0 => {
                    self.device.comes_back().await;
                }
                1 => {
                    self.device.connects().await;
                    self.device.says_hello().await;
                }
                // Cut off before it hears what became of its last request.
                2 => {
                    if let Some((kind, data)) = self.something() {
                        self.device.asks(kind, data).await;
                    }
                    self.device.comes_back().await;
                }
                _ => {
                    if let Some((kind, data)) = self.something() {
                        // Refused or done: a refusal changes nothing and closes nothing.
                        let answer = self.device.tries(kind, data.clone()).await;
                        if let Err(error) = answer {
                            let code = error["code"].as_str().unwrap();
                            let known = ["forbidden", "not_found", "conflict", "bad_request", "overloaded"];
                            assert!(known.contains(&code), "{kind} {data}: {error}");
                        }
                    }
                }
            }
        }
        self
    }
}

#[tokio::test]
async fn every_device_converges_after_random_actions_and_faults() {
    const DEVICES_EACH: usize = 3;
    const ACTIONS: usize = 150;
    let (server, people) = house(["amy", "bea", "cid", "dee"]);
    let mut chance = Chance::printed("convergence");
    let ids: Vec<u64> = people.iter().map(|person: &Person| person.id).collect();
    for person in &people {
        person.get("/api/auth/me").await.expect(200);
    }
    let mut tasks = Vec::new();
    for person in &people {
        for _ in 0..DEVICES_EACH {
            let player = Player {
                device: person.device().await,
                chance: Chance::from(chance.below(u64::MAX)),
                people: ids.clone(),
                actions: ACTIONS,
            };
            tasks.push(tokio::spawn(player.plays()));
        }
    }
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await.unwrap().device);
    }
    for device in &mut devices {
        device.shows_the_same_as_a_fresh_load().await;
        // Once more after coming back: what is held is worth what it says.
        device.comes_back().await;
        device.shows_the_same_as_a_fresh_load().await;
    }
    let held: usize =
        devices.iter().flat_map(|device| device.view.rooms.values()).map(|room| room.messages.len()).sum();
    assert!(held > ACTIONS, "they did talk: {held}");
    server.assert_no_panic();
}
