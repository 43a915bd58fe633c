//! A history put in order for the rules: which question got which answer, and how each socket lived. It judges
//! nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::history::{Dialect, End, Event, Fact, History, Server, Socket};
use crate::wire::{Ask, Classic, Heard, Message, Page, Request, Said, Welcome};

/// A history in order.
pub struct Ledger<'a> {
    /// As it was recorded.
    pub events: &'a [Event],
    /// Every question, in the order in which they were asked.
    pub asked: Vec<Asked<'a>>,
    /// Every socket, by number.
    pub lives: BTreeMap<u64, Life<'a>>,
    /// Every message that came over v1, wherever it stood: the event, whose it was, the message.
    pub messages: Vec<(usize, &'a Socket, Cow<'a, Message>)>,
    /// When nothing of a life of the server was left: its sockets and its memory are gone.
    pub deaths_us: Vec<u64>,
    /// The event from which on nobody asked for a change.
    pub quiet: Option<usize>,
}

/// A question and its answer.
pub struct Asked<'a> {
    /// The event.
    pub index: usize,
    /// Where it was asked.
    pub socket: &'a Socket,
    /// What.
    pub ask: &'a Ask,
    /// What came of it, if that was heard.
    pub answer: Option<(usize, Answer<'a>)>,
}

/// What came of a question.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// It is done.
    Ack(&'a Value),
    /// `hello` was welcomed.
    Welcome(&'a Welcome),
    /// It was refused with this code.
    Refused(&'a str),
}

/// How a socket lived, as far as its owner knows.
pub struct Life<'a> {
    /// Which.
    pub socket: &'a Socket,
    /// When the first byte was sent, and the event.
    pub begun: (usize, u64),
    /// The device that its handshake named.
    pub named: Option<&'a str>,
    /// The status of the handshake's answer.
    pub status: Option<u16>,
    /// When the 101 was read, and the event.
    pub opened: Option<(usize, u64)>,
    /// When the last question was asked that was answered: until then the session was registered.
    pub proven_us: Option<u64>,
    /// How it ended and when.
    pub ended: Option<(u64, &'a End)>,
    /// The code of the goodbye or close frame.
    pub closed: Option<u16>,
    /// It was brought to rest.
    pub rested: bool,
}

impl Asked<'_> {
    /// What was acknowledged, and the event.
    pub fn ack<T: DeserializeOwned>(&self) -> Option<(usize, T)> {
        match self.answer {
            Some((index, Answer::Ack(data))) => Some((index, T::deserialize(data).ok()?)),
            _ => None,
        }
    }

    /// It was refused, so nothing came of it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.answer, Some((_, Answer::Refused(_))))
    }
}

impl Life<'_> {
    /// It may have become a session: its handshake was not refused.
    #[must_use]
    pub fn may_have_opened(&self) -> bool {
        self.socket.dialect != Dialect::Http && self.status.is_none_or(|status| status == 101)
    }

    /// From when to when it was surely registered.
    #[must_use]
    pub fn surely_us(&self) -> Option<(u64, u64)> {
        let (_, opened) = self.opened?;
        self.proven_us.filter(|proven| *proven >= opened).map(|proven| (opened, proven))
    }

    /// From when to when it may have been registered; `slack_us` is what a busy server may take to notice its end.
    #[must_use]
    pub fn possibly_us(&self, deaths_us: &[u64], slack_us: u64) -> (u64, u64) {
        let from = self.begun.1;
        let ended = self.ended.map_or(u64::MAX, |(at, _)| at.saturating_add(slack_us));
        let death = deaths_us.iter().find(|death| **death >= from).copied();
        (from, death.map_or(ended, |death| ended.min(death)))
    }

    /// It ended as one leaves for good, or was ended so: its user does not linger.
    #[must_use]
    pub fn said_goodbye(&self) -> bool {
        let left = matches!(self.ended, Some((_, End::Left { .. })));
        left || matches!(self.closed, Some(1000 | 1008 | 4101 | 4502 | 4503))
    }
}

/// Questions without an answer, by socket and reference; classic heartbeats have none and are answered in order.
#[derive(Default)]
struct Open<'a> {
    by_id: BTreeMap<(u64, &'a str), usize>,
    heartbeats: BTreeMap<u64, VecDeque<u64>>,
}

impl<'a> Ledger<'a> {
    /// Puts it in order.
    #[must_use]
    pub fn of(history: &'a History) -> Self {
        let mut ledger = Self {
            events: &history.events,
            asked: Vec::new(),
            lives: BTreeMap::new(),
            messages: Vec::new(),
            deaths_us: Vec::new(),
            quiet: None,
        };
        let mut open = Open::default();
        for (index, event) in history.events.iter().enumerate() {
            match (&event.fact, &event.socket) {
                (Fact::Quiet, _) => ledger.quiet = Some(index),
                (Fact::Server(Server::Ended), _) => ledger.deaths_us.push(event.at_us),
                (fact, Some(socket)) => {
                    ledger.asks(index, event.at_us, socket, fact, &mut open);
                    ledger.hears(index, event.at_us, socket, fact, &mut open);
                    ledger.lives(index, event.at_us, socket, fact);
                }
                _ => {}
            }
        }
        ledger
    }

    /// When the last thing happened.
    #[must_use]
    pub fn end_us(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at_us)
    }

    fn asks(&mut self, index: usize, at_us: u64, socket: &'a Socket, fact: &'a Fact, open: &mut Open<'a>) {
        let Fact::Asked(Request { id, ask }) = fact else { return };
        match id {
            Some(id) => drop(open.by_id.insert((socket.number, id), self.asked.len())),
            None if matches!(ask, Ask::Heartbeat {}) => {
                open.heartbeats.entry(socket.number).or_default().push_back(at_us);
            }
            None => {}
        }
        self.asked.push(Asked { index, socket, ask, answer: None });
    }

    fn hears(&mut self, index: usize, at_us: u64, socket: &'a Socket, fact: &'a Fact, open: &mut Open<'a>) {
        let mut proven_us = None;
        if let Fact::HeardClassic(Classic::Heartbeat { .. }) = fact {
            proven_us = open.heartbeats.get_mut(&socket.number).and_then(VecDeque::pop_front);
        }
        if let Fact::Heard(heard) = fact {
            let answer = match &heard.said {
                Said::Message(message) => {
                    self.messages.push((index, socket, Cow::Borrowed(message)));
                    None
                }
                Said::Ack(data) => Some(Answer::Ack(data)),
                Said::Welcome(welcome) => Some(Answer::Welcome(welcome)),
                Said::Error { code } => Some(Answer::Refused(code)),
                _ => None,
            };
            let place = heard.id.as_deref().and_then(|id| open.by_id.remove(&(socket.number, id)));
            if let (Some(answer), Some(place)) = (answer, place) {
                let asked = &mut self.asked[place];
                asked.answer = Some((index, answer));
                proven_us = Some(self.events[asked.index].at_us);
                if let (Ask::History { .. }, Some((_, page))) = (asked.ask, asked.ack::<Page>()) {
                    let messages = page.messages.into_iter();
                    self.messages.extend(messages.map(|message| (index, socket, Cow::Owned(message))));
                }
            }
        }
        if let (Some(proven_us), Some(life)) = (proven_us, self.lives.get_mut(&socket.number)) {
            life.proven_us = life.proven_us.max(Some(proven_us));
            debug_assert!(proven_us <= at_us);
        }
    }

    fn lives(&mut self, index: usize, at_us: u64, socket: &'a Socket, fact: &'a Fact) {
        if let Fact::Begun { device } = fact {
            let begun = (index, at_us);
            let named = device.as_deref();
            let (status, opened, proven_us, ended, closed, rested) = (None, None, None, None, None, false);
            self.lives
                .insert(socket.number, Life { socket, begun, named, status, opened, proven_us, ended, closed, rested });
        }
        let Some(life) = self.lives.get_mut(&socket.number) else { return };
        match fact {
            Fact::Answered { status } => {
                life.status = Some(*status);
                life.opened = (*status == 101).then_some((index, at_us));
            }
            Fact::Heard(Heard { said: Said::Goodbye { code, .. }, .. }) => life.closed = Some(*code),
            Fact::Ended(end) => {
                if let End::Closed { code, .. } = end {
                    life.closed = Some(*code);
                }
                life.ended.get_or_insert((at_us, end));
            }
            Fact::Rested => life.rested = true,
            _ => {}
        }
    }
}
