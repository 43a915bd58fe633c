//! Indexes a history for the rules: requests with their answers, and the lifetime of each socket. It judges nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::history::{Dialect, End, Event, Fact, History, ServerEvent, Socket};
use crate::wire::{Classic, Message, Page, ReactionsChange, Request, RequestBody, ServerBody, ServerEnvelope, Welcome};

/// An indexed history.
pub struct RunIndex<'a> {
    /// The recorded events.
    pub events: &'a [Event],
    /// Every request, in order.
    pub exchanges: Vec<Exchange<'a>>,
    /// Every socket, by number.
    pub connections: BTreeMap<u64, Connection<'a>>,
    /// Every message received over v1, in whatever envelope: the event, the receiving socket, the message.
    pub messages: Vec<(usize, &'a Socket, Cow<'a, Message>)>,
    /// Every live change of reactions: the event, the receiving socket, the change.
    pub reactions: Vec<(usize, &'a Socket, &'a ReactionsChange)>,
    /// When each process of the server was gone, with its sockets and its memory.
    pub server_ends_us: Vec<u64>,
    /// The event after which no client changed anything.
    pub changes_ended: Option<usize>,
}

/// A request and its answer.
pub struct Exchange<'a> {
    /// The event of the request.
    pub index: usize,
    /// The socket that sent it.
    pub socket: &'a Socket,
    /// The request.
    pub body: &'a RequestBody,
    /// The answer and its event, if the client received one.
    pub response: Option<(usize, Response<'a>)>,
}

/// The answer to a request.
#[derive(Clone, Copy)]
pub enum Response<'a> {
    /// The request succeeded.
    Ack(&'a Value),
    /// `hello` succeeded.
    Welcome(&'a Welcome),
    /// The request was refused with this code.
    Refused(&'a str),
}

/// The lifetime of a socket, as far as its client knows.
pub struct Connection<'a> {
    /// The socket.
    pub socket: &'a Socket,
    /// When the first byte was sent: event and time.
    pub begun: (usize, u64),
    /// The device that the handshake named.
    pub named: Option<&'a str>,
    /// The status of the handshake's response.
    pub status: Option<u16>,
    /// When the client read the 101: event and time.
    pub opened: Option<(usize, u64)>,
    /// When the last answered request was sent: the session was registered until then.
    pub proven_us: Option<u64>,
    /// When and how it ended.
    pub ended: Option<(u64, &'a End)>,
    /// The code of the goodbye or close frame.
    pub closed: Option<u16>,
    /// The client quiesced on it.
    pub quiesced: bool,
}

impl Exchange<'_> {
    /// The acknowledgement and its event.
    pub fn ack<T: DeserializeOwned>(&self) -> Option<(usize, T)> {
        match self.response {
            Some((index, Response::Ack(data))) => Some((index, T::deserialize(data).ok()?)),
            _ => None,
        }
    }

    /// Whether the server refused it, so that it had no effect.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.response, Some((_, Response::Refused(_))))
    }
}

impl Connection<'_> {
    /// Whether it may have become a session: its handshake was not refused.
    #[must_use]
    pub fn may_have_opened(&self) -> bool {
        self.socket.dialect != Dialect::Http && self.status.is_none_or(|status| status == 101)
    }

    /// The time in which it was certainly registered.
    #[must_use]
    pub fn certain_us(&self) -> Option<(u64, u64)> {
        let (_, opened) = self.opened?;
        self.proven_us.filter(|proven| *proven >= opened).map(|proven| (opened, proven))
    }

    /// The time in which it may have been registered. `slack_us` is what a busy server may take to notice its end.
    #[must_use]
    pub fn possible_us(&self, server_ends_us: &[u64], slack_us: u64) -> (u64, u64) {
        let from = self.begun.1;
        let ended = self.ended.map_or(u64::MAX, |(at, _)| at.saturating_add(slack_us));
        let server_end = server_ends_us.iter().find(|end| **end >= from).copied();
        (from, server_end.map_or(ended, |end| ended.min(end)))
    }

    /// Whether it ended in a way after which its user does not linger.
    #[must_use]
    pub fn said_goodbye(&self) -> bool {
        let left = matches!(self.ended, Some((_, End::Left { .. })));
        left || matches!(self.closed, Some(1000 | 1008 | 4101 | 4502 | 4503))
    }
}

/// Requests without an answer, by socket and request id. Classic heartbeats have no id and are answered in order.
#[derive(Default)]
struct Pending<'a> {
    by_id: BTreeMap<(u64, &'a str), usize>,
    heartbeats: BTreeMap<u64, VecDeque<u64>>,
}

impl<'a> RunIndex<'a> {
    /// Indexes a history.
    #[must_use]
    pub fn build(history: &'a History) -> Self {
        let mut run = Self {
            events: &history.events,
            exchanges: Vec::new(),
            connections: BTreeMap::new(),
            messages: Vec::new(),
            reactions: Vec::new(),
            server_ends_us: Vec::new(),
            changes_ended: None,
        };
        let mut pending = Pending::default();
        for (index, event) in history.events.iter().enumerate() {
            match (&event.fact, &event.socket) {
                (Fact::ChangesEnded, _) => run.changes_ended = Some(index),
                (Fact::Server(ServerEvent::Ended), _) => run.server_ends_us.push(event.at_us),
                (fact, Some(socket)) => {
                    run.add_request(index, event.at_us, socket, fact, &mut pending);
                    run.add_received(index, event.at_us, socket, fact, &mut pending);
                    run.update_connection(index, event.at_us, socket, fact);
                }
                _ => {}
            }
        }
        run
    }

    /// The time of the last event.
    #[must_use]
    pub fn end_us(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at_us)
    }

    fn add_request(&mut self, index: usize, at_us: u64, socket: &'a Socket, fact: &'a Fact, pending: &mut Pending<'a>) {
        let Fact::RequestSent(Request { id, body }) = fact else { return };
        match id {
            Some(id) => drop(pending.by_id.insert((socket.number, id), self.exchanges.len())),
            None if matches!(body, RequestBody::Heartbeat {}) => {
                pending.heartbeats.entry(socket.number).or_default().push_back(at_us);
            }
            None => {}
        }
        self.exchanges.push(Exchange { index, socket, body, response: None });
    }

    fn add_received(
        &mut self,
        index: usize,
        at_us: u64,
        socket: &'a Socket,
        fact: &'a Fact,
        pending: &mut Pending<'a>,
    ) {
        let mut proven_us = None;
        if let Fact::ClassicReceived(Classic::Heartbeat { .. }) = fact {
            proven_us = pending.heartbeats.get_mut(&socket.number).and_then(VecDeque::pop_front);
        }
        if let Fact::EnvelopeReceived(envelope) = fact {
            let response = match &envelope.body {
                ServerBody::Message(message) => {
                    self.messages.push((index, socket, Cow::Borrowed(message)));
                    None
                }
                ServerBody::Change(change) => {
                    self.reactions.push((index, socket, change));
                    None
                }
                ServerBody::Ack(data) => Some(Response::Ack(data)),
                ServerBody::Welcome(welcome) => Some(Response::Welcome(welcome)),
                ServerBody::Error { code } => Some(Response::Refused(code)),
                _ => None,
            };
            let request = envelope.id.as_deref().and_then(|id| pending.by_id.remove(&(socket.number, id)));
            if let (Some(response), Some(request)) = (response, request) {
                let exchange = &mut self.exchanges[request];
                exchange.response = Some((index, response));
                proven_us = Some(self.events[exchange.index].at_us);
                if let (RequestBody::History { .. }, Some((_, page))) = (exchange.body, exchange.ack::<Page>()) {
                    let messages = page.messages.into_iter();
                    self.messages.extend(messages.map(|message| (index, socket, Cow::Owned(message))));
                }
            }
        }
        if let (Some(proven_us), Some(connection)) = (proven_us, self.connections.get_mut(&socket.number)) {
            connection.proven_us = connection.proven_us.max(Some(proven_us));
            debug_assert!(proven_us <= at_us);
        }
    }

    fn update_connection(&mut self, index: usize, at_us: u64, socket: &'a Socket, fact: &'a Fact) {
        if let Fact::HandshakeSent { device } = fact {
            let connection = Connection {
                socket,
                begun: (index, at_us),
                named: device.as_deref(),
                status: None,
                opened: None,
                proven_us: None,
                ended: None,
                closed: None,
                quiesced: false,
            };
            self.connections.insert(socket.number, connection);
        }
        let Some(connection) = self.connections.get_mut(&socket.number) else { return };
        match fact {
            Fact::HandshakeAnswered { status } => {
                connection.status = Some(*status);
                connection.opened = (*status == 101).then_some((index, at_us));
            }
            Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Goodbye { code, .. }, .. }) => {
                connection.closed = Some(*code);
            }
            Fact::Ended(end) => {
                if let End::Closed { code, .. } = end {
                    connection.closed = Some(*code);
                }
                connection.ended.get_or_insert((at_us, end));
            }
            Fact::Quiesced => connection.quiesced = true,
            _ => {}
        }
    }
}
