//! Violations, and the shortest story of each: of all events, only those about the message, the device's room or the
//! user concerned. It decides nothing.

use std::fmt;

use crate::history::{Event, Fact, History};
use crate::wire::{Classic, Page, RequestBody, ServerBody};

/// The rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// Every acknowledged message is stored once, in its place, as sent; nothing else is stored.
    Stored,
    /// Every delivered message was sent, and is the same for all clients.
    Delivered,
    /// Acknowledged edits, deletions and reactions are stored, and no others.
    Changed,
    /// A v1 device's view of a room equals the stored room.
    Viewed,
    /// A classic connection receives the lobby from its start on, once and in order.
    Classic,
    /// Read marks never go back; marks and unread counts agree on all devices.
    ReadMarks,
    /// Presence claims are true.
    Presence,
    /// The newest sessions of a user stay, and no more than allowed.
    Sessions,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule that found it.
    pub rule: Rule,
    /// A sentence that describes it.
    pub what: String,
    /// The events that it is about.
    pub about: About,
}

/// Selects the events of a story.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// A message id.
    pub message: Option<u64>,
    /// A sent message: the user id, and the message's key or content.
    pub sent: Option<(u64, String)>,
    /// A room, on the selected sockets.
    pub room: Option<u64>,
    /// A user, with all sockets.
    pub user: Option<u64>,
    /// One device of that user.
    pub device: Option<String>,
    /// The event that showed the violation; the story ends there.
    pub until: Option<usize>,
}

impl Violation {
    /// A violation about a message and the requests that sent it.
    pub(crate) fn of_message(rule: Rule, message: Option<u64>, sent: Option<(u64, String)>, what: String) -> Self {
        Self { rule, what, about: About { message, sent, ..About::default() } }
    }

    /// A violation about a user's sockets.
    pub(crate) fn of_user(rule: Rule, user: u64, until: Option<usize>, what: String) -> Self {
        Self { rule, what, about: About { user: Some(user), until, ..About::default() } }
    }
}

/// The maximum length of a story; the last lines are kept, since they show the violation.
const STORY_LINES: usize = 30;

/// The events of a violation's story, in order.
#[must_use]
pub fn story<'a>(history: &'a History, violation: &Violation) -> Vec<&'a Event> {
    let about = &violation.about;
    let end = about.until.map_or(history.events.len(), |until| (until + 1).min(history.events.len()));
    let mut received_by = std::collections::BTreeSet::new();
    let mut request_ids = std::collections::BTreeSet::new();
    let selected = history.events[..end].iter().filter(|event| {
        let Some(socket) = &event.socket else { return matches!(event.fact, Fact::Server(_)) };
        match &event.fact {
            Fact::RequestSent(request) => {
                let is_selected = about.selects_request(socket.user, &socket.device, &request.body);
                if let (true, Some(id)) = (is_selected, &request.id) {
                    request_ids.insert((socket.number, id.clone()));
                }
                is_selected
            }
            Fact::EnvelopeReceived(envelope) => {
                let answers = envelope.id.as_ref().is_some_and(|id| request_ids.contains(&(socket.number, id.clone())));
                // One delivery per device is enough.
                let mut is_first =
                    || about.is_about_sockets() || received_by.insert((socket.user, socket.device.clone()));
                answers || (about.selects_envelope(socket.user, &socket.device, &envelope.body) && is_first())
            }
            Fact::ClassicReceived(envelope) => about.selects_classic(socket.user, &socket.device, envelope),
            _ => about.is_about_sockets() && about.is_on(socket.user, &socket.device),
        }
    });
    let mut selected: Vec<_> = selected.collect();
    if selected.len() > STORY_LINES {
        selected.drain(..selected.len() - STORY_LINES);
    }
    selected
}

impl About {
    fn is_about_sockets(&self) -> bool {
        self.user.is_some()
    }

    fn is_on(&self, user: u64, device: &str) -> bool {
        self.user.is_none_or(|wanted| wanted == user) && self.device.as_deref().is_none_or(|wanted| wanted == device)
    }

    fn selects_request(&self, user: u64, device: &str, body: &RequestBody) -> bool {
        match body {
            RequestBody::Message { content, client_id, .. } | RequestBody::Private { content, client_id, .. } => {
                let key = client_id.as_ref().unwrap_or(content);
                self.sent.as_ref().is_some_and(|(sender, sent)| *sender == user && sent == key)
            }
            RequestBody::Edit { message, .. }
            | RequestBody::Delete { message }
            | RequestBody::React { message, .. } => self.message == Some(*message),
            RequestBody::Hello { .. } | RequestBody::Revoke {} => self.is_about_sockets() && self.is_on(user, device),
            RequestBody::Read { room, .. }
            | RequestBody::Sync { room, .. }
            | RequestBody::Join { room }
            | RequestBody::Leave { room }
            | RequestBody::Accept { room }
            | RequestBody::Decline { room }
            | RequestBody::Presence { room, .. } => self.room == Some(*room) && self.is_on(user, device),
            RequestBody::Invite { room, user: subject } | RequestBody::Remove { room, user: subject } => {
                self.room == Some(*room) && self.user == Some(*subject)
            }
            _ => false,
        }
    }

    fn selects_envelope(&self, user: u64, device: &str, body: &ServerBody) -> bool {
        let (room, message) = match body {
            ServerBody::Message(message) => (Some(message.room), Some(message.id)),
            ServerBody::Change(change) => (Some(change.room), Some(change.id)),
            ServerBody::CatchUp { room, .. }
            | ServerBody::CaughtUp { room, .. }
            | ServerBody::Removed { room }
            | ServerBody::Read { room, .. } => (Some(*room), None),
            ServerBody::Room(entry) => (Some(entry.id), None),
            ServerBody::Presence { online, offline, .. } => {
                return self.user.is_some_and(|user| online.contains(&user) || offline.contains(&user));
            }
            ServerBody::Ack(data) => {
                let page = serde_json::from_value::<Page>(data.clone()).ok();
                let holds = |message| page.is_some_and(|page| page.messages.iter().any(|one| one.id == message));
                return self.message.is_some_and(holds);
            }
            ServerBody::Goodbye { .. } => return self.is_about_sockets() && self.is_on(user, device),
            _ => return false,
        };
        let of_message = self.message.is_some() && self.message == message;
        of_message || (self.room.is_some() && self.room == room && self.is_on(user, device))
    }

    fn selects_classic(&self, user: u64, device: &str, envelope: &Classic) -> bool {
        let id = match envelope {
            Classic::Message { id, .. } | Classic::MessageDeleted { id } => Some(*id),
            Classic::PrivateMessage { message } => Some(message.id),
            _ => None,
        };
        let of_message = self.message.is_some() && self.message == id;
        of_message || (id.is_some() && self.room == Some(1) && self.is_about_sockets() && self.is_on(user, device))
    }
}

/// The result of judging a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// The violations; empty if all promises were kept.
    pub violations: Vec<Violation>,
    /// How much was checked.
    pub coverage: Coverage,
}

/// The number of checks of each kind: a verdict without checks proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Coverage {
    /// Acknowledged messages.
    pub messages_acknowledged: u64,
    /// Acknowledged edits, deletions and reactions.
    pub changes_acknowledged: u64,
    /// Messages received by any client.
    pub deliveries: u64,
    /// Rooms of quiesced devices that were compared with the store.
    pub rooms_compared: u64,
    /// Read marks that were compared.
    pub marks: u64,
    /// Presence claims, including counts.
    pub claims: u64,
    /// Displaced sessions.
    pub displaced: u64,
}

impl std::ops::Add for Coverage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages_acknowledged: self.messages_acknowledged + other.messages_acknowledged,
            changes_acknowledged: self.changes_acknowledged + other.changes_acknowledged,
            deliveries: self.deliveries + other.deliveries,
            rooms_compared: self.rooms_compared + other.rooms_compared,
            marks: self.marks + other.marks,
            claims: self.claims + other.claims,
            displaced: self.displaced + other.displaced,
        }
    }
}

impl Verdict {
    /// Whether no violation was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The first `violations_max` violations with their stories.
    #[must_use]
    pub fn report(&self, history: &History, violations_max: usize) -> String {
        let mut report = String::new();
        for violation in self.violations.iter().take(violations_max) {
            report += &format!("{violation}\n");
            for event in story(history, violation) {
                report += &format!("    {}\n", shortened(&event.to_string()));
            }
        }
        if self.violations.len() > violations_max {
            report += &format!("and {} more\n", self.violations.len() - violations_max);
        }
        report
    }
}

/// Shortens an event for a story; the stored history has the whole.
fn shortened(line: &str) -> String {
    const CHARS: usize = 400;
    line.chars().take(CHARS).chain((line.chars().count() > CHARS).then_some('…')).collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}
