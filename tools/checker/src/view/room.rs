//! The view of one room on one device: its messages from some seq on, its version, and its catch-ups. It checks every
//! rule of docs/protocol.md about them.

use std::collections::{BTreeMap, BTreeSet};

use super::RuleBroken;
use crate::wire::{Change, Entry, Message, Page, ReactionsChange};

/// The state of one room.
#[derive(Clone, Default, Debug)]
pub struct RoomView {
    /// The room id.
    pub id: u64,
    /// The last applied version.
    pub version: u64,
    /// All messages from this seq on are held; `u64::MAX` if hello named a version that was never held.
    pub low: u64,
    /// The seq of the newest message.
    pub last_seq: u64,
    /// The title.
    pub title: String,
    /// Number of members.
    pub members: u64,
    /// The user's role.
    pub role: String,
    /// Users that are typing.
    pub typing: Vec<u64>,
    /// The user's read mark.
    pub read_seq: u64,
    /// Read marks of other members.
    pub reads: BTreeMap<u64, u64>,
    /// Messages by id.
    pub messages: BTreeMap<u64, Message>,
    /// The user's own reactions, by message.
    pub mine: BTreeMap<u64, BTreeSet<String>>,
    /// Online members, if watched and complete.
    pub watched: Option<BTreeSet<u64>>,
    catch_up: Option<CatchUp>,
    /// The held state is invalid; only a reset catch-up may follow.
    must_reset: bool,
    /// The welcome did not list the room; only `removed` may follow.
    must_be_removed: bool,
}

/// A catch-up in progress.
#[derive(Clone, Debug)]
struct CatchUp {
    reset: bool,
    from: u64,
    /// The last version received in it.
    at: u64,
    last_seq_before: u64,
    received: BTreeSet<u64>,
}

impl RoomView {
    /// A room that is live from its entry's version on. Its past is loaded as history.
    #[must_use]
    pub fn new(entry: &Entry) -> Self {
        let mut room = Self {
            id: entry.id,
            version: entry.version,
            low: entry.last_seq + 1,
            last_seq: entry.last_seq,
            ..Self::default()
        };
        room.update_entry(entry);
        room
    }

    /// A room that is held in another epoch.
    pub(super) fn of_other_epoch(entry: &Entry) -> Self {
        Self { must_reset: true, ..Self::new(entry) }
    }

    /// A room that hello names although it is not held.
    pub(super) fn never_held(id: u64) -> Self {
        Self { id, low: 1, ..Self::default() }
    }

    /// Whether a catch-up is in progress.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.catch_up.is_some()
    }

    pub(super) fn must_be_removed(&self) -> bool {
        self.must_be_removed
    }

    pub(super) fn must_reset(&self) -> bool {
        self.must_reset
    }

    pub(super) fn expect_removal(&mut self) {
        self.must_be_removed = true;
    }

    /// Applies an entry, except its version.
    pub(super) fn update_entry(&mut self, entry: &Entry) {
        self.title.clone_from(&entry.title);
        self.members = entry.members;
        self.role.clone_from(&entry.role);
        self.read_seq = self.read_seq.max(entry.read_seq);
        if self.low == u64::MAX {
            // A client that named a version it never held learns the seqs here.
            self.last_seq = self.last_seq.max(entry.last_seq);
        }
        let peer = entry.peer.iter().map(|peer| (&peer.id, &peer.read_seq));
        for (user, seq) in entry.reads.iter().chain(peer) {
            let mark = self.reads.entry(*user).or_default();
            *mark = (*mark).max(*seq);
        }
    }

    /// Prepares for the catch-up of a new socket whose hello named this version. An incomplete catch-up did not move the
    /// version; an incomplete reset left nothing to resume.
    pub(super) fn reconnect(&mut self, named: u64) {
        match self.catch_up.take() {
            Some(catch_up) if catch_up.reset => self.clear(),
            Some(catch_up) => self.last_seq = catch_up.last_seq_before,
            None => {}
        }
        if named != self.version {
            // Hello named another version than the held one, so the held messages do not match the catch-up.
            self.clear();
            self.low = u64::MAX;
        }
        self.version = named;
        (self.must_reset, self.must_be_removed, self.watched) = (false, false, None);
        self.typing.clear();
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.mine.clear();
        (self.version, self.low, self.last_seq) = (0, 1, 0);
    }

    pub(super) fn advance_read_mark(&mut self, me: u64, user: u64, seq: u64) {
        let mark = if user == me { &mut self.read_seq } else { self.reads.entry(user).or_default() };
        *mark = (*mark).max(seq);
    }

    pub(super) fn apply_presence(
        &mut self,
        came: &[u64],
        went: &[u64],
        refresh: bool,
        count: u64,
    ) -> Result<(), RuleBroken> {
        if refresh {
            self.watched = None;
        }
        let Some(watched) = &mut self.watched else { return Ok(()) };
        let repeated = came.iter().find(|user| !watched.insert(**user));
        if let Some(user) = repeated.or_else(|| went.iter().find(|user| !watched.remove(user))) {
            return Err(RuleBroken::at(self.id, format!("user {user} came or went twice")));
        }
        if watched.len() as u64 != count {
            return Err(RuleBroken::at(self.id, format!("{watched:?} are online, and the count is {count}")));
        }
        Ok(())
    }

    // ── Catch-up ──

    /// `resumed`: hello requested it. `sync`: a `sync` requested it.
    pub(super) fn begin_catch_up(
        &mut self,
        from: u64,
        reset: bool,
        resumed: bool,
        sync: bool,
    ) -> Result<(), RuleBroken> {
        let wrong = if self.catch_up.is_some() {
            Some("a catch-up begins within a catch-up".to_owned())
        } else if !reset && !sync && from != self.version {
            Some(format!("a catch-up from version {from} for a device at version {}", self.version))
        } else if reset && !resumed && !sync {
            Some("an unrequested reset".to_owned())
        } else if !reset && self.must_reset {
            Some("a catch-up without reset after a change of epoch".to_owned())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(RuleBroken::at(self.id, wrong));
        }
        self.must_reset = false;
        let last_seq_before = self.last_seq;
        if reset {
            self.clear();
        }
        let at = if reset { 0 } else { from };
        self.catch_up = Some(CatchUp { reset, from, at, last_seq_before, received: BTreeSet::new() });
        Ok(())
    }

    /// Ends the catch-up. Returns where it began and whether it was a reset, which brings `newest` messages if there are.
    pub(super) fn end_catch_up(
        &mut self,
        version: u64,
        mine: &BTreeMap<u64, Vec<String>>,
        newest: usize,
    ) -> Result<(u64, bool), RuleBroken> {
        let Some(catch_up) = self.catch_up.take() else {
            return Err(RuleBroken::at(self.id, "a catch-up ends that did not begin"));
        };
        if version < catch_up.at {
            let what =
                format!("a catch-up ends at version {version}, below the version {} of a message in it", catch_up.at);
            return Err(RuleBroken::at(self.id, what));
        }
        if version < self.version && !catch_up.reset {
            let what = format!("a catch-up ends at version {version}, for a device at version {}", self.version);
            return Err(RuleBroken::at(self.id, what));
        }
        if let Some(id) = mine.keys().find(|id| !catch_up.received.contains(id)) {
            return Err(RuleBroken::at(
                self.id,
                format!("own reactions to message {id}, which the catch-up does not include"),
            ));
        }
        for id in &catch_up.received {
            match mine.get(id) {
                Some(emoji) => drop(self.mine.insert(*id, emoji.iter().cloned().collect())),
                None => drop(self.mine.remove(id)),
            }
        }
        if catch_up.reset {
            // A page of history that arrived meanwhile belongs to a range that is no longer held.
            let seqs = catch_up.received.iter().filter_map(|id| self.messages.get(id)).map(|message| message.seq);
            self.low = seqs.min().unwrap_or(self.last_seq + 1);
            let held = catch_up.received.len();
            if held > newest || (held < newest && self.low > 1) {
                return Err(RuleBroken::at(self.id, format!("a reset with {held} messages, from seq {} on", self.low)));
            }
        }
        self.version = version;
        self.check_no_gap()?;
        Ok((catch_up.from, catch_up.reset))
    }

    /// From `low` on, every seq is held once. History pages may be ahead of live messages.
    fn check_no_gap(&self) -> Result<(), RuleBroken> {
        let mut seqs: Vec<u64> = self.shown().map(|message| message.seq).filter(|seq| *seq <= self.last_seq).collect();
        seqs.sort_unstable();
        if self.low > self.last_seq || seqs.iter().copied().eq(self.low..=self.last_seq) {
            return Ok(());
        }
        let low = self.low;
        let missing: Vec<u64> = (low..=self.last_seq).filter(|seq| seqs.binary_search(seq).is_err()).take(10).collect();
        Err(RuleBroken::at(self.id, format!("missing seqs from {low} to {}: {missing:?}", self.last_seq)))
    }

    /// The messages of the loaded range.
    pub fn shown(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(|message| message.seq >= self.low)
    }

    // ── Messages ──

    fn check_not_void(&self) -> Result<(), RuleBroken> {
        if self.must_be_removed || self.must_reset {
            return Err(RuleBroken::at(self.id, "a message of a room that must be removed or reset"));
        }
        Ok(())
    }

    /// Moves the version to the next one, which a live envelope has.
    fn advance(&mut self, version: u64) -> Result<(), RuleBroken> {
        if version != self.version + 1 {
            let kind = if version <= self.version { "a repeat" } else { "a gap" };
            return Err(RuleBroken::at(self.id, format!("{kind}: live version {version} at version {}", self.version)));
        }
        self.version = version;
        Ok(())
    }

    pub(super) fn apply_message(&mut self, message: &Message) -> Result<(), RuleBroken> {
        self.check_not_void()?;
        if let Some(catch_up) = &mut self.catch_up {
            if message.change.is_some() || message.version <= catch_up.at {
                let what = format!(
                    "version {} in a catch-up at version {}, or a live message within it",
                    message.version, catch_up.at
                );
                return Err(RuleBroken::at(self.id, what));
            }
            catch_up.at = message.version;
            catch_up.received.insert(message.id);
            let is_reset = catch_up.reset;
            self.last_seq = self.last_seq.max(message.seq);
            if is_reset || self.is_loaded(message) {
                self.store(message)?;
            }
            return Ok(());
        }
        let Some(change) = &message.change else {
            return Err(RuleBroken::at(self.id, format!("live version {} without its change", message.version)));
        };
        self.advance(message.version)?;
        if *change == Change::New {
            if message.seq != self.last_seq + 1 && self.low != u64::MAX {
                return Err(RuleBroken::at(self.id, format!("live seq {} after seq {}", message.seq, self.last_seq)));
            }
            self.last_seq = self.last_seq.max(message.seq);
        }
        if let Change::React { .. } = change {
            return Err(RuleBroken::at(self.id, format!("a reaction repeats message {}", message.id)));
        }
        if self.is_loaded(message) {
            self.store(message)?;
        }
        Ok(())
    }

    /// Applies a change of reactions. A message that is not held only moves the version, and so does one that a page of
    /// history brought in a newer state.
    pub(super) fn apply_change(&mut self, me: u64, change: &ReactionsChange) -> Result<(), RuleBroken> {
        self.check_not_void()?;
        if self.catch_up.is_some() {
            let what = format!("version {} within a catch-up without its message", change.version);
            return Err(RuleBroken::at(self.id, what));
        }
        self.advance(change.version)?;
        let Change::React { user, emoji, on } = &change.change else {
            let what = format!("message {} came without its content: {:?}", change.id, change.change);
            return Err(RuleBroken::at(self.id, what));
        };
        let Some(held) = self.messages.get_mut(&change.id).filter(|held| held.version <= change.version) else {
            return Ok(());
        };
        if held.deleted {
            return Err(RuleBroken::at(self.id, format!("a reaction to message {}, which is deleted", change.id)));
        }
        (held.version, held.reactions) = (change.version, change.reactions.clone());
        if *user == me {
            let mine = self.mine.entry(change.id).or_default();
            if *on {
                mine.insert(emoji.clone())
            } else {
                mine.remove(emoji)
            };
        }
        Ok(())
    }

    /// A message outside of the loaded range only moves the version, since the own reactions to it are unknown.
    fn is_loaded(&self, message: &Message) -> bool {
        message.seq >= self.low || self.messages.contains_key(&message.id)
    }

    /// Inserts or replaces a message, never by an older version. Returns whether it did.
    fn store(&mut self, message: &Message) -> Result<bool, RuleBroken> {
        if message.room != self.id {
            return Err(RuleBroken::at(self.id, format!("message {} belongs to room {}", message.id, message.room)));
        }
        if let Some(held) = self.messages.get(&message.id) {
            let same = |one: &Message| (one.seq, one.client_id.clone(), one.send_time.clone(), one.reply_to);
            if same(held) != same(message) {
                return Err(RuleBroken::at(
                    self.id,
                    format!("{:?} of message {} became {:?}", same(held), held.id, same(message)),
                ));
            }
            if held.version > message.version {
                return Ok(false);
            }
            if held.deleted && !message.deleted {
                return Err(RuleBroken::at(self.id, format!("message {} was deleted and came back", held.id)));
            }
        }
        if message.deleted {
            self.mine.remove(&message.id);
        }
        self.messages.insert(message.id, Message { change: None, ..message.clone() });
        Ok(true)
    }

    /// A history message may be newer than the held one, unless its version is covered by the room's version.
    fn check_not_missed(&self, message: &Message) -> Result<(), RuleBroken> {
        let is_held = || self.messages.get(&message.id).is_some_and(|held| held.version >= message.version);
        let is_covered = message.seq >= self.low && message.version <= self.version && self.catch_up.is_none();
        if is_covered && !is_held() {
            let what = format!(
                "at version {}, version {} (message {}) was never received",
                self.version, message.version, message.id
            );
            return Err(RuleBroken::at(self.id, what));
        }
        Ok(())
    }

    /// Applies a page of history, which never moves the version.
    pub(super) fn apply_page(&mut self, page: &Page) -> Result<(), RuleBroken> {
        if page.messages.windows(2).any(|two| two[0].seq + 1 != two[1].seq) {
            return Err(RuleBroken::at(self.id, "a page of history has a gap or is not in ascending order"));
        }
        for message in &page.messages {
            self.check_not_missed(message)?;
            if self.store(message)? {
                let mine = page.my_reactions.get(&message.id).into_iter().flatten();
                self.mine.insert(message.id, mine.cloned().collect());
            }
        }
        // A page that adjoins the loaded range extends it.
        if let (Some(first), Some(last)) = (page.messages.first(), page.messages.last())
            && last.seq + 1 >= self.low.min(self.last_seq + 1)
        {
            self.low = self.low.min(first.seq);
        }
        Ok(())
    }
}
