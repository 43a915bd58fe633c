//! A witness: an honest person whose device records everything that it receives, so that the checker can compare what
//! it shows with the database. Witnesses read, write and watch presence; their actions are not timed.

use std::time::Duration;

use futures_util::future::join_all;
use teahouse_chaos::clients::{ConnectOptions, Device, Disconnect, User};
use teahouse_checker::wire::RequestBody;
use teahouse_testkit::Random;
use tokio::sync::watch;

use crate::test_bed::{LOBBY, TestBed, source};

/// Attempts to come back at the end.
const ATTEMPTS: usize = 20;
/// Time between two attempts, and in which the server delivers the last events.
const PAUSE: Duration = Duration::from_millis(500);
const SETTLING: Duration = Duration::from_secs(2);

/// A witness.
pub struct Witness {
    device: Device,
    options: ConnectOptions<'static>,
    square: u64,
    table: u64,
    random: Random,
}

impl Witness {
    /// A witness who is not connected.
    #[must_use]
    pub fn new(bed: &TestBed, number: usize, user: &User, random: Random) -> Self {
        let mut device = Device::new(&bed.recorder, bed.address, user, "laptop");
        device.named = Some("laptop".to_owned());
        let options = ConnectOptions { source: Some(source(1, number)), ..ConnectOptions::default() };
        Self { device, options, square: bed.square, table: bed.table, random }
    }

    /// Acts until the end of the run.
    pub async fn run(mut self, over: watch::Receiver<bool>) -> Self {
        while !*over.borrow() && !self.device.is_broken {
            let acting = if self.device.is_connected() { self.act().await } else { self.connect().await };
            if acting.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self
    }

    async fn connect(&mut self) -> Result<(), Disconnect> {
        self.device.connect(self.options).await?;
        self.device.catch_up().await
    }

    async fn act(&mut self) -> Result<(), Disconnect> {
        let pause = self.random.time_ms(200, 1500);
        self.device.read_for(pause).await?;
        let room = *self.random.pick(&[LOBBY, self.square, self.table]).unwrap_or(&LOBBY);
        let body = match self.random.below(8) {
            0..3 => {
                let (name, number) = (&self.device.user.name, self.device.user.next_number());
                let content = format!("{number} of {name}, a witness");
                RequestBody::Message { room, content, client_id: Some(format!("{name}-{number}")), reply_to: None }
            }
            3 => RequestBody::Presence { room: self.table, on: self.random.one_in(2) },
            4 => RequestBody::Read { room, seq: self.device.view.rooms.get(&room).map_or(0, |view| view.last_seq) },
            5 if self.random.one_in(4) => {
                self.device.cut(false);
                return self.connect().await;
            }
            _ => RequestBody::Heartbeat {},
        };
        self.device.send_request(body).await.map(|_| ())
    }
}

/// Lets the witnesses come back after all others have left, load what they miss, and record what they show.
pub async fn quiesce(witnesses: &mut [Witness], linger: Duration) {
    join_all(witnesses.iter_mut().map(come_back)).await;
    join_all(witnesses.iter_mut().map(|witness| witness.device.read_for(linger + SETTLING))).await;
    witnesses.iter().for_each(|witness| witness.device.note_rested());
    for witness in &mut *witnesses {
        let room = witness.table;
        // An error ends the socket, and then the checker compares one device less.
        let _ = witness.device.request(RequestBody::Presence { room, on: true }).await;
    }
    join_all(witnesses.iter_mut().map(|witness| witness.device.request(RequestBody::Heartbeat {}))).await;
}

async fn come_back(witness: &mut Witness) {
    for _ in 0..ATTEMPTS {
        if witness.device.is_broken {
            return;
        }
        let coming = async {
            witness.connect().await?;
            witness.device.load_all().await
        };
        if coming.await.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
