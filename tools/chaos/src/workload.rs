//! The workload of a run: users with several devices, in both dialects, in the lobby, a few rooms and direct rooms. They
//! use every request and suffer every fault of a connection. One seed decides what they do. It judges nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use teahouse_checker::wire::{Entry, RequestBody, ServerBody};
use teahouse_testkit::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clients::{ConnectOptions, Device, Disconnect, Http, Tab, User};
use crate::recorder::Recorder;

mod device;
mod quiesce;
mod tab;

/// The names of all faults that clients inject.
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

/// The users of a run; their number is the largest possible one.
const NAMES: [&str; 24] = [
    "amy", "bo", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "jon", "kim", "leo", "mia", "ned", "ona", "pat",
    "quin", "ron", "sue", "tom", "una", "vic", "wes", "zoe",
];

/// Interval of progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// How long a run may continue after its time, and how often it checks whether it has enough.
const EXTENSION_MAX: Duration = Duration::from_secs(600);
const ENOUGH_POLL: Duration = Duration::from_millis(100);

/// The context of every actor.
#[derive(Clone)]
struct Context {
    recorder: Recorder,
    address: SocketAddr,
    http: Http,
    users: Arc<Vec<User>>,
    /// Becomes true when the actors must stop.
    over: watch::Receiver<bool>,
}

impl Context {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits for a time or for the end of the run.
    async fn wait(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.over.wait_for(|over| *over)).await;
    }
}

/// One client of a user.
enum Actor {
    Device(Box<Device>),
    Tab(Box<Tab>),
}

/// All clients of a run.
pub struct Workload {
    context: Context,
    stop: watch::Sender<bool>,
    random: Random,
    actors: Vec<Actor>,
    devices_per_user: usize,
}

impl Workload {
    /// Prepares at most 24 users and their rooms on a running server.
    pub async fn prepare(
        recorder: &Recorder,
        address: SocketAddr,
        seed: u64,
        users: usize,
        devices_per_user: usize,
    ) -> Self {
        let users: Vec<User> =
            NAMES.iter().take(users).enumerate().map(|(index, name)| User::new(index as u64 + 7, name)).collect();
        let (stop, over) = watch::channel(false);
        let http = Http::new(recorder, address);
        let context = Context { recorder: recorder.clone(), address, http, users: Arc::new(users), over };
        let mut random = Random::from_seed(seed);
        let mut actors = Vec::new();
        for (index, user) in context.users.iter().enumerate() {
            // The server knows a user of the site from the first request on.
            context.http.request(user, RequestBody::OnlineUsers {}).await;
            let devices = 1 + random.below(3);
            for device in ["phone", "laptop", "tablet"].iter().take(usize::try_from(devices).unwrap_or(1)) {
                let mut device = Device::new(recorder, address, user, device);
                device.named = random.one_in(2).then(|| device.name.clone());
                actors.push(Actor::Device(Box::new(device)));
            }
            // Two tabs of the classic front end are one device.
            for tab in ["tab", "tab 2"].iter().take([2, 0, 1, 0][index % 4]) {
                actors.push(Actor::Tab(Box::new(Tab::new(recorder, address, user, tab))));
            }
        }
        let mut workload = Self { context, stop, random, actors, devices_per_user };
        workload.create_rooms().await;
        workload
    }

    /// The first user creates two public and two private rooms, and invites some users into the private ones.
    async fn create_rooms(&mut self) {
        let first = self.context.users[0].clone();
        let mut device = Device::new(&self.context.recorder, self.context.address, &first, "first");
        let created = async {
            device.connect(ConnectOptions::default()).await?;
            device.catch_up().await?;
            for (index, kind) in ["public", "public", "private", "private"].iter().enumerate() {
                let create = RequestBody::Create { kind: (*kind).to_owned(), name: format!("room {index}") };
                let ServerBody::Ack(entry) = device.request(create).await? else { continue };
                let Ok(Entry { id: room, .. }) = serde_json::from_value(entry) else { continue };
                for user in self.context.users[1..].iter().filter(|_| *kind == "private") {
                    if self.random.one_in(2) {
                        device.request(RequestBody::Invite { room, user: user.id }).await?;
                        // They do not know each other yet, so the invite waits.
                        self.context.http.request(user, RequestBody::Accept { room }).await;
                    }
                }
            }
            Ok::<(), Disconnect>(())
        };
        created.await.unwrap_or_else(|gone| panic!("the rooms could not be created: {gone:?}"));
        device.leave().await;
    }

    /// Runs all actors for a time and until it is enough, and calls `progress` every few seconds.
    pub async fn run(&mut self, time: Duration, is_enough: impl Fn() -> bool, progress: impl Fn()) {
        self.stop.send_replace(false);
        let mut tasks = JoinSet::new();
        for actor in self.actors.drain(..) {
            let (context, random) = (self.context.clone(), self.random.fork());
            match actor {
                Actor::Device(device) => {
                    tasks.spawn(async { Actor::Device(Box::new(device::run(*device, context, random).await)) })
                }
                Actor::Tab(tab) => tasks.spawn(async { Actor::Tab(Box::new(tab::run(*tab, context, random).await)) }),
            };
        }
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + PROGRESS_INTERVAL)).await;
            progress();
        }
        let deadline = end + EXTENSION_MAX;
        while !is_enough() {
            assert!(tokio::time::Instant::now() < deadline, "after {time:?} and {EXTENSION_MAX:?} it is not enough");
            tokio::time::sleep(ENOUGH_POLL).await;
        }
        self.stop.send_replace(true);
        self.actors = tasks.join_all().await;
        // Tasks end in any order, and the order of actors must depend on the seed alone.
        self.actors.sort_by_key(|actor| match actor {
            Actor::Device(device) => (device.user.id, device.name.clone()),
            Actor::Tab(tab) => (tab.user.id, tab.name.clone()),
        });
    }

    /// Lets every user who is not away return, catch up and load everything, and records the final state of each. The
    /// server stays up meanwhile.
    pub async fn quiesce(&mut self, linger: Duration) {
        join_all(self.actors.iter_mut().map(|actor| quiesce::resend_unacknowledged(actor, &self.context))).await;
        // The server may still perform requests whose connection was cut.
        tokio::time::sleep(quiesce::SETTLING).await;
        self.context.recorder.note_quiet();
        quiesce::quiesce(self, linger).await;
    }

    /// Cuts all connections.
    pub fn disconnect(&mut self) {
        for actor in &mut self.actors {
            match actor {
                Actor::Device(device) => device.cut(false),
                Actor::Tab(tab) => tab.cut(false),
            }
        }
    }
}
