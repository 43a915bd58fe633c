//! Who is said to be online is, and nobody else: no claim leaves out a user who was connected all the while, none
//! names one whose last socket went longer ago than they linger, and counts lie between the two.

use std::collections::{BTreeMap, BTreeSet};

use super::Bounds;
use super::views::{Device, Replayed};
use crate::history::Fact;
use crate::ledger::{Answer, Ledger};
use crate::truth::Truth;
use crate::verdict::{About, Rule, Violation};
use crate::wire::{Ask, Classic, Entry, Online, Said};

/// A span of time, both ends included.
type Span = (u64, u64);

/// When each user was surely online, without a break, and when they may have been.
struct Times {
    surely: BTreeMap<u64, Vec<Span>>,
    possibly: BTreeMap<u64, Vec<Span>>,
}

/// What was found, and how many claims were looked at.
#[must_use]
pub fn check(
    ledger: &Ledger<'_>,
    truth: &Truth,
    devices: &BTreeMap<Device<'_>, Replayed>,
    bounds: &Bounds,
) -> (Vec<Violation>, u64) {
    let times = Times::of(ledger, bounds);
    let mut judge = Judge { ledger, truth, times, bounds, moved: moved(ledger), found: Vec::new(), claims: 0 };
    judge.answers();
    judge.events();
    judge.rest(devices);
    (judge.found, judge.claims)
}

impl Times {
    fn of(ledger: &Ledger<'_>, bounds: &Bounds) -> Self {
        let (mut surely, mut possibly) = (BTreeMap::<u64, Vec<Span>>::new(), BTreeMap::<u64, Vec<Span>>::new());
        let mut goodbyes: BTreeMap<u64, Vec<Span>> = BTreeMap::new();
        for life in ledger.lives.values().filter(|life| life.may_have_opened()) {
            let user = life.socket.user;
            let slack = bounds.linger_us.saturating_add(bounds.slack_us);
            possibly.entry(user).or_default().push(life.possibly_us(&ledger.deaths_us, slack));
            surely.entry(user).or_default().extend(life.surely_us());
            if life.said_goodbye() {
                let known = life.proven_us.or(life.opened.map(|(_, at)| at)).unwrap_or(life.begun.1);
                goodbyes.entry(user).or_default().push((known, life.ended.map_or(u64::MAX, |(at, _)| at)));
            }
        }
        for asked in ledger.asked.iter().filter(|asked| matches!(asked.ask, Ask::Revoke {})) {
            let at = ledger.events[asked.index].at_us;
            goodbyes.entry(asked.socket.user).or_default().push((at, at.saturating_add(bounds.slack_us)));
        }
        for (user, spans) in &mut surely {
            let goodbyes = goodbyes.remove(user).unwrap_or_default();
            // Who comes back within the linger was online all the while, but for a goodbye or the server's death.
            let is_break = |from: u64, to: u64| {
                to - from >= bounds.linger_us
                    || goodbyes.iter().any(|span| meets(*span, (from, to)))
                    || ledger.deaths_us.iter().any(|death| (from..=to).contains(death))
            };
            merge(spans, is_break);
        }
        possibly.values_mut().for_each(|spans| merge(spans, |_, _| true));
        Self { surely, possibly }
    }

    fn is_surely(&self, user: u64, (from, to): Span) -> bool {
        self.surely.get(&user).is_some_and(|spans| spans.iter().any(|span| span.0 <= from && to <= span.1))
    }

    fn is_possibly(&self, user: u64, window: Span) -> bool {
        self.possibly.get(&user).is_some_and(|spans| spans.iter().any(|span| meets(*span, window)))
    }

    fn all_surely(&self, window: Span) -> BTreeSet<u64> {
        self.surely.keys().copied().filter(|user| self.is_surely(*user, window)).collect()
    }

    fn all_possibly(&self, window: Span) -> BTreeSet<u64> {
        self.possibly.keys().copied().filter(|user| self.is_possibly(*user, window)).collect()
    }
}

fn meets(one: Span, other: Span) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

/// Makes one of spans that overlap, and of those between which there is no break.
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

/// Who came into a room or went out of it, which its presence tells as well.
fn moved(ledger: &Ledger<'_>) -> BTreeSet<(u64, u64)> {
    let mut moved = BTreeSet::new();
    for asked in &ledger.asked {
        match asked.ask {
            Ask::Join { room } | Ask::Leave { room } => moved.insert((*room, asked.socket.user)),
            Ask::Invite { room, user } | Ask::Remove { room, user } => moved.insert((*room, *user)),
            _ => false,
        };
    }
    moved
}

struct Judge<'a> {
    ledger: &'a Ledger<'a>,
    truth: &'a Truth,
    times: Times,
    bounds: &'a Bounds,
    moved: BTreeSet<(u64, u64)>,
    found: Vec<Violation>,
    claims: u64,
}

impl Judge<'_> {
    fn at_us(&self, index: usize) -> u64 {
        self.ledger.events[index].at_us
    }

    /// The time about which something says that was asked for at the first and heard at the second event. What is
    /// told by the tick may be older.
    fn window(&self, asked: usize, heard: usize) -> Span {
        (self.at_us(asked).saturating_sub(self.bounds.slack_us), self.at_us(heard))
    }

    fn says(&mut self, user: u64, until: Option<usize>, what: String) {
        self.found.push(Violation::of_user(Rule::Present, user, until, what));
    }

    fn is_online(&mut self, user: u64, window: Span, heard: usize, claim: &str) {
        if !self.times.is_possibly(user, window) {
            self.says(user, Some(heard), format!("{claim} says that user {user} is online, who is not"));
        }
    }

    fn is_offline(&mut self, user: u64, window: Span, heard: usize, claim: &str) {
        if self.times.is_surely(user, window) {
            let what = format!("{claim} says that user {user} is not online, who was connected all the while");
            self.says(user, Some(heard), what);
        }
    }

    fn counts(&mut self, count: u64, window: Span, requester: u64, heard: usize) {
        self.claims += 1;
        let least = self.times.all_surely(window).len() as u64;
        let most = self.times.all_possibly(window).len() as u64;
        if count < least || count > most {
            let what = format!("{count} are said to be online, and there were at least {least} and at most {most}");
            self.says(requester, Some(heard), what);
        }
    }

    fn answers(&mut self) {
        let ledger = self.ledger;
        for asked in &ledger.asked {
            let Some((heard, answer)) = asked.answer else { continue };
            let window = self.window(asked.index, heard);
            let requester = asked.socket.user;
            match (asked.ask, answer) {
                (Ask::OnlineUsers {}, _) => {
                    let Some((_, now)) = asked.ack::<Online>() else { continue };
                    self.claims += 1;
                    now.online.iter().for_each(|user| self.is_online(*user, window, heard, "the list"));
                    let users: Vec<u64> = self.times.surely.keys().copied().collect();
                    let left_out = users.into_iter().filter(|user| !now.online.contains(user));
                    left_out.for_each(|user| self.is_offline(user, window, heard, "the list"));
                    if now.count != now.online.len() as u64 {
                        self.says(requester, Some(heard), format!("{} are listed as {}", now.online.len(), now.count));
                    }
                }
                (Ask::Presence { room, on: true }, Answer::Ack(_)) => {
                    let Some((_, now)) = asked.ack::<Online>() else { continue };
                    self.claims += 1;
                    now.online.iter().for_each(|user| self.is_online(*user, window, heard, "a room's list"));
                    // Who is in it is known only once nobody moves any more.
                    let members = self.truth.rooms.get(room).map(|room| &room.members);
                    if ledger.quiet.is_some_and(|quiet| asked.index > quiet)
                        && now.online.len() as u64 == now.count
                        && !now.truncated
                    {
                        let left_out = members.into_iter().flatten().map(|(user, _)| *user);
                        left_out
                            .filter(|user| !now.online.contains(user))
                            .for_each(|user| self.is_offline(user, window, heard, "a room's list"));
                    }
                }
                (_, Answer::Welcome(welcome)) => {
                    self.counts(welcome.online.count, window, requester, heard);
                    welcome.rooms.iter().for_each(|entry| self.peer(entry, window, heard));
                }
                _ => {}
            }
        }
    }

    fn peer(&mut self, entry: &Entry, window: Span, heard: usize) {
        if let Some(peer) = &entry.peer {
            self.claims += 1;
            let check = if peer.online { Self::is_online } else { Self::is_offline };
            check(self, peer.id, window, heard, "a direct room's entry");
        }
    }

    /// What is told of itself may have waited since the socket began.
    fn events(&mut self) {
        let ledger = self.ledger;
        for (index, event) in ledger.events.iter().enumerate() {
            let Some(life) = event.socket.as_ref().and_then(|socket| ledger.lives.get(&socket.number)) else {
                continue;
            };
            let window = self.window(life.begun.0, index);
            match &event.fact {
                Fact::HeardClassic(Classic::OnlineCount { count }) => {
                    self.counts(*count, window, life.socket.user, index)
                }
                Fact::Heard(heard) => match &heard.said {
                    Said::OnlineCount { count } => self.counts(*count, window, life.socket.user, index),
                    Said::Presence { room, online, offline, .. } => {
                        self.claims += 1;
                        online.iter().for_each(|user| self.is_online(*user, window, index, "presence"));
                        let stayed = offline.iter().filter(|user| !self.moved.contains(&(*room, **user)));
                        let stayed: Vec<u64> = stayed.copied().collect();
                        stayed.into_iter().for_each(|user| self.is_offline(user, window, index, "presence"));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    /// At rest nothing changes any more: what each device was told last is how it is.
    fn rest(&mut self, devices: &BTreeMap<Device<'_>, Replayed>) {
        let ledger = self.ledger;
        let Some(rest) = ledger.events.iter().rposition(|event| event.fact == Fact::Rested) else { return };
        let surely = self.times.all_surely((self.at_us(rest), self.at_us(rest)));
        if surely != self.times.all_possibly((self.at_us(rest), ledger.end_us())) {
            return;
        }
        let mut told: BTreeMap<u64, u64> = BTreeMap::new();
        for event in ledger.events {
            let Some(socket) = &event.socket else { continue };
            let count = match &event.fact {
                Fact::HeardClassic(Classic::OnlineCount { count }) => *count,
                Fact::Heard(heard) => match &heard.said {
                    Said::OnlineCount { count } => *count,
                    Said::Welcome(welcome) => welcome.online.count,
                    _ => continue,
                },
                _ => continue,
            };
            told.insert(socket.number, count);
        }
        let at_rest = ledger.lives.values().filter(|life| life.rested && life.ended.is_none());
        for life in at_rest {
            self.claims += 1;
            let count = told.get(&life.socket.number).copied();
            if count != Some(surely.len() as u64) {
                let what =
                    format!("{count:?} was told last to {} at rest, and {surely:?} are online", life.socket.device);
                self.says(life.socket.user, None, what);
            }
        }
        for (&(user, device), replayed) in devices.iter().filter(|(_, device)| device.rested && device.broken.is_none())
        {
            for (id, room) in &replayed.view.rooms {
                let (Some(watched), Some(there)) = (&room.watched, self.truth.rooms.get(id)) else { continue };
                self.claims += 1;
                let expected: BTreeSet<u64> =
                    there.members.keys().copied().filter(|user| surely.contains(user)).collect();
                if *watched != expected {
                    let what =
                        format!("in room {id} user {user} sees {watched:?} online on {device}, and it is {expected:?}");
                    let (user, device) = (Some(user), Some(device.to_owned()));
                    let about = About { room: Some(*id), user, device, ..About::default() };
                    self.found.push(Violation { rule: Rule::Present, what, about });
                }
            }
        }
    }
}
