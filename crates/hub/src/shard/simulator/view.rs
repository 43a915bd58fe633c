//! What a v1 client makes of what it is sent, by the rules of docs/protocol.md and nothing else. Whatever breaks
//! one of them is the run's verdict.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::store::{EPOCH, Store};
use super::{Check, ensure};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Said<'a> {
    id: u64,
    room: u64,
    seq: u64,
    version: u64,
    content: &'a str,
    deleted: bool,
    #[serde(borrow)]
    reactions: BTreeMap<&'a str, u32>,
    #[serde(borrow)]
    change: Option<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    kind: &'a str,
    user: Option<u64>,
    emoji: Option<&'a str>,
    on: Option<bool>,
}

#[derive(Deserialize)]
struct EntryData {
    id: u64,
    title: String,
    version: u64,
    last_seq: u64,
    read_seq: u64,
    members: u32,
}

#[derive(Deserialize)]
struct WelcomeData<'a> {
    #[serde(borrow)]
    epoch: &'a str,
    online: CountData,
    rooms: Vec<EntryData>,
}

#[derive(Deserialize)]
struct CountData {
    count: u64,
}

/// All that the small envelopes carry.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Small<'a> {
    room: u64,
    from: u64,
    reset: bool,
    version: u64,
    user: u64,
    seq: u64,
    number: u64,
    count: u64,
    refresh: bool,
    truncated: bool,
    reconnect: bool,
    users: Vec<u64>,
    online: Vec<u64>,
    offline: Vec<u64>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    my_reactions: BTreeMap<u64, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct PastData<'a> {
    #[serde(borrow)]
    messages: Vec<Said<'a>>,
    has_more_before: bool,
    my_reactions: BTreeMap<u64, BTreeSet<String>>,
}

/// A message as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) deleted: bool,
    pub(super) own: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Bracket {
    reset: bool,
    last: u64,
    brought: BTreeSet<u64>,
}

/// A room as it is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) version: u64,
    /// Every message from this seq on is shown.
    pub(super) low: u64,
    /// The version that an answer began it with, which can overtake what was under way.
    answered_at: u64,
    pub(super) messages: BTreeMap<u64, Shown>,
    bracket: Option<Bracket>,
    pub(super) title: String,
    pub(super) members: u32,
    pub(super) read_seq: u64,
    pub(super) typing: Vec<u64>,
    /// Who is online in it, where it asked to know.
    pub(super) present: Option<BTreeSet<u64>>,
}

impl View {
    fn new(entry: &EntryData) -> Self {
        Self {
            version: entry.version,
            low: entry.last_seq + 1,
            answered_at: 0,
            messages: BTreeMap::new(),
            bracket: None,
            title: entry.title.clone(),
            members: entry.members,
            read_seq: entry.read_seq,
            typing: Vec::new(),
            present: None,
        }
    }

    fn entry_is(&mut self, entry: &EntryData) {
        self.title.clone_from(&entry.title);
        self.members = entry.members;
        self.read_seq = self.read_seq.max(entry.read_seq);
    }

    pub(super) fn is_in_bracket(&self) -> bool {
        self.bracket.is_some()
    }

    fn show(&mut self, said: &Said<'_>) {
        if said.seq < self.low && !self.messages.contains_key(&said.id) {
            // Outside of what it has loaded.
            return;
        }
        let shown = self.messages.entry(said.id).or_insert_with(|| Shown {
            seq: said.seq,
            version: 0,
            deleted: false,
            own: BTreeSet::new(),
        });
        if said.version >= shown.version {
            (shown.version, shown.deleted) = (said.version, said.deleted);
        }
    }
}

/// What a client awaits an answer to.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Anything,
    Hello,
    /// It will be in the room.
    Entry,
    Presence(u64, bool),
    Past {
        room: u64,
        before: u64,
    },
    Sync(u64),
}

/// A v1 client: what it shows, and how far its conversation is.
#[derive(Default)]
pub(super) struct Client {
    pub(super) user: u64,
    pub(super) views: BTreeMap<u64, View>,
    pub(super) welcomed: bool,
    pub(super) greeting: bool,
    /// The rooms that its hello named and that were not caught up, in order.
    pub(super) named: VecDeque<u64>,
    pub(super) asked: BTreeMap<String, Asked>,
    pub(super) count: Option<u64>,
    /// It was told that it missed something that is not stored.
    pub(super) missed: bool,
    /// The number of the newest publication that it was told.
    pub(super) news: u64,
    pub(super) goodbye: Option<u64>,
    /// Rooms of which it must ask anew who is online.
    pub(super) refresh: Vec<u64>,
    /// Rooms of which its hello claims what never was: it must be told to begin them anew.
    pub(super) liar: BTreeSet<u64>,
}

impl Client {
    /// The connection is gone: what only it knew is gone too.
    pub(super) fn disconnected(&mut self) {
        // What it had begun to be given anew it does not hold.
        self.views.retain(|_, view| !view.bracket.as_ref().is_some_and(|bracket| bracket.reset));
        for view in self.views.values_mut() {
            view.bracket = None;
            view.typing.clear();
            view.present = None;
        }
        let (user, views) = (self.user, std::mem::take(&mut self.views));
        *self = Self { user, views, ..Self::default() };
    }

    /// Takes one envelope.
    pub(super) fn read(&mut self, truth: &Store, text: &str) -> Check {
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        let data = envelope.data.map_or("{}", RawValue::get);
        let step = self.envelope(truth, &envelope, data);
        step.map_err(|broken| format!("{broken}; it was sent {text}"))
    }

    fn envelope(&mut self, truth: &Store, envelope: &Envelope<'_>, data: &str) -> Check {
        ensure!(self.goodbye.is_none(), "something follows the goodbye");
        let kind = envelope.kind;
        match kind {
            "ack" | "error" => return self.answered(truth, envelope, data),
            "goodbye" => {
                let small: Small<'_> = parse(data)?;
                self.goodbye = small.code.and_then(|code| code.get().parse().ok());
                ensure!(self.goodbye.is_some_and(|code| (code < 4500) == small.reconnect), "whether to come back");
                return Ok(());
            }
            "welcome" => return self.welcome(parse(data)?, envelope.id),
            _ => ensure!(self.welcomed, "{kind} before the welcome"),
        }
        match kind {
            "message" => return self.message(truth, &parse(data)?),
            "room" => {
                self.entry(&parse(data)?);
                return Ok(());
            }
            _ => {}
        }
        let small: Small<'_> = parse(data)?;
        match kind {
            "online_count" => self.count = Some(small.count),
            "system" => self.missed = true,
            "user" => {}
            "news" => {
                ensure!(small.number > self.news, "publication {} after {}", small.number, self.news);
                ensure!(self.missed || self.news == 0 || small.number == self.news + 1, "a publication is missing");
                self.news = small.number;
            }
            "removed" => {
                // It may never have heard that it was in it.
                self.named.retain(|room| *room != small.room);
                self.liar.remove(&small.room);
                self.views.remove(&small.room);
            }
            "catch_up" => self.catch_up(&small)?,
            "caught_up" => self.caught_up(small)?,
            "read" | "typing" | "presence" => {
                let me = self.user;
                let Some(view) = self.views.get_mut(&small.room) else {
                    return Err(format!("{kind} of a room that it is not in"));
                };
                match kind {
                    "read" if small.user == me => view.read_seq = view.read_seq.max(small.seq),
                    "read" => {}
                    "typing" => view.typing = small.users,
                    _ if small.refresh => self.refresh.push(small.room),
                    _ => {
                        if let Some(present) = &mut view.present {
                            present.extend(&small.online);
                            present.retain(|user| !small.offline.contains(user));
                        }
                    }
                }
            }
            other => return Err(format!("an unknown type: {other}")),
        }
        Ok(())
    }

    fn welcome(&mut self, welcome: WelcomeData<'_>, id: Option<&str>) -> Check {
        ensure!(self.greeting && !self.welcomed, "a welcome that nobody asked for");
        let asked = id.and_then(|id| self.asked.remove(id));
        ensure!(matches!(asked, Some(Asked::Hello)), "a welcome for another request");
        ensure!(welcome.epoch == EPOCH, "another history");
        self.welcomed = true;
        self.greeting = false;
        self.count = Some(welcome.online.count);
        let views = std::mem::take(&mut self.views);
        self.views = views.into_iter().filter(|(room, _)| self.named.contains(room)).collect();
        let rooms: BTreeSet<u64> = welcome.rooms.iter().map(|entry| entry.id).collect();
        for entry in &welcome.rooms {
            self.entry(entry);
        }
        // Of the others it will be told that it is no longer in them.
        self.views.retain(|room, _| rooms.contains(room));
        Ok(())
    }

    fn entry(&mut self, entry: &EntryData) {
        match self.views.get_mut(&entry.id) {
            Some(view) => view.entry_is(entry),
            None => drop(self.views.insert(entry.id, View::new(entry))),
        }
    }

    fn is_true(&self, truth: &Store, said: &Said<'_>) -> Check {
        let room = truth.rooms.get(&said.room).ok_or("a room that never was")?;
        let was = room.log.get(said.version as usize - 1).ok_or("a version that never was")?;
        let reactions = was.reactions.iter().map(|(emoji, count)| (emoji.as_str(), *count));
        let is_it = was.id.0 == said.id
            && was.seq.0 == said.seq
            && was.content == said.content
            && was.deleted == said.deleted
            && said.reactions.iter().map(|(emoji, count)| (*emoji, *count)).eq(reactions);
        ensure!(is_it, "a message that never was");
        ensure!(room.is_known_to(self.user, said.version), "what was said after it had left the room");
        Ok(())
    }

    fn message(&mut self, truth: &Store, said: &Said<'_>) -> Check {
        self.is_true(truth, said)?;
        let me = self.user;
        let is_named = self.named.contains(&said.room);
        let view = self.views.get_mut(&said.room).ok_or("a message of a room that it is not in")?;
        if let Some(bracket) = &mut view.bracket {
            ensure!(said.version > bracket.last, "version {} after {} in a bracket", said.version, bracket.last);
            ensure!(said.change.is_none(), "a live envelope in a bracket");
            bracket.last = said.version;
            bracket.brought.insert(said.id);
            if bracket.reset {
                view.low = view.low.min(said.seq);
            }
            view.show(said);
            return Ok(());
        }
        ensure!(!is_named, "a live envelope before the room is caught up");
        let change = said.change.as_ref().ok_or("no change in a live envelope")?;
        if said.version <= view.answered_at {
            return Ok(());
        }
        ensure!(said.version == view.version + 1, "version {} after {}", said.version, view.version);
        view.version = said.version;
        view.show(said);
        if change.kind == "react"
            && change.user == Some(me)
            && let (Some(emoji), Some(on), Some(shown)) = (change.emoji, change.on, view.messages.get_mut(&said.id))
        {
            if on {
                shown.own.insert(emoji.to_owned())
            } else {
                shown.own.remove(emoji)
            };
        }
        Ok(())
    }

    fn catch_up(&mut self, small: &Small<'_>) -> Check {
        let view = self.views.get_mut(&small.room).ok_or("a bracket of a room that it is not in")?;
        ensure!(view.bracket.is_none(), "a bracket in a bracket");
        let is_first = self.named.front() == Some(&small.room);
        ensure!(is_first || !self.named.contains(&small.room), "not the room that it wants most");
        if small.reset {
            view.messages.clear();
            view.low = u64::MAX;
        } else {
            ensure!(small.from <= view.version, "a bracket from {} after {}", small.from, view.version);
            ensure!(!self.liar.contains(&small.room), "it goes on from a version that never was");
        }
        view.bracket = Some(Bracket {
            reset: small.reset,
            last: if small.reset { 0 } else { small.from },
            brought: BTreeSet::new(),
        });
        Ok(())
    }

    fn caught_up(&mut self, small: Small<'_>) -> Check {
        let view = self.views.get_mut(&small.room).ok_or("the end of a bracket of a room that it is not in")?;
        let bracket = view.bracket.take().ok_or("the end of no bracket")?;
        ensure!(small.version >= bracket.last, "caught up to {} after {}", small.version, bracket.last);
        ensure!(
            bracket.reset || small.version >= view.version,
            "caught up to {} after {}",
            small.version,
            view.version
        );
        view.version = small.version;
        let mut own = small.my_reactions;
        for message in bracket.brought {
            if let Some(shown) = view.messages.get_mut(&message) {
                shown.own = own.remove(&message).unwrap_or_default();
            }
        }
        if bracket.reset && view.low == u64::MAX {
            // There is nothing in it.
            view.low = 1;
        }
        self.liar.remove(&small.room);
        self.named.retain(|room| *room != small.room);
        Ok(())
    }

    fn answered(&mut self, truth: &Store, envelope: &Envelope<'_>, data: &str) -> Check {
        let Some(id) = envelope.id else { return Ok(()) };
        let asked = self.asked.remove(id).ok_or("an answer to what nobody asked, or a second one")?;
        if envelope.kind == "error" {
            if matches!(asked, Asked::Hello) {
                self.greeting = false;
            }
            return Ok(());
        }
        match asked {
            Asked::Anything => {}
            Asked::Hello => return Err("an ack for a hello".to_owned()),
            Asked::Entry => {
                let entry: EntryData = parse(data)?;
                let is_new = !self.views.contains_key(&entry.id);
                self.entry(&entry);
                if let Some(view) = self.views.get_mut(&entry.id).filter(|_| is_new) {
                    view.answered_at = entry.version;
                }
            }
            Asked::Sync(room) => {
                ensure!(self.views.get(&room).is_none_or(|view| view.bracket.is_none()), "sync is not at its end");
            }
            Asked::Presence(room, on) => {
                let small: Small<'_> = parse(data)?;
                if let Some(view) = self.views.get_mut(&room) {
                    view.present = (on && !small.truncated).then(|| small.online.into_iter().collect());
                }
            }
            Asked::Past { room, before } => {
                let mut past: PastData<'_> = parse(data)?;
                for said in &past.messages {
                    self.is_true(truth, said)?;
                }
                // A page of a window that it no longer has is of no use.
                if let Some(view) = self.views.get_mut(&room).filter(|view| view.low == before) {
                    view.low = past.messages.first().map_or(1, |said| said.seq);
                    if !past.has_more_before {
                        view.low = view.low.min(1);
                    }
                    for said in &past.messages {
                        let is_new = !view.messages.contains_key(&said.id);
                        view.show(said);
                        if let Some(shown) = view.messages.get_mut(&said.id).filter(|_| is_new) {
                            shown.own = past.my_reactions.remove(&said.id).unwrap_or_default();
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn parse<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, String> {
    serde_json::from_str(data).map_err(|error| error.to_string())
}
