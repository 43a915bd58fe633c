//! A device of a user: what it keeps between connections, its connection, and the requests it sends. It only uses its
//! simulated socket.

use bytes::{Buf, Bytes, BytesMut};
use teahouse_checker::view::{DeviceView, RoomView};
use teahouse_checker::wire::{Request, RequestBody};
use teahouse_core::AcceptOrder;

use super::classic_client::ClassicClient;
use super::network::{Pipe, SharedPipe};
use super::random::Draw;
use super::store::{EPOCH, Store};
use super::v1_client::{self, V1Client};
use super::{Check, ensure};
use fastrand::Rng;

/// A user's browser tab or phone.
pub(super) struct Device {
    pub(super) user: u64,
    pub(super) name: Option<String>,
    pub(super) client_model: ClientModel,
    pub(super) connection: Option<Connection>,
    /// An earlier view, restored at times as a frozen tab is.
    frozen: DeviceView,
    /// The code that its last connection was closed with.
    pub(super) closed_with: Option<u16>,
    said: u64,
}

pub(super) enum ClientModel {
    Classic(ClassicClient),
    V1(V1Client),
}

/// The client's side of a connection.
pub(super) struct Connection {
    pub(super) line: SharedPipe,
    pub(super) accepted: AcceptOrder,
    /// The shard has attached it.
    pub(super) has_arrived: bool,
    /// On its way to the shard.
    outgoing: BytesMut,
    incoming: BytesMut,
    /// The response to the upgrade, if it is still to arrive.
    pub(super) answer: Bytes,
    /// The client does not read.
    pub(super) is_stalled: bool,
    /// The network drops everything, and neither side knows.
    pub(super) is_cut: bool,
    /// The client closed it and waits for the end.
    pub(super) is_closing: bool,
    close_code: Option<u16>,
    /// The epoch that its hello named.
    epoch: Option<&'static str>,
}

impl Device {
    pub(super) fn new(user: u64, name: Option<String>, is_classic: bool) -> Self {
        let client_model = if is_classic {
            ClientModel::Classic(ClassicClient { user, ..ClassicClient::default() })
        } else {
            ClientModel::V1(V1Client::new(user))
        };
        Self { user, name, client_model, connection: None, frozen: v1_client::empty_view(), closed_with: None, said: 0 }
    }

    /// What makes two clients of a user one device; none for a device of its own.
    pub(super) fn identity(&self) -> Option<String> {
        match self.client_model {
            ClientModel::Classic(_) => Some("classic".to_owned()),
            ClientModel::V1(_) => self.name.clone(),
        }
    }

    pub(super) fn connect(&mut self, capacity: usize, accepted: AcceptOrder) -> SharedPipe {
        let line = Pipe::new(capacity);
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

    /// The connection ended.
    pub(super) fn lose(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.closed_with = connection.close_code;
        match &mut self.client_model {
            ClientModel::V1(client) => {
                client.disconnected();
            }
            ClientModel::Classic(classic) => *classic = ClassicClient { user: self.user, ..ClassicClient::default() },
        }
    }

    /// Whether the code of the last close allows to reconnect.
    pub(super) fn may_reconnect(&self) -> bool {
        match self.closed_with {
            Some(code) => code < 4500 && !(code == 1008 && matches!(self.client_model, ClientModel::Classic(_))),
            None => true,
        }
    }

    /// Whether it is connected, as far as both sides can know.
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

    /// Sends some bytes to the shard.
    pub(super) fn send_some(&mut self, rng: &mut Rng) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        if connection.outgoing.is_empty() || connection.is_cut || !connection.has_arrived {
            return false;
        }
        let bytes = piece(connection.outgoing.len(), rng);
        let piece = connection.outgoing.split_to(bytes);
        connection.line.borrow_mut().arrive(&piece);
        true
    }

    /// Reads some bytes. Returns whether there were any, or the connection ended.
    pub(super) fn read_some(&mut self, store: &Store, rng: &mut Rng) -> Result<bool, String> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        if connection.is_stalled || connection.is_cut || !connection.has_arrived {
            return Ok(false);
        }
        let mut wire = connection.line.borrow_mut();
        let waiting = wire.to_client.len();
        if waiting > 0 {
            let taken = wire.take(piece(waiting, rng));
            drop(wire);
            connection.incoming.extend_from_slice(&taken);
            self.read_frames(store)?;
            return Ok(true);
        }
        let (is_reset, is_over, cut_off, closed) = (wire.is_reset, wire.server_ended, wire.cut_off, wire.server_closed);
        drop(wire);
        if is_reset || is_over {
            let is_ours = connection.is_closing;
            let code = connection.close_code;
            let had_goodbye = match &self.client_model {
                ClientModel::V1(client) => client.goodbye.is_some(),
                ClientModel::Classic(_) => true,
            };
            if !is_ours && !cut_off && (!is_reset || closed) {
                ensure!(code.is_some(), "the connection ended without a close frame");
                ensure!(had_goodbye, "the connection ended without a goodbye");
            }
            self.lose();
            return Ok(true);
        }
        Ok(false)
    }

    fn read_frames(&mut self, store: &Store) -> Check {
        loop {
            let Some(connection) = &mut self.connection else { return Ok(()) };
            let incoming = &mut connection.incoming;
            if incoming.len() < connection.answer.len() {
                return Ok(());
            }
            if !connection.answer.is_empty() {
                ensure!(incoming.starts_with(&connection.answer), "something precedes the response to the upgrade");
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
                    match &mut self.client_model {
                        ClientModel::V1(client) => {
                            for line in text.split('\n') {
                                client.read(store, line)?;
                            }
                        }
                        ClientModel::Classic(classic) => classic.read(store, text)?,
                    }
                }
                8 => {
                    let code = frame.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                    connection.close_code = Some(code);
                    if let (ClientModel::V1(client), false) = (&self.client_model, connection.is_closing) {
                        let matches = client.goodbye == Some(code);
                        ensure!(matches, "closed with {code} after a goodbye of {:?}", client.goodbye);
                    }
                    if let (ClientModel::Classic(classic), 4501) = (&self.client_model, code) {
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

    /// Its first bytes, right after the upgrade request.
    pub(super) fn early(&mut self) -> Vec<u8> {
        self.connection.as_mut().map(|connection| connection.outgoing.split().to_vec()).unwrap_or_default()
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        let outgoing = &mut connection.outgoing;
        // A mask of zeros.
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

    // ── Requests ──

    /// Closes the connection and waits for its end.
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
        if let ClientModel::V1(client) = &mut self.client_model {
            client.record_request(request);
        }
        self.frame(1, text.as_bytes());
    }

    /// Sends what the protocol requires: hello, and presence again after a refresh. Returns whether it sent anything.
    pub(super) fn send_required(&mut self, rng: &mut Rng) -> bool {
        if !self.is_live() {
            return false;
        }
        let ClientModel::V1(client) = &mut self.client_model else { return false };
        if let Some(room) = client.refresh.pop() {
            if client.view.rooms.contains_key(&room) {
                self.request(RequestBody::Presence { room, on: true });
            }
            return true;
        }
        let may_say_hello = client.may_say_hello();
        if may_say_hello {
            self.hello(rng);
        }
        may_say_hello
    }

    fn hello(&mut self, rng: &mut Rng) {
        let ClientModel::V1(client) = &mut self.client_model else { return };
        let Some(connection) = &mut self.connection else { return };
        let said_hello_before = connection.epoch.is_some();
        let mut epoch = connection.epoch.unwrap_or(EPOCH);
        let mut is_lost = false;
        if !said_hello_before {
            match rng.u64(..24) {
                0 => client.view = v1_client::empty_view(),
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
            rooms.swap(place, rng.index(place + 1));
        }
        if !said_hello_before && rng.one_in(8) {
            rooms.truncate(rng.index(rooms.len() + 1));
        }
        if let Some(held) = rooms.first_mut().filter(|_| is_lost) {
            // A client that claims a version that never existed.
            held.version += 1_000_000;
        }
        self.request(RequestBody::Hello { epoch: Some(epoch.to_owned()), rooms });
        if rng.one_in(4) {
            // It does not wait for the welcome.
            self.post_message(1, "early");
        }
    }

    fn post_message(&mut self, room: u64, content: &str) {
        let client_id = Some(format!("c{}", self.said));
        self.request(RequestBody::Message { room, content: content.to_owned(), client_id, reply_to: None });
    }

    /// Sends a random request.
    pub(super) fn send_random_request(&mut self, users: u64, rng: &mut Rng) {
        if !self.is_live() {
            return;
        }
        let said = self.said;
        let ClientModel::V1(client) = &mut self.client_model else {
            self.said += 1;
            let text = match rng.u64(..12) {
                0 => r#"{"type":"heartbeat","data":{}}"#.to_owned(),
                1 => "nonsense".to_owned(),
                _ => format!(r#"{{"type":"message","data":{{"content":"c{said}"}}}}"#),
            };
            return self.frame(1, text.as_bytes());
        };
        if client.may_say_hello() {
            return self.hello(rng);
        }
        // A client does not request for ever without reading a reply.
        if client.unanswered.len() > 40 {
            return;
        }
        let rooms: Vec<u64> = client.view.rooms.keys().copied().collect();
        let room = if rooms.is_empty() { 1 } else { rng.pick(&rooms) };
        let view = client.view.rooms.get(&room);
        let (version, low) = view.map_or((0, u64::MAX), |view| (view.version, view.low));
        let is_catching_up = view.is_some_and(RoomView::is_catching_up);
        let last_seq = view.map_or(1, |view| view.last_seq.max(1));
        let messages: Vec<u64> = view.into_iter().flat_map(|view| view.messages.keys().copied()).collect();
        let message = if messages.is_empty() { 1 } else { rng.pick(&messages) };
        let (user, on) = (rng.u64(1..=users), rng.one_in(2));
        let emoji = rng.pick(&["+", "-"]).to_owned();
        match rng.u64(..40) {
            0..14 => self.post_message(room, &format!("m{said}")),
            14..16 => self.request(RequestBody::Edit { message, content: format!("e{said}") }),
            16 => self.request(RequestBody::Delete { message }),
            17..20 => self.request(RequestBody::React { message, emoji, on }),
            20..22 => self.request(RequestBody::Read { room, seq: last_seq.saturating_sub(rng.u64(..3)) }),
            22..25 if low < u64::MAX && !is_catching_up => {
                self.request(RequestBody::History { room, before: Some(low), limit: Some(3) });
            }
            25..27 => self.request(RequestBody::Sync { room, since: version.saturating_sub(rng.u64(..8)) }),
            27..29 => {
                for _ in 0..rng.pick(&[1, 1, 1, 3]) {
                    self.request(RequestBody::Presence { room, on: !rng.one_in(4) });
                }
            }
            29 => self.request(RequestBody::Typing { room, on }),
            30 => {
                // Perhaps a room that it is in, and perhaps again before the reply.
                let room = rng.u64(1..=4);
                for _ in 0..rng.pick(&[1, 1, 2, 3]) {
                    self.request(RequestBody::Join { room });
                }
            }
            31 => {
                self.request(RequestBody::Join { room });
                self.post_message(room, &format!("m{said}"));
                self.request(RequestBody::Leave { room });
                self.request(RequestBody::Join { room });
            }
            32 => self.request(RequestBody::Leave { room }),
            33 => self.request(RequestBody::Invite { room, user }),
            34 => self.request(RequestBody::Remove { room, user }),
            35 if user != self.user => self.request(RequestBody::Open { user }),
            36 => self.request(RequestBody::Update { room, title: "t".to_owned() }),
            37 => self.request(RequestBody::Auth { token: "t".to_owned() }),
            38 => self.request(RequestBody::Decline { room }),
            _ if rng.one_in(8) => self.frame(1, b"nonsense"),
            _ if rng.one_in(8) => self.post_message(1, "panic"),
            _ => self.frame(9, b"ping"),
        }
    }
}

/// How many bytes pass at once: mostly all, sometimes a few.
fn piece(bytes: usize, rng: &mut Rng) -> usize {
    if rng.one_in(3) { 1 + rng.index(bytes.min(40)) } else { bytes }
}
