//! The commits are complete: a listener that applies them one by one to what it read at first sees what a fresh read
//! shows, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use teahouse_core::{
    Change, Commit, LOBBY, Message, MessageChange, MessageId, Profile, Role, RoomEntry, RoomId, RoomKind, Seq, UserId,
    UserRole, Version,
};
use teahouse_store::{
    Destination, Edit, Membership, MembershipChange, PageLimit, ProfileChange, Reaction, RoomHistoryQuery,
    RoomListQuery, SeqFrom, Store,
};

use crate::fixture::*;

/// The state of a listener that applied all commits.
#[derive(Default)]
struct Listener {
    logs: BTreeMap<RoomId, Log>,
    views: BTreeMap<(UserId, RoomId), RoomEntry>,
    profiles: BTreeMap<UserId, Profile>,
}

#[derive(Default)]
struct Log {
    messages: BTreeMap<Seq, Message>,
    version: Version,
    last_seq: Seq,
}

impl Listener {
    fn of_room(&mut self, room: RoomId) -> impl Iterator<Item = (UserId, &mut RoomEntry)> {
        self.views.iter_mut().filter(move |((_, of), _)| *of == room).map(|((user, _), view)| (*user, view))
    }

    fn apply(&mut self, commit: Commit) {
        let room = commit.room;
        match commit.change {
            Change::Message { message, last_seq, what } => {
                let log = self.logs.entry(room).or_default();
                assert_eq!(message.version, log.version.next(), "no version is skipped or published twice");
                let new = what == MessageChange::New;
                assert_eq!(last_seq, if new { log.last_seq.next() } else { log.last_seq });
                assert_eq!(new, log.messages.insert(message.seq, message.clone()).is_none());
                (log.version, log.last_seq) = (message.version, last_seq);
            }
            Change::Read { reader, seq, visible_to_room, .. } => {
                for (user, view) in self.of_room(room) {
                    if user == reader {
                        assert!(view.read_seq < seq, "marks only move forward");
                        view.read_seq = seq;
                    } else if visible_to_room {
                        view.peer.iter_mut().for_each(|(_, mark)| *mark = seq);
                        view.reads.iter_mut().filter(|(of, _)| *of == reader).for_each(|(_, mark)| *mark = seq);
                    }
                }
            }
            Change::Entry { user, entry, .. } => {
                let log = self.logs.entry(room).or_default();
                assert_eq!(
                    (entry.version, entry.last_seq),
                    (log.version, log.last_seq),
                    "an entry shows the room as of its commit"
                );
                for (_, view) in self.of_room(room).filter(|(of, _)| *of != user) {
                    view.members = entry.members;
                    if view.kind == RoomKind::Private && !view.reads.iter().any(|(of, _)| *of == user) {
                        view.reads.push((user, entry.read_seq));
                        view.reads.sort_unstable();
                    }
                }
                self.views.insert((user, room), *entry);
            }
            Change::Invited { .. } => {}
            // The entry of an invited user does not exist yet.
            Change::Declined { user } => drop(self.views.remove(&(user, room))),
            Change::Left { user, members } => {
                assert!(self.views.remove(&(user, room)).is_some());
                for (_, view) in self.of_room(room) {
                    view.members = members;
                    view.reads.retain(|(of, _)| *of != user);
                }
            }
            Change::Room { name, title } => {
                for (_, view) in self.of_room(room) {
                    (view.name, view.title) = (name.clone(), title.clone());
                }
            }
            Change::Profile(profile) => drop(self.profiles.insert(profile.id, profile)),
        }
    }

    fn message(&self, message: &Message) -> Message {
        Message { sender: self.profile(&message.sender), ..message.clone() }
    }

    fn profile(&self, old: &Profile) -> Profile {
        self.profiles.get(&old.id).unwrap_or(old).clone()
    }

    /// A room as a user sees it, with the fields that follow from the messages.
    fn seen(&self, user: UserId, view: &RoomEntry) -> RoomEntry {
        let log = &self.logs[&view.id];
        let there = || log.messages.values().filter(|message| !message.deleted);
        let unread = there().filter(|message| message.seq > view.read_seq && message.sender.id != user).count();
        RoomEntry {
            version: log.version,
            last_seq: log.last_seq,
            unread: unread as u32,
            last_message: there().next_back().map(|message| Message { reactions: Vec::new(), ..self.message(message) }),
            peer: view.peer.as_ref().map(|(peer, mark)| (self.profile(peer), *mark)),
            ..view.clone()
        }
    }

    async fn assert_matches_store(&self, store: &Arc<dyn Store>, users: &[UserId]) {
        for user in users {
            let mine = self.views.iter().filter(|((of, _), _)| of == user);
            let seen: Vec<_> = mine.map(|(_, view)| self.seen(*user, view)).collect();
            let query = RoomListQuery { user: *user, directs_max: 200, named: Vec::new(), now: at(0) };
            assert_eq!(store.rooms_of(query).await.unwrap().rooms, seen, "as {user} sees it");
            for room in seen.iter().map(|entry| entry.id) {
                let query =
                    RoomHistoryQuery { room, from: SeqFrom::After(Seq(0)), limit: PageLimit::of_entries(100_000) };
                let page = store.room_history(*user, query).await.unwrap();
                let log: Vec<_> = self.logs[&room].messages.values().map(|message| self.message(message)).collect();
                assert_eq!(page.messages, log);
            }
        }
    }
}

/// A random action, allowed or not. A refused one changes nothing, so the listener does not have to know.
async fn act(store: &dyn Store, rng: &mut Rng, users: &[UserId], rooms: &[RoomId], messages: &[MessageId]) {
    let (actor, other) = (pick(rng, users), pick(rng, users));
    let (room, now) = (pick(rng, rooms), at(0));
    let destination = if rng.usize(..4) == 0 { Destination::Direct(other) } else { Destination::Room(room) };
    let content = format!("{} @person{}", word(rng), rng.usize(..users.len() + 2));
    let message = if messages.is_empty() { MessageId(0) } else { pick(rng, messages) };
    let _ = match rng.usize(..14) {
        0..=4 => store.append(text(actor, destination, &content)).await.is_ok(),
        5 => store.edit_message(Edit { message, actor, content, now }).await.is_ok(),
        6 => store.delete_message(None, message, actor).await.is_ok(),
        7 | 8 => {
            let (emoji, on) = (pick(rng, &["👍", "🍵", "a"]).to_owned(), rng.usize(..3) > 0);
            store.react(Reaction { message, actor, emoji, on, now }).await.is_ok()
        }
        9 => {
            let seq = Some(Seq(rng.usize(..60) as u64)).filter(|seq| *seq > Seq(20));
            store.mark_read(room, actor, seq).await.is_ok()
        }
        10 => {
            let what = match rng.usize(..8) {
                0 | 1 => Membership::Join,
                2 => Membership::Leave,
                3 | 4 => Membership::Invite(other),
                5 => Membership::Remove(other),
                _ => Membership::Role(other, pick(rng, &[Role::Member, Role::Moderator, Role::Owner])),
            };
            store.change_membership(MembershipChange { room, actor, what, now, requester: None }).await.is_ok()
        }
        12 if rng.usize(..3) == 0 => store.decline(room, actor).await.is_ok(),
        12 => store.accept(room, actor, now, None).await.is_ok(),
        11 => match rng.usize(..3) {
            0 => store.open_direct(actor, other, now, None).await.is_ok(),
            1 => store.update_room(room, actor, None, Some(content), now).await.is_ok(),
            _ => {
                let kind = pick(rng, &[RoomKind::Public, RoomKind::Private]);
                store.create_room(new_room(actor, kind, &format!("room {}", rng.usize(..12)))).await.is_ok()
            }
        },
        _ => {
            let change = ProfileChange { nickname: Some(word(rng)), ..Default::default() };
            store.update_profile(actor, change).await.is_ok()
        }
    };
}

pub(crate) async fn a_listener_that_applies_all_commits_sees_what_a_fresh_read_shows(fixture: Fixture) {
    let mut rng = seeded_rng("a_listener_that_applies_all_commits_sees_what_a_fresh_read_shows");
    let mut users = Vec::new();
    for _ in 0..6 {
        users.push(fixture.new_user().await);
    }
    fixture.store.set_role("person5", UserRole::Admin).await.unwrap();
    let mut listener = Listener::default();
    listener.logs.entry(LOBBY).or_default();
    for user in &users {
        listener.views.insert((*user, LOBBY), fixture.entry(LOBBY, *user).await);
    }
    let mut applied = 0;
    for _ in 0..60 {
        // Several at once, so that they share groups.
        let (rooms, messages) = (known_rooms(&listener), known_messages(&listener));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, users, rooms, messages) =
                (Arc::clone(&fixture.store), users.clone(), rooms.clone(), messages.clone());
            let mut rng = rng.fork();
            tasks.spawn(async move {
                for _ in 0..8 {
                    act(&*store, &mut rng, &users, &rooms, &messages).await;
                }
            });
        }
        tasks.join_all().await;
        for commit in fixture.sink.commits() {
            listener.apply(commit);
            applied += 1;
        }
        fixture.sink.clear();
        listener.assert_matches_store(&fixture.store, &users).await;
    }
    assert!(applied > 500 && listener.logs.len() > 8, "{applied} commits, {} rooms", listener.logs.len());
}

fn known_rooms(listener: &Listener) -> Vec<RoomId> {
    listener.logs.keys().copied().collect()
}

fn known_messages(listener: &Listener) -> Vec<MessageId> {
    let newest = |log: &Log| log.messages.values().rev().take(10).map(|message| message.id).collect::<Vec<_>>();
    listener.logs.values().flat_map(newest).collect()
}
