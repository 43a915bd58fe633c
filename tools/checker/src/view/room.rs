//! One room, as one device holds it: its messages from some place on, its version, the brackets that bring it up
//! to date. Every rule of PROTOCOL.md about them is checked.

use std::collections::{BTreeMap, BTreeSet};

use super::Broken;
use crate::wire::{Change, Entry, Message, Page};

/// One room.
#[derive(Clone, Default, Debug)]
pub struct RoomView {
    /// Which.
    pub id: u64,
    /// The last version that was applied.
    pub version: u64,
    /// Every message from this seq on is held.
    pub low: u64,
    /// The seq of the newest message.
    pub last_seq: u64,
    /// Its heading.
    pub title: String,
    /// How many are in it.
    pub members: u64,
    /// What one is in it.
    pub role: String,
    /// Who types.
    pub typing: Vec<u64>,
    /// Up to where one has read it.
    pub read_seq: u64,
    /// Up to where others have read.
    pub reads: BTreeMap<u64, u64>,
    /// By id.
    pub messages: BTreeMap<u64, Message>,
    /// One's own reactions, by message.
    pub mine: BTreeMap<u64, BTreeSet<String>>,
    /// Who is online here, when that was asked for and can be listed.
    pub watched: Option<BTreeSet<u64>>,
    bracket: Option<Bracket>,
    /// What is held is worth nothing: its bracket must begin it anew.
    must_reset: bool,
    /// It was not in the welcome: all that may come of it is `removed`.
    must_go: bool,
}

/// What is being caught up.
#[derive(Clone, Debug)]
struct Bracket {
    reset: bool,
    from: u64,
    /// The last version that came in it.
    at: u64,
    last_seq_before: u64,
    brought: BTreeSet<u64>,
}

impl RoomView {
    /// A room that is live from its entry's version on; its past comes by history.
    #[must_use]
    pub fn new(entry: &Entry) -> Self {
        let mut room = Self {
            id: entry.id,
            version: entry.version,
            low: entry.last_seq + 1,
            last_seq: entry.last_seq,
            ..Self::default()
        };
        room.renew(entry);
        room
    }

    /// A room of which another history is held.
    pub(super) fn of_another_history(entry: &Entry) -> Self {
        Self { must_reset: true, ..Self::new(entry) }
    }

    /// A room that `hello` names although it holds nothing of it.
    pub(super) fn never_held(id: u64) -> Self {
        Self { id, low: 1, ..Self::default() }
    }

    /// Whether it is being brought up to date.
    #[must_use]
    pub fn is_in_bracket(&self) -> bool {
        self.bracket.is_some()
    }

    pub(super) fn must_go(&self) -> bool {
        self.must_go
    }

    pub(super) fn must_reset(&self) -> bool {
        self.must_reset
    }

    pub(super) fn goes(&mut self) {
        self.must_go = true;
    }

    /// Takes what an entry says, but for its version.
    pub(super) fn renew(&mut self, entry: &Entry) {
        self.title.clone_from(&entry.title);
        self.members = entry.members;
        self.role.clone_from(&entry.role);
        self.read_seq = self.read_seq.max(entry.read_seq);
        if self.low == u64::MAX {
            // Who named a version that they never held learns here where the seqs stand.
            self.last_seq = self.last_seq.max(entry.last_seq);
        }
        let peer = entry.peer.iter().map(|peer| (&peer.id, &peer.read_seq));
        for (user, seq) in entry.reads.iter().chain(peer) {
            let mark = self.reads.entry(*user).or_default();
            *mark = (*mark).max(*seq);
        }
    }

    /// A new socket names this version of it. A bracket that was not closed moved no cursor; one that began the room
    /// anew left nothing to go on from.
    pub(super) fn comes_back(&mut self, named: u64) {
        match self.bracket.take() {
            Some(bracket) if bracket.reset => self.is_emptied(),
            Some(bracket) => self.last_seq = bracket.last_seq_before,
            None => {}
        }
        if named != self.version {
            // It says something else than what it holds: then what it holds is not what will be brought up to date.
            self.is_emptied();
            self.low = u64::MAX;
        }
        self.version = named;
        (self.must_reset, self.must_go, self.watched) = (false, false, None);
        self.typing.clear();
    }

    fn is_emptied(&mut self) {
        self.messages.clear();
        self.mine.clear();
        (self.version, self.low, self.last_seq) = (0, 1, 0);
    }

    pub(super) fn read(&mut self, me: u64, user: u64, seq: u64) {
        let mark = if user == me { &mut self.read_seq } else { self.reads.entry(user).or_default() };
        *mark = (*mark).max(seq);
    }

    pub(super) fn presence(&mut self, came: &[u64], went: &[u64], refresh: bool, count: u64) -> Result<(), Broken> {
        if refresh {
            self.watched = None;
        }
        let Some(watched) = &mut self.watched else { return Ok(()) };
        let told_twice = came.iter().find(|user| !watched.insert(**user));
        if let Some(user) = told_twice.or_else(|| went.iter().find(|user| !watched.remove(user))) {
            return Err(Broken::at(self.id, format!("user {user} came or went twice")));
        }
        if watched.len() as u64 != count {
            return Err(Broken::at(self.id, format!("{watched:?} are online, and {count} is said to be their number")));
        }
        Ok(())
    }

    // ── Brackets ──

    /// `resumed`: it is the one that hello asked for; `sync`: it is the answer to one.
    pub(super) fn catch_up(&mut self, from: u64, reset: bool, resumed: bool, sync: bool) -> Result<(), Broken> {
        let wrong = if self.bracket.is_some() {
            Some("a bracket opens in a bracket".to_owned())
        } else if !reset && !sync && from != self.version {
            Some(format!("a bracket from version {from} for a device that is at {}", self.version))
        } else if reset && !resumed && !sync {
            Some("the room is begun anew in mid-session".to_owned())
        } else if !reset && self.must_reset {
            Some("the versions of another history went on".to_owned())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(Broken::at(self.id, wrong));
        }
        self.must_reset = false;
        let last_seq_before = self.last_seq;
        if reset {
            self.is_emptied();
        }
        let at = if reset { 0 } else { from };
        self.bracket = Some(Bracket { reset, from, at, last_seq_before, brought: BTreeSet::new() });
        Ok(())
    }

    /// Says where the bracket began, and whether it began the room anew: with so many messages, if there are.
    pub(super) fn caught_up(
        &mut self,
        version: u64,
        mine: &BTreeMap<u64, Vec<String>>,
        newest: usize,
    ) -> Result<(u64, bool), Broken> {
        let Some(bracket) = self.bracket.take() else {
            return Err(Broken::at(self.id, "a bracket closes that is not open"));
        };
        if version < bracket.at {
            let what = format!("a bracket closes at version {version}, behind a message of version {}", bracket.at);
            return Err(Broken::at(self.id, what));
        }
        if version < self.version && !bracket.reset {
            let what = format!("a bracket closes at version {version}, for a device that was at {}", self.version);
            return Err(Broken::at(self.id, what));
        }
        if let Some(id) = mine.keys().find(|id| !bracket.brought.contains(id)) {
            return Err(Broken::at(self.id, format!("own reactions to {id}, which the bracket did not bring")));
        }
        for id in &bracket.brought {
            match mine.get(id) {
                Some(emoji) => drop(self.mine.insert(*id, emoji.iter().cloned().collect())),
                None => drop(self.mine.remove(id)),
            }
        }
        if bracket.reset {
            // A page of history that came meanwhile is of a window that is no longer held.
            let seqs = bracket.brought.iter().filter_map(|id| self.messages.get(id)).map(|message| message.seq);
            self.low = seqs.min().unwrap_or(self.last_seq + 1);
            let held = bracket.brought.len();
            if held > newest || (held < newest && self.low > 1) {
                return Err(Broken::at(self.id, format!("begun anew with {held} messages, from seq {} on", self.low)));
            }
        }
        self.version = version;
        self.has_no_hole()?;
        Ok((bracket.from, bracket.reset))
    }

    /// From `low` on every seq is there, once. A page of history may be ahead of what is live.
    fn has_no_hole(&self) -> Result<(), Broken> {
        let mut seqs: Vec<u64> = self.shown().map(|message| message.seq).filter(|seq| *seq <= self.last_seq).collect();
        seqs.sort_unstable();
        if self.low > self.last_seq || seqs.iter().copied().eq(self.low..=self.last_seq) {
            return Ok(());
        }
        let low = self.low;
        let missing: Vec<u64> = (low..=self.last_seq).filter(|seq| seqs.binary_search(seq).is_err()).take(10).collect();
        Err(Broken::at(self.id, format!("from seq {low} to {} these are missing: {missing:?}", self.last_seq)))
    }

    /// The messages of the window that is loaded.
    pub fn shown(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(|message| message.seq >= self.low)
    }

    // ── Messages ──

    pub(super) fn message(&mut self, me: u64, message: &Message) -> Result<(), Broken> {
        if self.must_go || self.must_reset {
            return Err(Broken::at(self.id, "a message of a room that is not held like this"));
        }
        if let Some(bracket) = &mut self.bracket {
            if message.change.is_some() || message.version <= bracket.at {
                let what =
                    format!("version {} in a bracket that is at {}, or a live one in it", message.version, bracket.at);
                return Err(Broken::at(self.id, what));
            }
            bracket.at = message.version;
            bracket.brought.insert(message.id);
            let begun_anew = bracket.reset;
            self.last_seq = self.last_seq.max(message.seq);
            if begun_anew || self.is_loaded(message) {
                self.keep(message)?;
            }
            return Ok(());
        }
        let Some(change) = &message.change else {
            return Err(Broken::at(self.id, format!("version {} came live without its change", message.version)));
        };
        if message.version != self.version + 1 {
            let kind = if message.version <= self.version { "a repeat" } else { "a gap" };
            return Err(Broken::at(
                self.id,
                format!("{kind}: version {} came live at {}", message.version, self.version),
            ));
        }
        self.version = message.version;
        if *change == Change::New {
            if message.seq != self.last_seq + 1 && self.low != u64::MAX {
                return Err(Broken::at(self.id, format!("seq {} came live behind {}", message.seq, self.last_seq)));
            }
            self.last_seq = self.last_seq.max(message.seq);
        }
        if !self.is_loaded(message) || !self.keep(message)? {
            return Ok(());
        }
        if let Change::React { user, emoji, on } = change
            && *user == me
        {
            let mine = self.mine.entry(message.id).or_default();
            if *on {
                mine.insert(emoji.clone())
            } else {
                mine.remove(emoji)
            };
        }
        Ok(())
    }

    /// A message outside of what is loaded only moves the cursor: what one reacted to it is not known.
    fn is_loaded(&self, message: &Message) -> bool {
        message.seq >= self.low || self.messages.contains_key(&message.id)
    }

    /// Inserts or replaces by id, never by something older. Says whether it did.
    fn keep(&mut self, message: &Message) -> Result<bool, Broken> {
        if message.room != self.id {
            return Err(Broken::at(self.id, format!("message {} is of room {}", message.id, message.room)));
        }
        if let Some(held) = self.messages.get(&message.id) {
            let same = |one: &Message| (one.seq, one.client_id.clone(), one.send_time.clone(), one.reply_to);
            if same(held) != same(message) {
                return Err(Broken::at(self.id, format!("{:?} of {} became {:?}", same(held), held.id, same(message))));
            }
            if held.version > message.version {
                return Ok(false);
            }
            if held.deleted && !message.deleted {
                return Err(Broken::at(self.id, format!("{} was deleted and came back", held.id)));
            }
        }
        if message.deleted {
            self.mine.remove(&message.id);
        }
        self.messages.insert(message.id, Message { change: None, ..message.clone() });
        Ok(true)
    }

    /// The past may be newer than what is held, but not where the cursor says that it is held.
    fn has_missed_nothing(&self, message: &Message) -> Result<(), Broken> {
        let is_held = || self.messages.get(&message.id).is_some_and(|held| held.version >= message.version);
        let is_covered = message.seq >= self.low && message.version <= self.version && self.bracket.is_none();
        if is_covered && !is_held() {
            let what = format!(
                "at version {} it was never told of version {} (message {})",
                self.version, message.version, message.id
            );
            return Err(Broken::at(self.id, what));
        }
        Ok(())
    }

    /// A page of history: never moves the cursor.
    pub(super) fn page(&mut self, page: &Page) -> Result<(), Broken> {
        if page.messages.windows(2).any(|two| two[0].seq + 1 != two[1].seq) {
            return Err(Broken::at(self.id, "a page of history has a hole, or does not begin with the oldest"));
        }
        for message in &page.messages {
            self.has_missed_nothing(message)?;
            let is_news = self.messages.get(&message.id).is_none_or(|held| held.version < message.version);
            if self.keep(message)? && is_news {
                let mine = page.my_reactions.get(&message.id).into_iter().flatten();
                self.mine.insert(message.id, mine.cloned().collect());
            }
        }
        // A page that reaches what is loaded makes the window larger.
        if let (Some(first), Some(last)) = (page.messages.first(), page.messages.last())
            && last.seq + 1 >= self.low.min(self.last_seq + 1)
        {
            self.low = self.low.min(first.seq);
        }
        Ok(())
    }
}
