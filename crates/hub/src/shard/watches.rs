//! Who is online in rooms that sessions watch: the list once, then who came and went, gathered by tick.
//!
//! Only watched rooms cost anything. Invariants: a room is here exactly while it has watchers; `rooms_of` names the
//! watched rooms of exactly those users who are known members of one. It sends nothing and never calls the store.

use teahouse_core::limits::{PRESENCE_IDS_MAX, PRESENCE_MEMBERS_MAX};
use teahouse_core::{RoomId, SessionId, UserId};
use teahouse_protocol::v1::{PresenceDiff, PresenceNow};

use crate::maps::{HashMap, HashSet};
use crate::online::Online;

/// The watched rooms of a shard.
#[derive(Debug, Default)]
pub(crate) struct PresenceWatches {
    watches: HashMap<RoomId, Watch>,
    rooms_of: HashMap<UserId, Vec<RoomId>>,
    /// Watched rooms in which something changed that edges do not show.
    changed: HashSet<RoomId>,
    /// How many edges of [`Online`] this shard has seen.
    edges_seen: u64,
    /// The number of the newest read of members.
    newest_read: u64,
}

/// A session that waits for the list, and its request's reference.
type Request = (SessionId, Option<String>);

/// A room that sessions watch.
#[derive(Debug, Default)]
struct Watch {
    watchers: HashSet<SessionId>,
    /// The number of the read that counts; the result of an earlier one is ignored.
    read: u64,
    /// None until that read has its result.
    members: Option<HashSet<UserId>>,
    /// Who became a member or ceased to be one during the read, in order.
    during_read: Vec<(UserId, bool)>,
    /// The read may be older than a change that is not known, so it is repeated.
    is_read_outdated: bool,
    waiting: Vec<Request>,
    /// Users who may have come or gone since the last tick.
    changed: HashSet<UserId>,
    /// Who is online as the watchers know it. Lists are made from it too, so that the next tick's difference is
    /// news to all watchers alike. None where members are only counted.
    known: Option<HashSet<UserId>>,
    /// More changed than can be listed, or it is not known what.
    needs_refresh: bool,
}

/// The result of beginning to watch a room.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum WatchOutcome {
    /// The room's members have to be read, under this number.
    NeedsMembers(u64),
    /// They are known, or being read.
    Watching,
    /// Too many requests wait already. This is the refused one's reference.
    Overloaded(Option<String>),
}

/// The result of a read of members.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum MembersRead {
    /// Requests that wait can be answered.
    Known,
    /// The read was outdated: it has to be repeated, under this number.
    Repeat(u64),
    /// Nobody waits for this read any more.
    Ignored,
}

/// An update for a room's watchers.
#[derive(Debug)]
pub(super) struct PresenceUpdate {
    pub(super) room: RoomId,
    pub(super) watchers: Vec<SessionId>,
    /// The difference, for watchers who know its base; none if all watchers have to request presence again.
    pub(super) diff: Option<PresenceDiff>,
    /// The update for the other watchers, who have to request presence again.
    pub(super) refresh: PresenceDiff,
}

impl Watch {
    fn is_listed(&self) -> bool {
        self.members.as_ref().is_some_and(|members| members.len() <= PRESENCE_MEMBERS_MAX as usize)
    }

    /// From now on watchers are sent the differences from this moment.
    fn reset_known(&mut self, online: &Online) {
        let members = self.members.as_ref().filter(|_| self.is_listed());
        self.known = members.map(|members| online.among(members).into_iter().collect());
    }

    /// The changes since the last tick: the difference, none if watchers have to refresh; and how many are online.
    /// None at all if nothing changed.
    fn take_update(&mut self, online: &Online) -> Option<(Option<PresenceDiff>, u64)> {
        let changed = std::mem::take(&mut self.changed);
        let mut is_refresh = std::mem::take(&mut self.needs_refresh);
        let is_listed = self.is_listed();
        let members = self.members.as_ref()?;
        let mut diff = PresenceDiff::default();
        match self.known.as_mut().filter(|_| is_listed) {
            Some(known) => {
                for user in changed {
                    // A user who came and went between two ticks changes nothing.
                    let on = members.contains(&user) && online.contains(user);
                    if on && known.insert(user) {
                        diff.online.push(user);
                    } else if !on && known.remove(&user) {
                        diff.offline.push(user);
                    }
                }
                let news = diff.online.len() + diff.offline.len();
                if news == 0 && !is_refresh {
                    return None;
                }
                is_refresh |= news > PRESENCE_IDS_MAX;
                diff.online.sort_unstable();
                diff.offline.sort_unstable();
                diff.count = known.len() as u64;
            }
            None => {
                is_refresh = true;
                diff.count = online.among(members).len() as u64;
            }
        }
        let count = diff.count;
        if is_refresh {
            self.reset_known(online);
        }
        Some((Some(diff).filter(|_| !is_refresh), count))
    }
}

impl PresenceWatches {
    /// A session watches a room from now on; `request` is answered when the list is known.
    pub(super) fn watch(
        &mut self,
        room: RoomId,
        session: SessionId,
        request: Option<String>,
        waiting_max: usize,
    ) -> WatchOutcome {
        let is_new = !self.watches.contains_key(&room);
        let watch = self.watches.entry(room).or_default();
        if watch.waiting.len() >= waiting_max {
            return WatchOutcome::Overloaded(request);
        }
        watch.watchers.insert(session);
        watch.waiting.push((session, request));
        if is_new { WatchOutcome::NeedsMembers(self.begin_read(room)) } else { WatchOutcome::Watching }
    }

    /// A session no longer watches a room. Returns the references of its requests that were not answered.
    pub(super) fn unwatch(&mut self, room: RoomId, session: SessionId) -> Vec<String> {
        let Some(watch) = self.watches.get_mut(&room) else { return Vec::new() };
        watch.watchers.remove(&session);
        let waited = watch.waiting.extract_if(.., |(waiting, _)| *waiting == session);
        let unanswered = waited.filter_map(|(_, request)| request).collect();
        if watch.watchers.is_empty() {
            self.changed.remove(&room);
            let members = self.watches.remove(&room).and_then(|watch| watch.members);
            self.forget_members(room, members);
        }
        unanswered
    }

    /// Begins a new read of a room's members, which voids earlier ones. Returns its number.
    fn begin_read(&mut self, room: RoomId) -> u64 {
        self.newest_read += 1;
        if let Some(watch) = self.watches.get_mut(&room) {
            watch.read = self.newest_read;
            // The new read includes these changes.
            watch.during_read.clear();
        }
        self.newest_read
    }

    /// The read of this number has its result.
    pub(super) fn set_members(
        &mut self,
        room: RoomId,
        number: u64,
        members: Vec<UserId>,
        online: &Online,
    ) -> MembersRead {
        let Some(watch) = self.watches.get_mut(&room).filter(|watch| watch.read == number) else {
            return MembersRead::Ignored;
        };
        if std::mem::take(&mut watch.is_read_outdated) {
            return MembersRead::Repeat(self.begin_read(room));
        }
        let mut members: HashSet<UserId> = members.into_iter().collect();
        for (user, on) in watch.during_read.drain(..) {
            if on {
                members.insert(user);
            } else {
                members.remove(&user);
            }
        }
        for user in &members {
            self.rooms_of.entry(*user).or_default().push(room);
        }
        watch.members = Some(members);
        watch.reset_known(online);
        MembersRead::Known
    }

    /// The list, and the requests that wait for it; none while members are not known.
    pub(super) fn take_waiting(&mut self, room: RoomId, online: &Online) -> Option<(PresenceNow, Vec<Request>)> {
        let watch = self.watches.get_mut(&room)?;
        let members = watch.members.as_ref()?;
        let mut listed: Vec<u64> = watch.known.iter().flatten().map(|user| user.0).collect();
        listed.sort_unstable();
        let truncated = watch.known.is_none();
        let count = if truncated { online.among(members).len() } else { listed.len() } as u64;
        Some((PresenceNow { online: listed, count, truncated }, std::mem::take(&mut watch.waiting)))
    }

    /// A user became a member of a room, or ceased to be one.
    pub(super) fn set_member(&mut self, room: RoomId, user: UserId, on: bool) {
        let Some(watch) = self.watches.get_mut(&room) else { return };
        let Some(members) = &mut watch.members else {
            watch.during_read.push((user, on));
            return;
        };
        let changed = if on { members.insert(user) } else { members.remove(&user) };
        if !changed {
            return;
        }
        watch.changed.insert(user);
        self.changed.insert(room);
        if on {
            self.rooms_of.entry(user).or_default().push(room);
        } else {
            self.forget_member(room, user);
        }
    }

    /// A room's members are no longer known. Returns the number of the read that is needed, if one is.
    pub(super) fn invalidate(&mut self, room: RoomId) -> Option<u64> {
        let watch = self.watches.get_mut(&room)?;
        if watch.members.is_none() {
            watch.is_read_outdated = true;
            return None;
        }
        watch.needs_refresh = true;
        let members = watch.members.take();
        self.changed.insert(room);
        self.forget_members(room, members);
        Some(self.begin_read(room))
    }

    /// The updates for the watchers of all rooms in this tick.
    pub(super) fn tick(&mut self, online: &Online) -> Vec<PresenceUpdate> {
        // While no room is watched, only the number of edges is looked up.
        let seen = if self.rooms_of.is_empty() { u64::MAX } else { self.edges_seen };
        let (edges, total) = online.edges_after(seen);
        self.edges_seen = total;
        if self.rooms_of.is_empty() {
            return Vec::new();
        }
        let mut rooms = std::mem::take(&mut self.changed);
        match edges {
            Some(edges) => {
                for (user, _) in edges {
                    for room in self.rooms_of.get(&user).into_iter().flatten() {
                        if let Some(watch) = self.watches.get_mut(room) {
                            watch.changed.insert(user);
                            rooms.insert(*room);
                        }
                    }
                }
            }
            // Some edges are forgotten: every watcher has to refresh.
            None => {
                rooms.extend(self.rooms_of.values().flatten().copied());
                for room in &rooms {
                    if let Some(watch) = self.watches.get_mut(room) {
                        watch.needs_refresh = true;
                    }
                }
            }
        }
        rooms.into_iter().filter_map(|room| self.take_update(room, online)).collect()
    }

    fn take_update(&mut self, room: RoomId, online: &Online) -> Option<PresenceUpdate> {
        let watch = self.watches.get_mut(&room)?;
        if watch.members.is_none() {
            // The update follows when they are read.
            self.changed.insert(room);
            return None;
        }
        let (diff, count) = watch.take_update(online)?;
        let watchers = watch.watchers.iter().copied().collect();
        let refresh = PresenceDiff { refresh: true, count, ..PresenceDiff::default() };
        Some(PresenceUpdate { room, watchers, diff, refresh })
    }

    fn forget_members(&mut self, room: RoomId, members: Option<HashSet<UserId>>) {
        members.into_iter().flatten().for_each(|user| self.forget_member(room, user));
    }

    fn forget_member(&mut self, room: RoomId, user: UserId) {
        if let Some(rooms) = self.rooms_of.get_mut(&user) {
            rooms.retain(|other| *other != room);
            if rooms.is_empty() {
                self.rooms_of.remove(&user);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty() && self.rooms_of.is_empty() && self.changed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId(7);
    const AMY: UserId = UserId(1);
    const BOB: UserId = UserId(2);
    const WATCHER: SessionId = SessionId(1);

    fn request() -> Option<String> {
        Some("r".to_owned())
    }

    /// Amy is online, and a room that amy and bob are members of is watched.
    fn watched() -> (PresenceWatches, Online) {
        let (mut watches, online) = (PresenceWatches::default(), Online::default());
        online.set(AMY, true);
        watches.tick(&online);
        let WatchOutcome::NeedsMembers(number) = watches.watch(ROOM, WATCHER, request(), 2) else { unreachable!() };
        assert_eq!(watches.take_waiting(ROOM, &online).map(|_| ()), None);
        assert_eq!(watches.set_members(ROOM, number, vec![AMY, BOB], &online), MembersRead::Known);
        (watches, online)
    }

    fn diffs(watches: &mut PresenceWatches, online: &Online) -> Vec<Option<(Vec<UserId>, Vec<UserId>)>> {
        let updates = watches.tick(online).into_iter();
        updates.map(|update| update.diff.map(|diff| (diff.online, diff.offline))).collect()
    }

    #[test]
    fn a_watcher_gets_the_list_once_and_then_each_difference_once() {
        let (mut watches, online) = watched();
        let (now, waiting) = watches.take_waiting(ROOM, &online).unwrap();
        assert_eq!((now.online, now.count, now.truncated), (vec![1], 1, false));
        assert_eq!(waiting, [(WATCHER, request())]);
        assert_eq!(diffs(&mut watches, &online), []);
        online.set(BOB, true);
        online.set(UserId(9), true);
        assert_eq!(diffs(&mut watches, &online), [Some((vec![BOB], vec![]))]);
        online.set(AMY, false);
        online.set(AMY, true);
        assert_eq!(diffs(&mut watches, &online), []);
        watches.set_member(ROOM, AMY, false);
        assert_eq!(diffs(&mut watches, &online), [Some((vec![], vec![AMY]))]);
    }

    #[test]
    fn changes_during_a_read_are_applied_to_its_result() {
        let (mut watches, online) = (PresenceWatches::default(), Online::default());
        online.set(BOB, true);
        let WatchOutcome::NeedsMembers(number) = watches.watch(ROOM, WATCHER, request(), 2) else { unreachable!() };
        watches.set_member(ROOM, AMY, false);
        watches.set_member(ROOM, BOB, true);
        assert_eq!(watches.set_members(ROOM, number, vec![AMY], &online), MembersRead::Known);
        assert_eq!(watches.take_waiting(ROOM, &online).map(|(now, _)| now.online), Some(vec![BOB.0]));
    }

    #[test]
    fn an_unknown_change_repeats_the_read_and_makes_watchers_ask_again() {
        let (mut watches, online) = watched();
        let number = watches.invalidate(ROOM).unwrap();
        assert_eq!(watches.invalidate(ROOM), None);
        assert_eq!(diffs(&mut watches, &online), []);
        let MembersRead::Repeat(next) = watches.set_members(ROOM, number, vec![], &online) else { unreachable!() };
        assert_eq!(watches.set_members(ROOM, number, vec![], &online), MembersRead::Ignored);
        assert_eq!(watches.set_members(ROOM, next, vec![AMY], &online), MembersRead::Known);
        assert_eq!(diffs(&mut watches, &online), [None]);
    }

    #[test]
    fn a_room_is_forgotten_with_its_last_watcher_whose_requests_come_back() {
        let (mut watches, _) = watched();
        assert_eq!(watches.watch(ROOM, SessionId(2), None, 2), WatchOutcome::Watching);
        assert_eq!(watches.watch(ROOM, SessionId(3), request(), 2), WatchOutcome::Overloaded(request()));
        assert_eq!(watches.unwatch(ROOM, WATCHER), ["r"]);
        assert!(!watches.is_empty());
        assert_eq!(watches.unwatch(ROOM, SessionId(2)), [""; 0]);
        assert!(watches.is_empty());
    }
}
