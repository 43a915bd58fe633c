//! Several users with several devices send random requests while devices disconnect and return. In the end every device
//! shows what the server has. The test prints its seed.

use serde_json::{Value, json};

use super::server_and_users;
use crate::fixture::{Device, Random, User};

const EMOJI: [&str; 4] = ["👍", "🍵", "❤️", "👨‍👩‍👧‍👦"];

/// One device that acts at random.
struct Player {
    device: Device,
    random: Random,
    users: Vec<u64>,
    actions: usize,
}

impl Player {
    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.random.below(from.len() as u64) as usize])
    }

    fn pick_room(&mut self) -> u64 {
        let rooms: Vec<u64> = self.device.view.rooms.keys().copied().collect();
        self.pick(&rooms).unwrap()
    }

    fn pick_message(&mut self) -> Option<u64> {
        let messages: Vec<u64> =
            self.device.view.rooms.values().flat_map(|room| room.messages.keys().copied()).collect();
        self.pick(&messages)
    }

    fn pick_user(&mut self) -> u64 {
        let users = self.users.clone();
        self.pick(&users).unwrap()
    }

    /// A random request, which the server may refuse: its object may be deleted, or belong to another user.
    fn random_request(&mut self) -> Option<(&'static str, Value)> {
        let room = self.pick_room();
        let message = self.pick_message();
        let emoji = self.pick(&EMOJI).unwrap();
        Some(match self.random.below(40) {
            0..=13 => {
                let reply_to = message.filter(|id| self.device.view.room(room).messages.contains_key(id));
                let reply_to = reply_to.filter(|_| self.random.below(3) == 0);
                let (key, text) =
                    (self.device.new_client_id(), format!("something @user{} says", self.random.below(9)));
                ("message", json!({"room": room, "content": text, "client_id": key, "reply_to": reply_to}))
            }
            14..=17 => ("edit", json!({"message": message?, "content": format!("edit {}", self.random.below(1000))})),
            18..=19 => ("delete", json!({"message": message?})),
            20..=25 => ("react", json!({"message": message?, "emoji": emoji, "on": self.random.below(3) > 0})),
            26..=28 => {
                ("read", json!({"room": room, "seq": self.random.below(self.device.view.room(room).last_seq + 2)}))
            }
            29 => ("history", json!({"room": room, "before": self.device.view.room(room).low, "limit": 5})),
            30 => {
                let since = self.random.below(self.device.view.room(room).version + 1);
                ("sync", json!({"room": room, "since": since}))
            }
            31 => ("create", json!({"kind": "public", "name": self.device.new_client_id(), "title": "new"})),
            32 => ("join", json!({"room": 1 + self.random.below(12)})),
            33 if self.random.below(2) == 0 => ("accept", json!({"room": 1 + self.random.below(12)})),
            33 => ("leave", json!({"room": room})),
            34..=35 => ("invite", json!({"room": room, "user": self.pick_user()})),
            36 => ("remove", json!({"room": room, "user": self.pick_user()})),
            37 => ("update", json!({"room": room, "title": format!("title {}", self.random.below(1000))})),
            38 => ("role", json!({"room": room, "user": self.pick_user(), "role": "owner"})),
            _ => ("open", json!({"user": self.pick_user()})),
        })
    }

    async fn run(mut self) -> Self {
        for _ in 0..self.actions {
            match self.random.below(30) {
                // Cut, perhaps in the middle of a bracket, and reconnected at once.
                0 => {
                    self.device.reconnect().await;
                }
                1 => {
                    self.device.open().await;
                    self.device.say_hello().await;
                }
                // Cut before the answer to its last request.
                2 => {
                    if let Some((kind, data)) = self.random_request() {
                        self.device.send_request(kind, data).await;
                    }
                    self.device.reconnect().await;
                }
                _ => {
                    if let Some((kind, data)) = self.random_request() {
                        // A refusal changes nothing and closes nothing.
                        let answer = self.device.try_request(kind, data.clone()).await;
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
    let (server, users) = server_and_users(["amy", "bea", "cid", "dee"]);
    let mut random = Random::of_run("convergence");
    let ids: Vec<u64> = users.iter().map(|user: &User| user.id).collect();
    for user in &users {
        user.get("/api/auth/me").await.expect(200);
    }
    let mut tasks = Vec::new();
    for user in &users {
        for _ in 0..DEVICES_EACH {
            let player = Player {
                device: user.device().await,
                random: Random::from_seed(random.below(u64::MAX)),
                users: ids.clone(),
                actions: ACTIONS,
            };
            tasks.push(tokio::spawn(player.run()));
        }
    }
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await.unwrap().device);
    }
    for device in &mut devices {
        device.assert_same_as_fresh_load().await;
        // The versions that the device holds are right: it is the same after a resume.
        device.reconnect().await;
        device.assert_same_as_fresh_load().await;
    }
    let held: usize =
        devices.iter().flat_map(|device| device.view.rooms.values()).map(|room| room.messages.len()).sum();
    assert!(held > ACTIONS, "too few messages: {held}");
    server.assert_no_panic();
}
