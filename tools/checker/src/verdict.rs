//! What does not fit, and the shortest story of it: of all that happened only what is about that message, that
//! device's room or that user. It decides nothing.

use std::fmt;

use crate::history::{Event, Fact, History};
use crate::wire::{Ask, Classic, Page, Said};

/// The rules, by the promise that they keep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// What was acknowledged is in the store once, in its place, as it was said; nothing else is.
    Said,
    /// What is delivered was said, and is the same for everybody.
    Delivered,
    /// Acknowledged edits, deletions and reactions are there, and no others.
    Changed,
    /// What a v1 device shows of a room is the room.
    Viewed,
    /// What a classic connection is sent is the lobby from where it came in, once and in order.
    Classic,
    /// Read marks never go back; marks and unread agree on all devices.
    Marked,
    /// Who is said to be online is, and nobody else.
    Present,
    /// The newest sessions of a user stay, and no more than allowed.
    Newest,
}

/// Something that does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which rule says so.
    pub rule: Rule,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What it is about.
    pub about: About,
}

/// What a story is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// A message.
    pub message: Option<u64>,
    /// What somebody said, by its key or its content.
    pub said: Option<(u64, String)>,
    /// A room, on the sockets that are meant.
    pub room: Option<u64>,
    /// A user, with all of their sockets.
    pub user: Option<u64>,
    /// One device of that user.
    pub device: Option<String>,
    /// The event at which it was noticed; the story ends there.
    pub until: Option<usize>,
}

impl Violation {
    /// It is about a message and what was asked to make it.
    pub(crate) fn of_message(rule: Rule, message: Option<u64>, said: Option<(u64, String)>, what: String) -> Self {
        Self { rule, what, about: About { message, said, ..About::default() } }
    }

    /// It is about a user's sockets, up to an event.
    pub(crate) fn of_user(rule: Rule, user: u64, until: Option<usize>, what: String) -> Self {
        Self { rule, what, about: About { user: Some(user), until, ..About::default() } }
    }
}

/// A story is cut to its last so many lines: what led to it stands at its end.
const STORY_LINES: usize = 30;

/// The events that matter, in order.
#[must_use]
pub fn story<'a>(history: &'a History, violation: &Violation) -> Vec<&'a Event> {
    let about = &violation.about;
    let end = about.until.map_or(history.events.len(), |until| (until + 1).min(history.events.len()));
    let mut heard_by = std::collections::BTreeSet::new();
    let mut references = std::collections::BTreeSet::new();
    let matter = history.events[..end].iter().filter(|event| {
        let Some(socket) = &event.socket else { return matches!(event.fact, Fact::Server(_)) };
        match &event.fact {
            Fact::Asked(request) => {
                let is_it = about.asks(socket.user, &socket.device, &request.ask);
                if let (true, Some(id)) = (is_it, &request.id) {
                    references.insert((socket.number, id.clone()));
                }
                is_it
            }
            Fact::Heard(heard) => {
                let answers = heard.id.as_ref().is_some_and(|id| references.contains(&(socket.number, id.clone())));
                // One line tells how a device heard of it; the rest of them add nothing.
                let mut is_news = || about.is_of_sockets() || heard_by.insert((socket.user, socket.device.clone()));
                answers || (about.hears(socket.user, &socket.device, &heard.said) && is_news())
            }
            Fact::HeardClassic(heard) => about.hears_classic(socket.user, &socket.device, heard),
            _ => about.is_of_sockets() && about.is_mine(socket.user, &socket.device),
        }
    });
    let mut matter: Vec<_> = matter.collect();
    if matter.len() > STORY_LINES {
        matter.drain(..matter.len() - STORY_LINES);
    }
    matter
}

impl About {
    fn is_of_sockets(&self) -> bool {
        self.user.is_some()
    }

    fn is_mine(&self, user: u64, device: &str) -> bool {
        self.user.is_none_or(|mine| mine == user) && self.device.as_deref().is_none_or(|mine| mine == device)
    }

    fn asks(&self, user: u64, device: &str, ask: &Ask) -> bool {
        match ask {
            Ask::Message { content, client_id, .. } | Ask::Private { content, client_id, .. } => {
                let key = client_id.as_ref().unwrap_or(content);
                self.said.as_ref().is_some_and(|(sender, said)| *sender == user && said == key)
            }
            Ask::Edit { message, .. } | Ask::Delete { message } | Ask::React { message, .. } => {
                self.message == Some(*message)
            }
            Ask::Hello { .. } | Ask::Revoke {} => self.is_of_sockets() && self.is_mine(user, device),
            Ask::Read { room, .. }
            | Ask::Sync { room, .. }
            | Ask::Join { room }
            | Ask::Leave { room }
            | Ask::Presence { room, .. } => self.room == Some(*room) && self.is_mine(user, device),
            Ask::Invite { room, user: whom } | Ask::Remove { room, user: whom } => {
                self.room == Some(*room) && self.user == Some(*whom)
            }
            _ => false,
        }
    }

    fn hears(&self, user: u64, device: &str, said: &Said) -> bool {
        let (room, message) = match said {
            Said::Message(message) => (Some(message.room), Some(message.id)),
            Said::CatchUp { room, .. }
            | Said::CaughtUp { room, .. }
            | Said::Removed { room }
            | Said::Read { room, .. } => (Some(*room), None),
            Said::Room(entry) => (Some(entry.id), None),
            Said::Presence { online, offline, .. } => {
                return self.user.is_some_and(|user| online.contains(&user) || offline.contains(&user));
            }
            Said::Ack(data) => {
                let page = serde_json::from_value::<Page>(data.clone()).ok();
                let holds = |message| page.is_some_and(|page| page.messages.iter().any(|one| one.id == message));
                return self.message.is_some_and(holds);
            }
            Said::Goodbye { .. } => return self.is_of_sockets() && self.is_mine(user, device),
            _ => return false,
        };
        let of_message = self.message.is_some() && self.message == message;
        of_message || (self.room.is_some() && self.room == room && self.is_mine(user, device))
    }

    fn hears_classic(&self, user: u64, device: &str, heard: &Classic) -> bool {
        let id = match heard {
            Classic::Message { id, .. } | Classic::MessageDeleted { id } => Some(*id),
            Classic::PrivateMessage { message } => Some(message.id),
            _ => None,
        };
        let of_message = self.message.is_some() && self.message == id;
        of_message || (id.is_some() && self.room == Some(1) && self.is_of_sockets() && self.is_mine(user, device))
    }
}

/// What came of judging.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// What does not fit; nothing when all promises were kept.
    pub violations: Vec<Violation>,
    /// What was looked at.
    pub looked_at: LookedAt,
}

/// How much was looked at: a verdict about nothing is worth nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LookedAt {
    /// Messages that were acknowledged.
    pub messages_acknowledged: u64,
    /// Edits, deletions and reactions that were acknowledged.
    pub changes_acknowledged: u64,
    /// Messages that came to somebody, in whatever way.
    pub deliveries: u64,
    /// Rooms of devices at rest that were compared with the store.
    pub rooms_compared: u64,
    /// Marks that were compared.
    pub marks: u64,
    /// Claims of who is online, and of how many.
    pub claims: u64,
    /// Sessions that were displaced.
    pub displaced: u64,
}

impl std::ops::Add for LookedAt {
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
    /// Nothing was found.
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

/// A line of a story shows what an event is about; the whole of it stands in the history.
fn shortened(line: &str) -> String {
    const CHARS: usize = 400;
    line.chars().take(CHARS).chain((line.chars().count() > CHARS).then_some('…')).collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}
