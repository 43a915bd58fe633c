//! What a v1 device does and suffers while the play is on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use teahouse_checker::wire::{Held, RequestBody, ServerBody};

use super::Stage;
use crate::chance::Chance;
use crate::people::{Device, Gone, Handshake, Line};

/// Say-agains at once after coming back.
const AGAIN_MAX: usize = 8;
/// Half-open sockets of one device at once.
const HALF_OPEN_MAX: usize = 3;

const EMOJI: [&str; 3] = ["👍", "🍵", "🎉"];

struct Life {
    device: Device,
    stage: Stage,
    chance: Chance,
    /// Sockets that it turned away from, and until when they stay open.
    half_open: Vec<(Line, Instant)>,
    /// What it said once: to say it again.
    said: Vec<RequestBody>,
    has_little_room: bool,
}

/// Lives until it is over; its socket is gone then.
pub(super) async fn live(device: Device, stage: Stage, mut chance: Chance) -> Device {
    let has_little_room = chance.one_in(3);
    let mut life = Life { device, stage, chance, half_open: Vec::new(), said: Vec::new(), has_little_room };
    let mut gone = None;
    while !life.stage.is_over() && !life.device.is_broken {
        life.lets_go(false);
        let lived = match gone.take() {
            None if life.device.is_connected() => life.acts().await,
            gone => life.comes_back(gone).await,
        };
        gone = lived.err();
    }
    life.lets_go(true);
    life.device.cut(false);
    life.device
}

impl Life {
    /// Half-open sockets end at last.
    fn lets_go(&mut self, all: bool) {
        let now = Instant::now();
        let (ends, stays) = self.half_open.drain(..).partition(|(_, until)| all || *until <= now);
        self.half_open = stays;
        let ends: Vec<(Line, Instant)> = ends;
        ends.into_iter().for_each(|(line, _)| line.cut(true));
    }

    fn how(&self) -> Handshake<'static> {
        Handshake { has_little_room: self.has_little_room, ..Handshake::default() }
    }

    async fn comes_back(&mut self, gone: Option<Gone>) -> Result<(), Gone> {
        let pause = match gone {
            None => self.chance.time_ms(0, 30),
            // A person who wants it here again.
            Some(Gone::Closed(4501)) => self.chance.time_ms(300, 2500),
            Some(Gone::Closed(1012)) => self.device.retry.min(Duration::from_secs(3)),
            Some(_) => self.chance.time_ms(20, 500),
        };
        self.stage.waits(pause).await;
        if self.stage.is_over() {
            return Ok(());
        }
        if self.chance.one_in(30) && !self.device.view.rooms.is_empty() {
            self.stage.recorder.fault("forged hello");
            let chance = &mut self.chance;
            let lies = |held: Held| match chance.below(3) {
                0 => Held { version: held.version + 1000, ..held },
                1 => Held { version: held.version.saturating_sub(5), ..held },
                _ => held,
            };
            let mut held: Vec<Held> = self.device.view.held().into_iter().map(lies).collect();
            held.push(Held { room: 999_999, version: 3 });
            self.device.comes_with(self.how(), held).await?;
        } else {
            self.device.comes(self.how()).await?;
        }
        self.device.catches_up().await?;
        let open: Vec<RequestBody> = self.device.open.values().take(AGAIN_MAX).cloned().collect();
        for ask in open {
            self.stage.recorder.fault("said again");
            self.says(ask).await?;
        }
        Ok(())
    }

    /// Over the socket, or over HTTP, which is another way to the same.
    async fn says(&mut self, ask: RequestBody) -> Result<(), Gone> {
        if self.chance.one_in(4) {
            if self.stage.http.ask(&self.device.person, ask.clone()).await.is_some()
                && let RequestBody::Message { client_id: Some(key), .. } = &ask
            {
                self.device.open.remove(key);
            }
            return Ok(());
        }
        self.device.asks(ask).await.map(|_| ())
    }

    async fn acts(&mut self) -> Result<(), Gone> {
        let pause = self.chance.time_ms(10, 150);
        self.device.reads_for(pause).await?;
        match self.chance.below(100) {
            0..38 => self.says_something().await,
            38..62 => self.changes_something().await,
            62..84 => self.does_something().await,
            84 => {
                self.stage.http.ask(&self.device.person, RequestBody::OnlineUsers {}).await;
                Ok(())
            }
            85 | 86 => self.says_again().await,
            _ => self.suffers().await,
        }
    }

    fn room(&mut self) -> u64 {
        let rooms: Vec<u64> = self.device.view.rooms.keys().copied().collect();
        let lobby = self.chance.one_in(3);
        if lobby { 1 } else { self.chance.pick(&rooms).copied().unwrap_or(1) }
    }

    fn somebody(&mut self) -> u64 {
        let people = std::sync::Arc::clone(&self.stage.people);
        self.chance.pick(&people).map_or(7, |person| person.id)
    }

    async fn says_something(&mut self) -> Result<(), Gone> {
        let number = self.device.person.number();
        let (name, room) = (&self.device.person.name.clone(), self.room());
        let key = format!("{name}-{number}");
        let answers = self.chance.one_in(5);
        let there: Vec<u64> =
            self.device.view.rooms.get(&room).into_iter().flat_map(|room| room.messages.keys().copied()).collect();
        let reply_to = self.chance.pick(&there).copied().filter(|_| answers);
        let content = format!("{number} of {name} on {}", self.device.name);
        let ask = RequestBody::Message { room, content, client_id: Some(key), reply_to };
        self.said.push(ask.clone());
        if self.said.len() > 50 {
            self.said.remove(0);
        }
        self.says(ask).await
    }

    async fn says_again(&mut self) -> Result<(), Gone> {
        let Some(mut ask) = self.chance.pick(&self.said).cloned() else { return Ok(()) };
        if let (true, RequestBody::Message { content, .. }) = (self.chance.one_in(3), &mut ask) {
            self.stage.recorder.fault("said again with another content");
            content.push('!');
        } else {
            self.stage.recorder.fault("said again");
        }
        self.device.asks(ask).await.map(|_| ())
    }

    async fn changes_something(&mut self) -> Result<(), Gone> {
        let me = self.device.view.me;
        let mine_only = self.chance.below(3) != 0;
        let there = self.device.view.messages().filter(|one| !one.deleted && (!mine_only || one.sender.id == me));
        let there: Vec<(u64, u64, u64)> = there.map(|one| (one.id, one.room, one.seq)).collect();
        // Mostly what is new: so do others, at the same time.
        let newest = &there[there.len().saturating_sub(12)..];
        let Some(&(message, room, seq)) = self.chance.pick(newest) else { return Ok(()) };
        let ask = match self.chance.below(8) {
            0 | 1 if mine_only => RequestBody::Edit {
                message,
                content: format!("edited: {} of {}", self.device.person.number(), self.device.person.name),
            },
            2 if mine_only => RequestBody::Delete { message },
            3..=5 => {
                let emoji = (*self.chance.pick(&EMOJI).unwrap_or(&"👍")).to_owned();
                RequestBody::React { message, emoji, on: !self.chance.one_in(3) }
            }
            _ => RequestBody::Read { room, seq: seq.saturating_sub(self.chance.below(3)) },
        };
        if matches!(ask, RequestBody::Read { .. }) && self.chance.one_in(4) {
            self.stage.http.ask(&self.device.person, ask).await;
            return Ok(());
        }
        self.device.asks(ask).await.map(|_| ())
    }

    async fn does_something(&mut self) -> Result<(), Gone> {
        let room = self.room();
        let held = self.device.view.rooms.get(&room).map_or((0, 1), |view| (view.version, view.low));
        let user = self.somebody();
        let ask = match self.chance.below(16) {
            0..=2 if held.1 > 1 && held.1 < u64::MAX => {
                RequestBody::History { room, before: Some(held.1), limit: Some(1 + self.chance.below(40)) }
            }
            3 | 4 => {
                let since =
                    if self.chance.one_in(6) { held.0 + 50 } else { held.0.saturating_sub(self.chance.below(9)) };
                RequestBody::Sync { room, since }
            }
            5..=7 => RequestBody::Presence { room, on: !self.chance.one_in(3) },
            8 => RequestBody::Typing { room, on: true },
            9 | 10 => RequestBody::Join { room: 2 + self.chance.below(2) },
            11 => RequestBody::Leave { room },
            12 | 13 => RequestBody::Invite { room, user },
            14 => RequestBody::Remove { room, user },
            _ if user != self.device.person.id => RequestBody::Open { user },
            _ => RequestBody::Heartbeat {},
        };
        self.device.asks(ask).await.map(|_| ())
    }

    async fn suffers(&mut self) -> Result<(), Gone> {
        let fault = |life: &Self, kind| life.stage.recorder.fault(kind);
        match self.chance.below(14) {
            0..=2 => {
                fault(self, "refresh");
                self.device.cut(false);
                self.device.comes(self.how()).await?;
                self.device.catches_up().await?;
            }
            3 | 4 => {
                fault(self, "cut by a reset");
                // With what was asked for under way.
                self.says_something().await?;
                self.device.cut(true);
            }
            5 => {
                fault(self, "cut");
                self.device.cut(false);
                let away = self.chance.time_ms(0, 4000);
                self.stage.waits(away).await;
            }
            6 => {
                fault(self, "goodbye");
                self.device.leaves().await;
                let away = self.chance.time_ms(0, 2000);
                self.stage.waits(away).await;
            }
            7 => {
                if self.half_open.len() < HALF_OPEN_MAX
                    && let Some(line) = self.device.forgets_its_socket()
                {
                    fault(self, "half-open");
                    let time = self.chance.time_ms(1000, 12_000);
                    self.half_open.push((line, Instant::now() + time));
                }
            }
            8 => {
                fault(self, "stalled reader");
                let time = self.chance.time_ms(500, 4000);
                self.stage.waits(time).await;
            }
            9 => {
                fault(self, "slow reader");
                for _ in 0..40 {
                    let pause = self.chance.time_ms(10, 50);
                    self.stage.waits(pause).await;
                    // One at a time, where there is one.
                    if let Ok(heard) = tokio::time::timeout(Duration::from_millis(1), self.device.hears()).await {
                        heard?;
                    }
                }
            }
            10 => {
                fault(self, "race of connections");
                let racers = 2 + self.chance.below(6);
                let racers = (0..racers).map(|number| {
                    let mut how = self.how();
                    if self.chance.one_in(2) {
                        fault(self, "silent connection");
                        how.silent = Some(self.chance.time_ms(0, 20));
                    }
                    (self.other(&format!("racer {number}")), how, self.chance.fork())
                });
                join_all(
                    racers.collect::<Vec<_>>().into_iter().map(|(device, how, chance)| visits(device, how, chance)),
                )
                .await;
            }
            11 => {
                fault(self, "held-back handshake");
                let held_back = self.chance.time_ms(50, 5000);
                let how = Handshake { held_back: Some(held_back), ..self.how() };
                let visitor = self.other("held back");
                let chance = self.chance.fork();
                tokio::join!(visits(visitor, how, chance), self.device.reads_for(held_back)).1?;
            }
            12 if self.chance.one_in(3) => {
                fault(self, "token revoked");
                let token = self.device.person.token();
                self.stage.http.ask(&self.device.person, RequestBody::Revoke {}).await;
                self.device.person.needs_another_than(&token);
            }
            _ => {}
        }
        Ok(())
    }

    /// Another device of the same person, that was never there before.
    fn other(&self, name: &str) -> Device {
        let name = format!("{name} of {}", self.device.person.number());
        Device::new(&self.stage.recorder, self.stage.address, &self.device.person, &name)
    }
}

/// Comes, looks around for a while, and goes.
async fn visits(mut device: Device, how: Handshake<'_>, mut chance: Chance) {
    let visit = async {
        device.comes(how).await?;
        let ServerBody::Ack(_) = device.does(RequestBody::Heartbeat {}).await? else { return Ok(()) };
        device.reads_for(chance.time_ms(0, 300)).await
    };
    if visit.await == Ok::<(), Gone>(()) {
        device.cut(chance.one_in(2));
    }
}
