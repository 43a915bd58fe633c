//! A device of a user: what it remembers between connections, its connection, and what it says of its own
//! accord. It speaks through a simulated socket alone.

use bytes::{Buf, Bytes, BytesMut};
use teahouse_checker::view::{DeviceView, RoomView};
use teahouse_checker::wire::{Request, RequestBody};
use teahouse_core::AcceptOrder;

use super::chance::Chance;
use super::classic::Classic;
use super::client::{self, Client};
use super::socket::{Line, Wire};
use super::store::{EPOCH, Store};
use super::{Check, ensure};

/// A user's tab or telephone.
pub(super) struct Device {
    pub(super) user: u64,
    pub(super) name: Option<String>,
    pub(super) speaks: Speaks,
    pub(super) connection: Option<Connection>,
    /// What it showed at some earlier time; restored now and then, as a frozen tab is.
    frozen: DeviceView,
    /// The code that its last connection was closed with.
    pub(super) closed_with: Option<u16>,
    said: u64,
}

pub(super) enum Speaks {
    Classic(Classic),
    V1(Client),
}

/// A connection as its client has it.
pub(super) struct Connection {
    pub(super) line: Line,
    pub(super) accepted: AcceptOrder,
    /// It is at its shard.
    pub(super) has_arrived: bool,
    /// On its way to the shard.
    outgoing: BytesMut,
    incoming: BytesMut,
    /// What comes first: the answer to the upgrade, unless it came.
    pub(super) answer: Bytes,
    /// It reads nothing for the time being.
    pub(super) is_stalled: bool,
    /// Nothing passes any more, and nobody knows.
    pub(super) is_cut: bool,
    /// It was ended by the client, which awaits nothing but the end.
    pub(super) is_closing: bool,
    close_code: Option<u16>,
    /// The history that its hello names, once it said one.
    epoch: Option<&'static str>,
}

impl Device {
    pub(super) fn new(user: u64, name: Option<String>, is_classic: bool) -> Self {
        let speaks = if is_classic {
            Speaks::Classic(Classic { user, ..Classic::default() })
        } else {
            Speaks::V1(Client::new(user))
        };
        Self { user, name, speaks, connection: None, frozen: client::nothing(), closed_with: None, said: 0 }
    }

    pub(super) fn connect(&mut self, capacity: usize, accepted: AcceptOrder) -> Line {
        let line = Wire::new(capacity);
        self.closed_with = None;
        self.connection = Some(Connection {
            line: line.clone(),
            accepted,
            has_arrived: false,
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
            answer: Bytes::new(),
            is_stalled: false,
            is_cut: false,
            is_closing: false,
            close_code: None,
            epoch: None,
        });
        line
    }

    /// The connection is over, however that came.
    pub(super) fn lose(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.closed_with = connection.close_code;
        match &mut self.speaks {
            Speaks::V1(client) => {
                client.disconnected();
            }
            Speaks::Classic(classic) => *classic = Classic { user: self.user, ..Classic::default() },
        }
    }

    /// Whether it may connect by itself, by the code that it was closed with.
    pub(super) fn comes_back(&self) -> bool {
        match self.closed_with {
            Some(code) => code < 4500 && !(code == 1008 && matches!(self.speaks, Speaks::Classic(_))),
            None => true,
        }
    }

    /// It is connected, as far as both sides can know.
    pub(super) fn is_live(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| {
            let wire = connection.line.borrow();
            connection.has_arrived
                && !connection.is_cut
                && !connection.is_closing
                && connection.close_code.is_none()
                && !wire.is_reset
                && !wire.server_ended
        })
    }

    // ── The network ──

    /// Bytes arrive at the shard.
    pub(super) fn send_some(&mut self, chance: &mut Chance) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        if connection.outgoing.is_empty() || connection.is_cut || !connection.has_arrived {
            return false;
        }
        let bytes = piece(connection.outgoing.len(), chance);
        let piece = connection.outgoing.split_to(bytes);
        connection.line.borrow_mut().arrive(&piece);
        true
    }

    /// It reads some bytes. Says whether anything came, or that it is the end.
    pub(super) fn read_some(&mut self, truth: &Store, chance: &mut Chance) -> Result<bool, String> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        if connection.is_stalled || connection.is_cut || !connection.has_arrived {
            return Ok(false);
        }
        let mut wire = connection.line.borrow_mut();
        let waiting = wire.to_client.len();
        if waiting > 0 {
            let taken = wire.take(piece(waiting, chance));
            drop(wire);
            connection.incoming.extend_from_slice(&taken);
            self.read_frames(truth)?;
            return Ok(true);
        }
        let (is_reset, is_over, cut_off, closed) = (wire.is_reset, wire.server_ended, wire.cut_off, wire.server_closed);
        drop(wire);
        if is_reset || is_over {
            let is_ours = connection.is_closing;
            let code = connection.close_code;
            let was_told = match &self.speaks {
                Speaks::V1(client) => client.goodbye.is_some(),
                Speaks::Classic(_) => true,
            };
            if !is_ours && !cut_off && (!is_reset || closed) {
                ensure!(code.is_some(), "the connection ended without a close frame");
                ensure!(was_told, "the connection ended without a goodbye");
            }
            self.lose();
            return Ok(true);
        }
        Ok(false)
    }

    fn read_frames(&mut self, truth: &Store) -> Check {
        loop {
            let Some(connection) = &mut self.connection else { return Ok(()) };
            let incoming = &mut connection.incoming;
            if incoming.len() < connection.answer.len() {
                return Ok(());
            }
            if !connection.answer.is_empty() {
                ensure!(incoming.starts_with(&connection.answer), "something comes before the answer to the upgrade");
                incoming.advance(connection.answer.len());
                connection.answer.clear();
            }
            let [first, second, ..] = incoming[..] else { return Ok(()) };
            ensure!(first & 0xF0 == 0x80 && second & 0x80 == 0, "not a frame: {first:x} {second:x}");
            let (head, payload) = match (second, incoming.get(2..4), incoming.get(2..10)) {
                (126, Some(bytes), _) => (4, usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
                (127, _, Some(bytes)) => (10, bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))),
                (126 | 127, ..) => return Ok(()),
                (short, ..) => (2, usize::from(short)),
            };
            if incoming.len() < head + payload {
                return Ok(());
            }
            ensure!(connection.close_code.is_none(), "something follows the close frame");
            incoming.advance(head);
            let frame = incoming.split_to(payload);
            match first & 0x0F {
                1 => {
                    let text = std::str::from_utf8(&frame).map_err(|error| error.to_string())?;
                    match &mut self.speaks {
                        Speaks::V1(client) => {
                            for line in text.split('\n') {
                                client.read(truth, line)?;
                            }
                        }
                        Speaks::Classic(classic) => classic.read(truth, text)?,
                    }
                }
                8 => {
                    let code = frame.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                    connection.close_code = Some(code);
                    if let (Speaks::V1(client), false) = (&self.speaks, connection.is_closing) {
                        let told = client.goodbye.is_some_and(|told| told == code);
                        ensure!(told, "closed with {code} after a goodbye of {:?}", client.goodbye);
                    }
                    if let (Speaks::Classic(classic), 4501) = (&self.speaks, code) {
                        ensure!(classic.displaced, "displaced without a notice");
                    }
                    if !connection.is_closing {
                        connection.is_closing = true;
                        let frame = frame.get(..2).unwrap_or_default().to_vec();
                        self.frame(8, &frame);
                    }
                }
                9 => self.frame(10, &frame),
                10 => {}
                other => return Err(format!("a frame of kind {other}")),
            }
        }
    }

    /// What it sends right behind its upgrade request.
    pub(super) fn early(&mut self) -> Vec<u8> {
        self.connection.as_mut().map(|connection| connection.outgoing.split().to_vec()).unwrap_or_default()
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        let outgoing = &mut connection.outgoing;
        // A key that leaves everything as it is.
        outgoing.extend_from_slice(&[0x80 | opcode]);
        match payload.len() {
            short @ 0..=125 => outgoing.extend_from_slice(&[0x80 | short as u8]),
            long => {
                outgoing.extend_from_slice(&[0xFE]);
                outgoing.extend_from_slice(&(long as u16).to_be_bytes());
            }
        }
        outgoing.extend_from_slice(&[0; 4]);
        outgoing.extend_from_slice(payload);
    }

    // ── What it says ──

    /// It says goodbye and waits for the end.
    pub(super) fn close(&mut self, code: u16) {
        if let Some(connection) = &mut self.connection
            && !connection.is_closing
        {
            connection.is_closing = true;
            self.frame(8, &code.to_be_bytes());
        }
    }

    fn request(&mut self, body: RequestBody) {
        self.said += 1;
        let request = Request { id: Some(self.said.to_string()), body };
        let text = serde_json::to_string(&request).unwrap();
        if let Speaks::V1(client) = &mut self.speaks {
            client.asks(request);
        }
        self.frame(1, text.as_bytes());
    }

    /// What it must do by the protocol, whatever else: say hello, ask again who is online. Says whether it did.
    pub(super) fn keep_up(&mut self, chance: &mut Chance) -> bool {
        if !self.is_live() {
            return false;
        }
        let Speaks::V1(client) = &mut self.speaks else { return false };
        if let Some(room) = client.refresh.pop() {
            if client.view.rooms.contains_key(&room) {
                self.request(RequestBody::Presence { room, on: true });
            }
            return true;
        }
        let may_greet = client.may_greet();
        if may_greet {
            self.hello(chance);
        }
        may_greet
    }

    fn hello(&mut self, chance: &mut Chance) {
        let Speaks::V1(client) = &mut self.speaks else { return };
        let Some(connection) = &mut self.connection else { return };
        let was_told = connection.epoch.is_some();
        let mut epoch = connection.epoch.unwrap_or(EPOCH);
        let mut is_lost = false;
        if !was_told {
            match chance.below(24) {
                0 => client.view = client::nothing(),
                1 => self.frozen = client.view.clone(),
                2 => client.view = self.frozen.clone(),
                3 => epoch = "e0",
                4 => is_lost = true,
                _ => {}
            }
        }
        connection.epoch = Some(epoch);
        client.view.epoch = Some(epoch.to_owned());
        let mut rooms = client.view.held();
        for place in (1..rooms.len()).rev() {
            rooms.swap(place, chance.index(place + 1));
        }
        if !was_told && chance.one_in(8) {
            rooms.truncate(chance.index(rooms.len() + 1));
        }
        if let Some(held) = rooms.first_mut().filter(|_| is_lost) {
            // It has lost its way, and claims what never was.
            held.version += 1_000_000;
        }
        self.request(RequestBody::Hello { epoch: Some(epoch.to_owned()), rooms });
        if chance.one_in(4) {
            // It does not wait for the welcome.
            self.say(1, "early");
        }
    }

    fn say(&mut self, room: u64, content: &str) {
        let client_id = Some(format!("c{}", self.said));
        self.request(RequestBody::Message { room, content: content.to_owned(), client_id, reply_to: None });
    }

    /// It does something of its own accord.
    pub(super) fn act(&mut self, users: u64, chance: &mut Chance) {
        if !self.is_live() {
            return;
        }
        let said = self.said;
        let Speaks::V1(client) = &mut self.speaks else {
            self.said += 1;
            let text = match chance.below(12) {
                0 => r#"{"type":"heartbeat","data":{}}"#.to_owned(),
                1 => "nonsense".to_owned(),
                _ => format!(r#"{{"type":"message","data":{{"content":"c{said}"}}}}"#),
            };
            return self.frame(1, text.as_bytes());
        };
        if client.may_greet() {
            return self.hello(chance);
        }
        // Nobody asks for ever without reading an answer.
        if client.asked.len() > 40 {
            return;
        }
        let rooms: Vec<u64> = client.view.rooms.keys().copied().collect();
        let room = if rooms.is_empty() { 1 } else { chance.pick(&rooms) };
        let view = client.view.rooms.get(&room);
        let (version, low) = view.map_or((0, u64::MAX), |view| (view.version, view.low));
        let is_catching_up = view.is_some_and(RoomView::is_catching_up);
        let last_seq = view.map_or(1, |view| view.last_seq.max(1));
        let messages: Vec<u64> = view.into_iter().flat_map(|view| view.messages.keys().copied()).collect();
        let message = if messages.is_empty() { 1 } else { chance.pick(&messages) };
        let (user, on) = (chance.between(1, users), chance.one_in(2));
        let emoji = chance.pick(&["+", "-"]).to_owned();
        match chance.below(40) {
            0..14 => self.say(room, &format!("m{said}")),
            14..16 => self.request(RequestBody::Edit { message, content: format!("e{said}") }),
            16 => self.request(RequestBody::Delete { message }),
            17..20 => self.request(RequestBody::React { message, emoji, on }),
            20..22 => self.request(RequestBody::Read { room, seq: last_seq.saturating_sub(chance.below(3)) }),
            22..25 if low < u64::MAX && !is_catching_up => {
                self.request(RequestBody::History { room, before: Some(low), limit: Some(3) });
            }
            25..27 => self.request(RequestBody::Sync { room, since: version.saturating_sub(chance.below(8)) }),
            27..29 => {
                for _ in 0..chance.pick(&[1, 1, 1, 3]) {
                    self.request(RequestBody::Presence { room, on: !chance.one_in(4) });
                }
            }
            29 => self.request(RequestBody::Typing { room, on }),
            30 => {
                // Of a room that it is in, perhaps, and again before the answer.
                let room = chance.between(1, 4);
                for _ in 0..chance.pick(&[1, 1, 2, 3]) {
                    self.request(RequestBody::Join { room });
                }
            }
            31 => {
                self.request(RequestBody::Join { room });
                self.say(room, &format!("m{said}"));
                self.request(RequestBody::Leave { room });
                self.request(RequestBody::Join { room });
            }
            32 => self.request(RequestBody::Leave { room }),
            33 => self.request(RequestBody::Invite { room, user }),
            34 => self.request(RequestBody::Remove { room, user }),
            35 if user != self.user => self.request(RequestBody::Open { user }),
            36 => self.request(RequestBody::Update { room, title: "t".to_owned() }),
            37 => self.request(RequestBody::Auth { token: "t".to_owned() }),
            38 => self.request(RequestBody::Heartbeat {}),
            _ if chance.one_in(8) => self.frame(1, b"nonsense"),
            _ if chance.one_in(8) => self.say(1, "panic"),
            _ => self.frame(9, b"ping"),
        }
    }
}

/// How much of it passes at once: mostly all, now and then a few bytes.
fn piece(bytes: usize, chance: &mut Chance) -> usize {
    if chance.one_in(3) { 1 + chance.index(bytes.min(40)) } else { bytes }
}
