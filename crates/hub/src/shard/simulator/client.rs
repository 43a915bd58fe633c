//! A v1 client. What it shows, and the protocol's rules about it, are the checker's (`tools/checker`); here is what
//! no recorded run can be asked: whether what it is told was ever so.

use std::collections::BTreeMap;

use serde::Deserialize;
use teahouse_checker::DeviceView;
use teahouse_checker::wire::{self, Message, Page, Request, RequestBody, ServerBody, ServerEnvelope};

use super::store::pages::RESET_MESSAGES;
use super::store::{EPOCH, Store};
use super::{Check, ensure};

/// A v1 client, and how far its conversation is.
#[derive(Default)]
pub(super) struct Client {
    pub(super) user: u64,
    pub(super) view: DeviceView,
    /// It said hello and has no answer yet.
    pub(super) is_greeting: bool,
    /// What is not answered.
    pub(super) asked: BTreeMap<String, RequestBody>,
    /// It was told that it missed something that is not stored.
    pub(super) missed: bool,
    /// The number of the newest publication that it was told.
    news: u64,
    pub(super) goodbye: Option<u16>,
    /// Rooms of which it must ask anew who is online.
    pub(super) refresh: Vec<u64>,
}

/// What a backend published in these runs.
#[derive(Deserialize)]
struct News {
    data: Number,
}

#[derive(Deserialize)]
struct Number {
    number: u64,
}

/// What it shows when it holds nothing.
pub(super) fn nothing() -> DeviceView {
    let mut view = DeviceView::default();
    view.reset_messages = RESET_MESSAGES;
    view
}

impl Client {
    pub(super) fn new(user: u64) -> Self {
        Self { user, view: nothing(), ..Self::default() }
    }

    /// The connection is gone: what only it knew is gone too.
    pub(super) fn disconnected(&mut self) {
        let mut view = std::mem::take(&mut self.view);
        view.disconnect();
        *self = Self { view, ..Self::new(self.user) };
    }

    /// It has said no hello, or what it said to one was answered otherwise than by a welcome.
    pub(super) fn may_greet(&self) -> bool {
        !self.view.is_welcomed && !self.is_greeting && self.asked.is_empty()
    }

    pub(super) fn asks(&mut self, request: Request) {
        self.view.record_request(&request);
        self.is_greeting |= matches!(request.body, RequestBody::Hello { .. });
        self.asked.extend(request.id.map(|id| (id, request.body)));
    }

    /// Takes one envelope.
    pub(super) fn read(&mut self, truth: &Store, text: &str) -> Check {
        let heard = wire::read_v1(text).map_err(|error| format!("{error}: {text}"))?;
        self.hears(truth, &heard, text).map_err(|broken| format!("{broken}; it was sent {text}"))
    }

    fn hears(&mut self, truth: &Store, heard: &ServerEnvelope, text: &str) -> Check {
        let is_answer = matches!(heard.body, ServerBody::Ack(_) | ServerBody::Error { .. } | ServerBody::Welcome(_));
        let answered = heard.id.as_ref().filter(|_| is_answer).and_then(|id| self.asked.remove(id));
        match (&heard.body, &answered) {
            (ServerBody::Message(said), _) => self.is_true(truth, said)?,
            (ServerBody::Ack(data), Some(RequestBody::History { .. })) => {
                let page = Page::deserialize(data).map_err(|error| error.to_string())?;
                page.messages.iter().try_for_each(|said| self.is_true(truth, said))?;
            }
            _ => {}
        }
        self.view.apply(heard).map_err(|broken| match broken.room {
            Some(room) => format!("room {room}: {broken}"),
            None => broken.to_string(),
        })?;
        match &heard.body {
            ServerBody::Welcome(welcome) => {
                ensure!(matches!(answered, Some(RequestBody::Hello { .. })), "a welcome for another request");
                ensure!(welcome.epoch == EPOCH, "another history");
                self.is_greeting = false;
            }
            ServerBody::Ack(_) => ensure!(!matches!(answered, Some(RequestBody::Hello { .. })), "an ack for a hello"),
            ServerBody::Error { .. } if matches!(answered, Some(RequestBody::Hello { .. })) => self.is_greeting = false,
            ServerBody::Presence { room, refresh: true, .. } => self.refresh.push(*room),
            ServerBody::System { .. } => {
                // Also who came and went may be among what it missed.
                self.missed = true;
                let rooms = self.view.rooms.iter_mut();
                self.refresh.extend(rooms.filter_map(|(room, view)| view.watched.take().map(|_| *room)));
            }
            ServerBody::Goodbye { code, reconnect, .. } => {
                ensure!((*code < 4500) == *reconnect, "whether to come back");
                self.goodbye = Some(*code);
            }
            ServerBody::Published { kind } => {
                ensure!(kind == "news", "an unknown type: {kind}");
                let news: News = serde_json::from_str(text).map_err(|error| error.to_string())?;
                let number = news.data.number;
                ensure!(number > self.news, "publication {number} after {}", self.news);
                ensure!(self.missed || self.news == 0 || number == self.news + 1, "a publication is missing");
                self.news = number;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a message was ever so, and was this user's to know.
    fn is_true(&self, truth: &Store, said: &Message) -> Check {
        let room = truth.rooms.get(&said.room).ok_or("a room that never was")?;
        let was = room.log.get(said.version as usize - 1).ok_or("a version that never was")?;
        let reactions = was.reactions.iter().map(|(emoji, count)| (emoji.as_str(), u64::from(*count)));
        let is_it = was.id.0 == said.id
            && was.seq.0 == said.seq
            && was.sender.id.0 == said.sender.id
            && was.content == said.content
            && was.deleted == said.deleted
            && said.reactions.iter().map(|(emoji, count)| (emoji.as_str(), *count)).eq(reactions);
        ensure!(is_it, "a message that never was");
        ensure!(room.is_known_to(self.user, said.version), "what was said after it had left the room");
        Ok(())
    }
}
