//! What a v1 device does, and the faults of its connections, while a run goes on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use teahouse_checker::wire::{Held, RequestBody, ServerBody};
use teahouse_testkit::Random;

use super::Context;
use crate::clients::{ConnectOptions, Device, Disconnect, RecordedSocket};

/// Messages that a device resends after it reconnected.
const RESENDS_MAX: usize = 8;
/// Concurrent half-open sockets of one device.
const HALF_OPEN_MAX: usize = 3;

const EMOJI: [&str; 3] = ["👍", "🍵", "🎉"];

struct DeviceActor {
    device: Device,
    context: Context,
    random: Random,
    /// Abandoned sockets, and when each is cut.
    half_open: Vec<(RecordedSocket, Instant)>,
    /// Messages that it sent, for sending them again.
    sent: Vec<RequestBody>,
    small_buffer: bool,
}

/// Runs until the end of the run, and disconnects.
pub(super) async fn run(device: Device, context: Context, mut random: Random) -> Device {
    let small_buffer = random.one_in(3);
    let mut actor = DeviceActor { device, context, random, half_open: Vec::new(), sent: Vec::new(), small_buffer };
    let mut disconnect = None;
    while !actor.context.is_over() && !actor.device.is_broken {
        actor.cut_half_open(false);
        let result = match disconnect.take() {
            None if actor.device.is_connected() => actor.act().await,
            disconnect => actor.reconnect(disconnect).await,
        };
        disconnect = result.err();
    }
    actor.cut_half_open(true);
    actor.device.cut(false);
    actor.device
}

impl DeviceActor {
    /// Cuts half-open sockets whose time is over.
    fn cut_half_open(&mut self, all: bool) {
        let now = Instant::now();
        let (over, rest): (Vec<_>, Vec<_>) = self.half_open.drain(..).partition(|(_, until)| all || *until <= now);
        self.half_open = rest;
        over.into_iter().for_each(|(socket, _)| socket.cut(true));
    }

    fn options(&self) -> ConnectOptions<'static> {
        ConnectOptions { small_buffer: self.small_buffer, ..ConnectOptions::default() }
    }

    async fn reconnect(&mut self, disconnect: Option<Disconnect>) -> Result<(), Disconnect> {
        let pause = match disconnect {
            None => self.random.time_ms(0, 30),
            // A user who wants this device to be the live one.
            Some(Disconnect::Closed(4501)) => self.random.time_ms(300, 2500),
            Some(Disconnect::Closed(1012)) => self.device.retry_after.min(Duration::from_secs(3)),
            Some(_) => self.random.time_ms(20, 500),
        };
        self.context.wait(pause).await;
        if self.context.is_over() {
            return Ok(());
        }
        if self.random.one_in(30) && !self.device.view.rooms.is_empty() {
            self.context.recorder.count_fault("forged hello");
            let random = &mut self.random;
            let forge = |held: Held| match random.below(3) {
                0 => Held { version: held.version + 1000, ..held },
                1 => Held { version: held.version.saturating_sub(5), ..held },
                _ => held,
            };
            let mut held: Vec<Held> = self.device.view.held().into_iter().map(forge).collect();
            held.push(Held { room: 999_999, version: 3 });
            self.device.connect_with(self.options(), held).await?;
        } else {
            self.device.connect(self.options()).await?;
        }
        self.device.catch_up().await?;
        let unacknowledged: Vec<RequestBody> = self.device.unacknowledged.values().take(RESENDS_MAX).cloned().collect();
        for body in unacknowledged {
            self.context.recorder.count_fault("said again");
            self.send(body).await?;
        }
        Ok(())
    }

    /// Sends a message over the socket or over HTTP.
    async fn send(&mut self, body: RequestBody) -> Result<(), Disconnect> {
        if self.random.one_in(4) {
            if self.context.http.request(&self.device.user, body.clone()).await.is_some()
                && let RequestBody::Message { client_id: Some(key), .. } = &body
            {
                self.device.unacknowledged.remove(key);
            }
            return Ok(());
        }
        self.device.send_request(body).await.map(|_| ())
    }

    async fn act(&mut self) -> Result<(), Disconnect> {
        let pause = self.random.time_ms(10, 150);
        self.device.read_for(pause).await?;
        match self.random.below(100) {
            0..38 => self.send_message().await,
            38..62 => self.change_message().await,
            62..84 => self.send_other_request().await,
            84 => {
                self.context.http.request(&self.device.user, RequestBody::OnlineUsers {}).await;
                Ok(())
            }
            85 | 86 => self.resend_message().await,
            _ => self.inject_fault().await,
        }
    }

    fn pick_room(&mut self) -> u64 {
        let rooms: Vec<u64> = self.device.view.rooms.keys().copied().collect();
        let lobby = self.random.one_in(3);
        if lobby { 1 } else { self.random.pick(&rooms).copied().unwrap_or(1) }
    }

    fn pick_user(&mut self) -> u64 {
        let users = std::sync::Arc::clone(&self.context.users);
        self.random.pick(&users).map_or(7, |user| user.id)
    }

    async fn send_message(&mut self) -> Result<(), Disconnect> {
        let number = self.device.user.next_number();
        let (name, room) = (&self.device.user.name.clone(), self.pick_room());
        let key = format!("{name}-{number}");
        let is_reply = self.random.one_in(5);
        let there: Vec<u64> =
            self.device.view.rooms.get(&room).into_iter().flat_map(|room| room.messages.keys().copied()).collect();
        let reply_to = self.random.pick(&there).copied().filter(|_| is_reply);
        let content = format!("{number} of {name} on {}", self.device.name);
        let body = RequestBody::Message { room, content, client_id: Some(key), reply_to };
        self.sent.push(body.clone());
        if self.sent.len() > 50 {
            self.sent.remove(0);
        }
        self.send(body).await
    }

    async fn resend_message(&mut self) -> Result<(), Disconnect> {
        let Some(mut body) = self.random.pick(&self.sent).cloned() else { return Ok(()) };
        if let (true, RequestBody::Message { content, .. }) = (self.random.one_in(3), &mut body) {
            self.context.recorder.count_fault("said again with another content");
            content.push('!');
        } else {
            self.context.recorder.count_fault("said again");
        }
        self.device.send_request(body).await.map(|_| ())
    }

    async fn change_message(&mut self) -> Result<(), Disconnect> {
        let me = self.device.view.me;
        let mine_only = self.random.below(3) != 0;
        let there = self.device.view.messages().filter(|one| !one.deleted && (!mine_only || one.sender.id == me));
        let there: Vec<(u64, u64, u64)> = there.map(|one| (one.id, one.room, one.seq)).collect();
        // New messages, so that several clients change the same one.
        let newest = &there[there.len().saturating_sub(12)..];
        let Some(&(message, room, seq)) = self.random.pick(newest) else { return Ok(()) };
        let body = match self.random.below(8) {
            0 | 1 if mine_only => RequestBody::Edit {
                message,
                content: format!("edited: {} of {}", self.device.user.next_number(), self.device.user.name),
            },
            2 if mine_only => RequestBody::Delete { message },
            3..=5 => {
                let emoji = (*self.random.pick(&EMOJI).unwrap_or(&"👍")).to_owned();
                RequestBody::React { message, emoji, on: !self.random.one_in(3) }
            }
            _ => RequestBody::Read { room, seq: seq.saturating_sub(self.random.below(3)) },
        };
        if matches!(body, RequestBody::Read { .. }) && self.random.one_in(4) {
            self.context.http.request(&self.device.user, body).await;
            return Ok(());
        }
        self.device.send_request(body).await.map(|_| ())
    }

    async fn send_other_request(&mut self) -> Result<(), Disconnect> {
        let room = self.pick_room();
        let held = self.device.view.rooms.get(&room).map_or((0, 1), |view| (view.version, view.low));
        let user = self.pick_user();
        let body = match self.random.below(16) {
            0..=2 if held.1 > 1 && held.1 < u64::MAX => {
                RequestBody::History { room, before: Some(held.1), limit: Some(1 + self.random.below(40)) }
            }
            3 | 4 => {
                let since =
                    if self.random.one_in(6) { held.0 + 50 } else { held.0.saturating_sub(self.random.below(9)) };
                RequestBody::Sync { room, since }
            }
            5..=7 => RequestBody::Presence { room, on: !self.random.one_in(3) },
            8 => RequestBody::Typing { room, on: true },
            9 | 10 => RequestBody::Join { room: 2 + self.random.below(2) },
            11 => RequestBody::Leave { room },
            12 | 13 => RequestBody::Invite { room, user },
            14 if self.random.one_in(2) => RequestBody::Accept { room: 2 + self.random.below(6) },
            14 => RequestBody::Remove { room, user },
            _ if user != self.device.user.id => RequestBody::Open { user },
            _ => RequestBody::Heartbeat {},
        };
        self.device.send_request(body).await.map(|_| ())
    }

    fn count_fault(&self, kind: &'static str) {
        self.context.recorder.count_fault(kind);
    }

    async fn inject_fault(&mut self) -> Result<(), Disconnect> {
        match self.random.below(14) {
            0..=2 => {
                self.count_fault("refresh");
                self.device.cut(false);
                self.device.connect(self.options()).await?;
                self.device.catch_up().await?;
            }
            3 | 4 => {
                self.count_fault("cut by a reset");
                // The request is under way when the socket ends.
                self.send_message().await?;
                self.device.cut(true);
            }
            5 => {
                self.count_fault("cut");
                self.device.cut(false);
                self.wait_ms(0, 4000).await;
            }
            6 => {
                self.count_fault("goodbye");
                self.device.leave().await;
                self.wait_ms(0, 2000).await;
            }
            7 => self.leave_half_open(),
            8 => {
                self.count_fault("stalled reader");
                self.wait_ms(500, 4000).await;
            }
            9 => self.read_slowly().await?,
            10 => self.race_connections().await,
            11 => self.hold_back_handshake().await?,
            12 if self.random.one_in(2) => {
                self.count_fault("token revoked");
                let token = self.device.user.token();
                self.context.http.request(&self.device.user, RequestBody::Revoke {}).await;
                self.device.user.replace_token(&token);
            }
            _ => {}
        }
        Ok(())
    }

    async fn wait_ms(&mut self, least: u64, most: u64) {
        let time = self.random.time_ms(least, most);
        self.context.wait(time).await;
    }

    fn leave_half_open(&mut self) {
        if self.half_open.len() < HALF_OPEN_MAX
            && let Some(socket) = self.device.abandon_socket()
        {
            self.count_fault("half-open");
            let time = self.random.time_ms(1000, 12_000);
            self.half_open.push((socket, Instant::now() + time));
        }
    }

    async fn read_slowly(&mut self) -> Result<(), Disconnect> {
        self.count_fault("slow reader");
        for _ in 0..40 {
            self.wait_ms(10, 50).await;
            if let Ok(received) = tokio::time::timeout(Duration::from_millis(1), self.device.next()).await {
                received?;
            }
        }
        Ok(())
    }

    async fn race_connections(&mut self) {
        self.count_fault("race of connections");
        let mut visits = Vec::new();
        for number in 0..2 + self.random.below(6) {
            let mut options = self.options();
            if self.random.one_in(2) {
                self.count_fault("silent connection");
                options.silent = Some(self.random.time_ms(0, 20));
            }
            let mut racer = self.new_device(&format!("racer {number}"));
            if self.random.one_in(3) {
                // It is another connection of the same device.
                racer.named.clone_from(&self.device.named);
            }
            visits.push(visit(racer, options, self.random.fork()));
        }
        join_all(visits).await;
    }

    async fn hold_back_handshake(&mut self) -> Result<(), Disconnect> {
        self.count_fault("held-back handshake");
        let held_back = self.random.time_ms(50, 5000);
        let options = ConnectOptions { held_back: Some(held_back), ..self.options() };
        let visitor = self.new_device("held back");
        let random = self.random.fork();
        tokio::join!(visit(visitor, options, random), self.device.read_for(held_back)).1
    }

    /// A new device of the same user.
    fn new_device(&self, name: &str) -> Device {
        let name = format!("{name} of {}", self.device.user.next_number());
        Device::new(&self.context.recorder, self.context.address, &self.device.user, &name)
    }
}

/// Connects, reads for a while, and disconnects.
async fn visit(mut device: Device, options: ConnectOptions<'_>, mut random: Random) {
    let visiting = async {
        device.connect(options).await?;
        let ServerBody::Ack(_) = device.request(RequestBody::Heartbeat {}).await? else { return Ok(()) };
        device.read_for(random.time_ms(0, 300)).await
    };
    if visiting.await == Ok::<(), Disconnect>(()) {
        device.cut(random.one_in(2));
    }
}
