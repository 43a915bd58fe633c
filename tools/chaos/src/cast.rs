//! A cast of people with several devices, both dialects, in the lobby, a few rooms and direct rooms, who do all that
//! can be done and suffer all that can befall a connection, by one seeded chance. It judges nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use teahouse_checker::wire::{Entry, RequestBody, ServerBody};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::people::{Device, Handshake, Http, Person, Tab};
use crate::recorder::Recorder;

mod device;
mod rest;
mod tab;

/// Every fault that the cast does, as it is counted.
pub const FAULTS: &[&str] = &[
    "refresh",
    "cut by a reset",
    "cut",
    "goodbye",
    "half-open",
    "stalled reader",
    "slow reader",
    "race of connections",
    "silent connection",
    "held-back handshake",
    "token revoked",
    "forged hello",
    "said again",
    "said again with another content",
];

/// Names, and how many there are.
const NAMES: [&str; 24] = [
    "amy", "bo", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "jon", "kim", "leo", "mia", "ned", "ona", "pat",
    "quin", "ron", "sue", "tom", "una", "vic", "wes", "zoe",
];

/// How often it is said how far a run came.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What everybody needs.
#[derive(Clone)]
struct Stage {
    recorder: Recorder,
    address: SocketAddr,
    http: Http,
    people: Arc<Vec<Person>>,
    /// True once they are to stop.
    over: watch::Receiver<bool>,
}

impl Stage {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits so long, or until it is over.
    async fn waits(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.over.wait_for(|over| *over)).await;
    }
}

/// Somebody's device or tab.
enum Actor {
    Device(Box<Device>),
    Tab(Box<Tab>),
}

/// The cast.
pub struct Cast {
    stage: Stage,
    stop: watch::Sender<bool>,
    chance: Chance,
    actors: Vec<Actor>,
    sessions_per_user: usize,
}

impl Cast {
    /// So many people (at most 24) against this server, which is up; their rooms are made.
    pub async fn assemble(
        recorder: &Recorder,
        address: SocketAddr,
        seed: u64,
        people: usize,
        sessions_per_user: usize,
    ) -> Self {
        let people: Vec<Person> =
            NAMES.iter().take(people).enumerate().map(|(index, name)| Person::new(index as u64 + 7, name)).collect();
        let (stop, over) = watch::channel(false);
        let http = Http::new(recorder, address);
        let stage = Stage { recorder: recorder.clone(), address, http, people: Arc::new(people), over };
        let mut chance = Chance::from(seed);
        let mut actors = Vec::new();
        for (index, person) in stage.people.iter().enumerate() {
            // Who comes by is known from then on.
            stage.http.ask(person, RequestBody::OnlineUsers {}).await;
            let devices = 1 + chance.below(2);
            for device in ["phone", "laptop", "tablet"].iter().take(usize::try_from(devices).unwrap_or(1)) {
                let mut device = Device::new(recorder, address, person, device);
                device.is_named = chance.one_in(3);
                actors.push(Actor::Device(Box::new(device)));
            }
            if index % 2 == 0 {
                actors.push(Actor::Tab(Box::new(Tab::new(recorder, address, person, "tab"))));
            }
        }
        let mut cast = Self { stage, stop, chance, actors, sessions_per_user };
        cast.makes_rooms().await;
        cast
    }

    /// The first of them makes two public rooms and two private ones, and brings some into those.
    async fn makes_rooms(&mut self) {
        let first = self.stage.people[0].clone();
        let mut device = Device::new(&self.stage.recorder, self.stage.address, &first, "first");
        let made = async {
            device.comes(Handshake::default()).await?;
            device.catches_up().await?;
            for (index, kind) in ["public", "public", "private", "private"].iter().enumerate() {
                let create = RequestBody::Create { kind: (*kind).to_owned(), name: format!("room {index}") };
                let ServerBody::Ack(entry) = device.does(create).await? else { continue };
                let Ok(Entry { id: room, .. }) = serde_json::from_value(entry) else { continue };
                for person in self.stage.people[1..].iter().filter(|_| *kind == "private") {
                    if self.chance.one_in(2) {
                        device.does(RequestBody::Invite { room, user: person.id }).await?;
                    }
                }
            }
            Ok::<(), crate::people::Gone>(())
        };
        made.await.unwrap_or_else(|gone| panic!("the rooms could not be made: {gone:?}"));
        device.leaves().await;
    }

    /// They do what they like for so long; `progress` is called every few seconds.
    pub async fn acts(&mut self, time: Duration, progress: impl Fn()) {
        self.stop.send_replace(false);
        let mut acting = JoinSet::new();
        for actor in self.actors.drain(..) {
            let (stage, chance) = (self.stage.clone(), self.chance.fork());
            match actor {
                Actor::Device(device) => {
                    acting.spawn(async { Actor::Device(Box::new(device::live(*device, stage, chance).await)) })
                }
                Actor::Tab(tab) => acting.spawn(async { Actor::Tab(Box::new(tab::live(*tab, stage, chance).await)) }),
            };
        }
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + PROGRESS_INTERVAL)).await;
            progress();
        }
        self.stop.send_replace(true);
        self.actors = acting.join_all().await;
        // Tasks end in any order; what they are is in a fixed one.
        self.actors.sort_by_key(|actor| match actor {
            Actor::Device(device) => (device.person.id, device.name.clone()),
            Actor::Tab(tab) => (tab.person.id, tab.name.clone()),
        });
    }

    /// Everybody who is not away comes back, catches up, loads everything and stays; at the end all of it is written
    /// down as it rests. The server stays up meanwhile.
    pub async fn comes_to_rest(&mut self, linger: Duration) {
        join_all(self.actors.iter_mut().map(|actor| rest::says_what_is_open(actor, &self.stage))).await;
        // What was asked for last and then cut off may still be under way.
        tokio::time::sleep(rest::SETTLING).await;
        self.stage.recorder.quiet();
        rest::rest(self, linger).await;
    }

    /// Everybody goes.
    pub fn goes(&mut self) {
        for actor in &mut self.actors {
            match actor {
                Actor::Device(device) => device.cut(false),
                Actor::Tab(tab) => tab.cut(false),
            }
        }
    }
}
