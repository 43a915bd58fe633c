//! A v1 client. What it shows, and the protocol's rules about that, are the checker's (`tools/checker`). This file adds
//! what only the simulator knows: whether a message that the client receives ever was in the store.

use std::collections::BTreeMap;

use serde::Deserialize;
use teahouse_checker::DeviceView;
use teahouse_checker::wire::{self, Message, Page, ReactionsChange, Request, RequestBody, ServerBody, ServerEnvelope};

use super::store::pages::RESET_MESSAGES;
use super::store::{EPOCH, Store};
use super::{Check, ensure};

/// A v1 client.
#[derive(Default)]
pub(super) struct V1Client {
    pub(super) user: u64,
    pub(super) view: DeviceView,
    /// Its session, as the last welcome named it.
    pub(super) session: u64,
    /// It said hello and has no reply yet.
    pub(super) awaits_welcome: bool,
    /// Requests without a reply, by reference.
    pub(super) unanswered: BTreeMap<String, RequestBody>,
    /// It was sent `events_missed`.
    pub(super) missed: bool,
    /// The number of the newest published event that it received.
    news: u64,
    pub(super) goodbye: Option<u16>,
    /// Rooms whose presence it has to request again.
    pub(super) refresh: Vec<u64>,
}

/// A published event of these runs.
#[derive(Deserialize)]
struct News {
    data: Number,
}

#[derive(Deserialize)]
struct Number {
    number: u64,
}

/// The view of a client that holds nothing.
pub(super) fn empty_view() -> DeviceView {
    let mut view = DeviceView::default();
    view.reset_messages = RESET_MESSAGES;
    view
}

impl V1Client {
    pub(super) fn new(user: u64) -> Self {
        Self { user, view: empty_view(), ..Self::default() }
    }

    /// The connection is gone, and with it what belonged to it.
    pub(super) fn disconnected(&mut self) {
        let mut view = std::mem::take(&mut self.view);
        view.disconnect();
        *self = Self { view, ..Self::new(self.user) };
    }

    /// It has not said hello, or its hello was refused.
    pub(super) fn may_say_hello(&self) -> bool {
        !self.view.is_welcomed && !self.awaits_welcome && self.unanswered.is_empty()
    }

    pub(super) fn record_request(&mut self, request: Request) {
        self.view.record_request(&request);
        self.awaits_welcome |= matches!(request.body, RequestBody::Hello { .. });
        self.unanswered.extend(request.id.map(|id| (id, request.body)));
    }

    /// Accepts one envelope.
    pub(super) fn read(&mut self, store: &Store, text: &str) -> Check {
        let received = wire::read_v1(text).map_err(|error| format!("{error}: {text}"))?;
        self.accept(store, &received, text).map_err(|violation| format!("{violation}; it was sent {text}"))
    }

    fn accept(&mut self, store: &Store, received: &ServerEnvelope, text: &str) -> Check {
        let is_answer = matches!(received.body, ServerBody::Ack(_) | ServerBody::Error { .. } | ServerBody::Welcome(_));
        let answered = received.id.as_ref().filter(|_| is_answer).and_then(|id| self.unanswered.remove(id));
        match (&received.body, &answered) {
            (ServerBody::Message(message), _) => self.check_message(store, message)?,
            (ServerBody::Change(change), _) => self.check_change(store, change)?,
            (ServerBody::Ack(data), Some(RequestBody::History { .. })) => {
                let page = Page::deserialize(data).map_err(|error| error.to_string())?;
                page.messages.iter().try_for_each(|message| self.check_message(store, message))?;
            }
            _ => {}
        }
        self.view.apply(received).map_err(|violation| match violation.room {
            Some(room) => format!("room {room}: {violation}"),
            None => violation.to_string(),
        })?;
        match &received.body {
            ServerBody::Welcome(welcome) => {
                ensure!(matches!(answered, Some(RequestBody::Hello { .. })), "a welcome for another request");
                ensure!(welcome.epoch == EPOCH, "another history");
                self.awaits_welcome = false;
                self.session = welcome.session;
            }
            ServerBody::Ack(_) => ensure!(!matches!(answered, Some(RequestBody::Hello { .. })), "an ack for a hello"),
            ServerBody::Error { .. } if matches!(answered, Some(RequestBody::Hello { .. })) => {
                self.awaits_welcome = false
            }
            ServerBody::Presence { room, refresh: true, .. } => self.refresh.push(*room),
            ServerBody::System { .. } => {
                // Presence changes may be among the missed events.
                self.missed = true;
                let rooms = self.view.rooms.iter_mut();
                self.refresh.extend(rooms.filter_map(|(room, view)| view.watched.take().map(|_| *room)));
            }
            ServerBody::Goodbye { code, reconnect, .. } => {
                ensure!((*code < 4500) == *reconnect, "a wrong `reconnect`");
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

    /// Checks that the message had these reactions at this version, and that this user may know it.
    fn check_change(&self, store: &Store, said: &ReactionsChange) -> Check {
        let room = store.rooms.get(&said.room).ok_or("a room that never existed")?;
        let was = room.log.get(said.version as usize - 1).ok_or("a version that never existed")?;
        ensure!(was.id.0 == said.id && has_reactions(was, &said.reactions), "a reaction that never existed");
        ensure!(room.is_known_to(self.user, said.version), "a reaction after the user left the room");
        Ok(())
    }

    /// Checks that the message was in the store at its version, and that this user may know it.
    fn check_message(&self, store: &Store, said: &Message) -> Check {
        let room = store.rooms.get(&said.room).ok_or("a room that never existed")?;
        let was = room.log.get(said.version as usize - 1).ok_or("a version that never existed")?;
        let is_it = was.id.0 == said.id
            && was.seq.0 == said.seq
            && was.sender.id.0 == said.sender.id
            && was.content == said.content
            && was.deleted == said.deleted
            && has_reactions(was, &said.reactions);
        ensure!(is_it, "a message that never existed");
        ensure!(room.is_known_to(self.user, said.version), "a message after the user left the room");
        Ok(())
    }
}

fn has_reactions(message: &teahouse_core::Message, said: &BTreeMap<String, u64>) -> bool {
    let reactions = message.reactions.iter().map(|(emoji, count)| (emoji.as_str(), u64::from(*count)));
    said.iter().map(|(emoji, count)| (emoji.as_str(), *count)).eq(reactions)
}
