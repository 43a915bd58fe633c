//! Presence claims are true: no claim leaves out a user who was connected throughout, none names a user whose last
//! socket ended longer ago than the linger, and counts are between the two bounds.
use std::collections::{BTreeMap, BTreeSet};

use super::Bounds;
use super::views::{DeviceKey, Replayed};
use crate::db_state::DbState;
use crate::history::Fact;
use crate::index::{Response, RunIndex};
use crate::verdict::{About, Rule, Violation};
use crate::wire::{Classic, Entry, Online, RequestBody, ServerBody};

/// A span of time, inclusive.
type Span = (u64, u64);

/// When each user was certainly online without a break, and when possibly.
struct Times {
    certain: BTreeMap<u64, Vec<Span>>,
    possible: BTreeMap<u64, Vec<Span>>,
}

/// Returns the violations, and the number of claims that were checked.
#[must_use]
pub fn check(
    run: &RunIndex<'_>,
    db: &DbState,
    devices: &BTreeMap<DeviceKey<'_>, Replayed>,
    bounds: &Bounds,
) -> (Vec<Violation>, u64) {
    let times = Times::of(run, bounds);
    let mut judge = Judge { run, db, times, bounds, moved: moved(run), found: Vec::new(), claims: 0 };
    judge.check_answers();
    judge.check_events();
    judge.check_quiesced(devices);
    (judge.found, judge.claims)
}

impl Times {
    fn of(run: &RunIndex<'_>, bounds: &Bounds) -> Self {
        let (mut certain, mut possible) = (BTreeMap::<u64, Vec<Span>>::new(), BTreeMap::<u64, Vec<Span>>::new());
        let mut goodbyes: BTreeMap<u64, Vec<Span>> = BTreeMap::new();
        for connection in run.connections.values().filter(|connection| connection.may_have_opened()) {
            let user = connection.socket.user;
            let slack = bounds.linger_us.saturating_add(bounds.slack_us);
            possible.entry(user).or_default().push(connection.possible_us(&run.server_ends_us, slack));
            certain.entry(user).or_default().extend(connection.certain_us());
            if connection.said_goodbye() {
                let known = connection.proven_us.or(connection.opened.map(|(_, at)| at)).unwrap_or(connection.begun.1);
                goodbyes.entry(user).or_default().push((known, connection.ended.map_or(u64::MAX, |(at, _)| at)));
            }
        }
        for exchange in run.exchanges.iter().filter(|exchange| matches!(exchange.body, RequestBody::Revoke {})) {
            let at = run.events[exchange.index].at_us;
            goodbyes.entry(exchange.socket.user).or_default().push((at, at.saturating_add(bounds.slack_us)));
        }
        for (user, spans) in &mut certain {
            let goodbyes = goodbyes.remove(user).unwrap_or_default();
            // A user who reconnects within the linger was online throughout, unless there was a goodbye or the server
            // ended.
            let is_break = |from: u64, to: u64| {
                to - from >= bounds.linger_us
                    || goodbyes.iter().any(|span| overlaps(*span, (from, to)))
                    || run.server_ends_us.iter().any(|end| (from..=to).contains(end))
            };
            merge(spans, is_break);
        }
        possible.values_mut().for_each(|spans| merge(spans, |_, _| true));
        Self { certain, possible }
    }

    fn is_certain(&self, user: u64, (from, to): Span) -> bool {
        self.certain.get(&user).is_some_and(|spans| spans.iter().any(|span| span.0 <= from && to <= span.1))
    }

    fn is_possible(&self, user: u64, window: Span) -> bool {
        self.possible.get(&user).is_some_and(|spans| spans.iter().any(|span| overlaps(*span, window)))
    }

    fn all_certain(&self, window: Span) -> BTreeSet<u64> {
        self.certain.keys().copied().filter(|user| self.is_certain(*user, window)).collect()
    }

    fn all_possible(&self, window: Span) -> BTreeSet<u64> {
        self.possible.keys().copied().filter(|user| self.is_possible(*user, window)).collect()
    }
}

fn overlaps(one: Span, other: Span) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

/// Merges spans that overlap or that have no break between them.
fn merge(spans: &mut Vec<Span>, is_break: impl Fn(u64, u64) -> bool) {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans.drain(..) {
        match merged.last_mut() {
            Some(last) if span.0 <= last.1 || !is_break(last.1, span.0) => last.1 = last.1.max(span.1),
            _ => merged.push(span),
        }
    }
    *spans = merged;
}

/// Users who joined or left a room, which presence also notifies.
fn moved(run: &RunIndex<'_>) -> BTreeSet<(u64, u64)> {
    let mut moved = BTreeSet::new();
    for exchange in &run.exchanges {
        match exchange.body {
            RequestBody::Join { room } | RequestBody::Leave { room } | RequestBody::Accept { room } => {
                moved.insert((*room, exchange.socket.user))
            }
            RequestBody::Invite { room, user } | RequestBody::Remove { room, user } => moved.insert((*room, *user)),
            _ => false,
        };
    }
    moved
}

struct Judge<'a> {
    run: &'a RunIndex<'a>,
    db: &'a DbState,
    times: Times,
    bounds: &'a Bounds,
    moved: BTreeSet<(u64, u64)>,
    found: Vec<Violation>,
    claims: u64,
}

impl Judge<'_> {
    fn at_us(&self, index: usize) -> u64 {
        self.run.events[index].at_us
    }

    /// The time that a claim is about, which was requested and received at these events. Periodic claims may be older.
    fn window(&self, asked: usize, received: usize) -> Span {
        (self.at_us(asked).saturating_sub(self.bounds.slack_us), self.at_us(received))
    }

    fn report(&mut self, user: u64, until: Option<usize>, what: String) {
        self.found.push(Violation::of_user(Rule::Presence, user, until, what));
    }

    fn claim_online(&mut self, user: u64, window: Span, received: usize, claim: &str) {
        if !self.times.is_possible(user, window) {
            self.report(user, Some(received), format!("{claim} claims that user {user} is online, who is not"));
        }
    }

    fn claim_offline(&mut self, user: u64, window: Span, received: usize, claim: &str) {
        if self.times.is_certain(user, window) {
            let what = format!("{claim} claims that user {user} is offline, who was connected throughout");
            self.report(user, Some(received), what);
        }
    }

    fn claim_count(&mut self, count: u64, window: Span, asker: u64, received: usize) {
        self.claims += 1;
        let least = self.times.all_certain(window).len() as u64;
        let most = self.times.all_possible(window).len() as u64;
        if count < least || count > most {
            let what = format!("{count} are claimed to be online, and there were {least} to {most}");
            self.report(asker, Some(received), what);
        }
    }

    fn check_answers(&mut self) {
        let run = self.run;
        for exchange in &run.exchanges {
            let Some((received, answer)) = exchange.response else { continue };
            let window = self.window(exchange.index, received);
            let asker = exchange.socket.user;
            match (exchange.body, answer) {
                (RequestBody::OnlineUsers {}, _) => {
                    let Some((_, now)) = exchange.ack::<Online>() else { continue };
                    self.claims += 1;
                    now.online.iter().for_each(|user| self.claim_online(*user, window, received, "the list"));
                    let users: Vec<u64> = self.times.certain.keys().copied().collect();
                    let left_out = users.into_iter().filter(|user| !now.online.contains(user));
                    left_out.for_each(|user| self.claim_offline(user, window, received, "the list"));
                    if now.count != now.online.len() as u64 {
                        self.report(asker, Some(received), format!("{} are listed as {}", now.online.len(), now.count));
                    }
                }
                (RequestBody::Presence { room, on: true }, Response::Ack(_)) => {
                    let Some((_, now)) = exchange.ack::<Online>() else { continue };
                    self.claims += 1;
                    now.online.iter().for_each(|user| self.claim_online(*user, window, received, "a room's list"));
                    // The members are known only once no client changes anything.
                    let members = self.db.rooms.get(room).map(|room| &room.members);
                    if run.changes_ended.is_some_and(|quiet| exchange.index > quiet)
                        && now.online.len() as u64 == now.count
                        && !now.truncated
                    {
                        let left_out = members.into_iter().flatten().map(|(user, _)| *user);
                        left_out
                            .filter(|user| !now.online.contains(user))
                            .for_each(|user| self.claim_offline(user, window, received, "a room's list"));
                    }
                }
                (_, Response::Welcome(welcome)) => {
                    self.claim_count(welcome.online.count, window, asker, received);
                    welcome.rooms.iter().for_each(|entry| self.check_peer(entry, window, received));
                }
                _ => {}
            }
        }
    }

    fn check_peer(&mut self, entry: &Entry, window: Span, received: usize) {
        if let Some(peer) = &entry.peer {
            self.claims += 1;
            let check = if peer.online { Self::claim_online } else { Self::claim_offline };
            check(self, peer.id, window, received, "a direct room's entry");
        }
    }

    /// A notification may have waited since the socket began.
    fn check_events(&mut self) {
        let run = self.run;
        for (index, event) in run.events.iter().enumerate() {
            let Some(connection) = event.socket.as_ref().and_then(|socket| run.connections.get(&socket.number)) else {
                continue;
            };
            let window = self.window(connection.begun.0, index);
            match &event.fact {
                Fact::ClassicReceived(Classic::OnlineCount { count }) => {
                    self.claim_count(*count, window, connection.socket.user, index)
                }
                Fact::EnvelopeReceived(envelope) => match &envelope.body {
                    ServerBody::OnlineCount { count } => {
                        self.claim_count(*count, window, connection.socket.user, index)
                    }
                    ServerBody::Presence { room, online, offline, .. } => {
                        self.claims += 1;
                        online.iter().for_each(|user| self.claim_online(*user, window, index, "presence"));
                        let stayed = offline.iter().filter(|user| !self.moved.contains(&(*room, **user)));
                        let stayed: Vec<u64> = stayed.copied().collect();
                        stayed.into_iter().for_each(|user| self.claim_offline(user, window, index, "presence"));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    /// Once quiesced, nothing changes: the last claim on each device must be true.
    fn check_quiesced(&mut self, devices: &BTreeMap<DeviceKey<'_>, Replayed>) {
        let run = self.run;
        let Some(rest) = run.events.iter().rposition(|event| event.fact == Fact::Quiesced) else { return };
        let certain = self.times.all_certain((self.at_us(rest), self.at_us(rest)));
        if certain != self.times.all_possible((self.at_us(rest), run.end_us())) {
            return;
        }
        let mut last_counts: BTreeMap<u64, u64> = BTreeMap::new();
        for event in run.events {
            let Some(socket) = &event.socket else { continue };
            let count = match &event.fact {
                Fact::ClassicReceived(Classic::OnlineCount { count }) => *count,
                Fact::EnvelopeReceived(envelope) => match &envelope.body {
                    ServerBody::OnlineCount { count } => *count,
                    ServerBody::Welcome(welcome) => welcome.online.count,
                    _ => continue,
                },
                _ => continue,
            };
            last_counts.insert(socket.number, count);
        }
        let quiesced = run.connections.values().filter(|connection| connection.quiesced && connection.ended.is_none());
        for connection in quiesced {
            self.claims += 1;
            let count = last_counts.get(&connection.socket.number).copied();
            if count != Some(certain.len() as u64) {
                let what = format!(
                    "{count:?} was the last count of {} when quiesced, and {certain:?} are online",
                    connection.socket.device
                );
                self.report(connection.socket.user, None, what);
            }
        }
        for (&(user, device), replayed) in
            devices.iter().filter(|(_, device)| device.quiesced && device.broken.is_none())
        {
            for (id, room) in &replayed.view.rooms {
                let (Some(watched), Some(there)) = (&room.watched, self.db.rooms.get(id)) else { continue };
                self.claims += 1;
                let expected: BTreeSet<u64> =
                    there.members.keys().copied().filter(|user| certain.contains(user)).collect();
                if *watched != expected {
                    let what = format!(
                        "in room {id}, user {user} sees {watched:?} online on {device} instead of {expected:?}"
                    );
                    let (user, device) = (Some(user), Some(device.to_owned()));
                    let about = About { room: Some(*id), user, device, ..About::default() };
                    self.found.push(Violation { rule: Rule::Presence, what, about });
                }
            }
        }
    }
}
