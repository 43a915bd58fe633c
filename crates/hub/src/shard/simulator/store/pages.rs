//! Reads of the model store: room entries and pages, each from one snapshot. It changes nothing.

use std::collections::BTreeMap;

use teahouse_core::ErrorCode;
use teahouse_core::{
    Message, MessageId, MoreDirects, RoomEntry, RoomId, RoomKind, RoomList, Seq, SessionId, Timestamp, User, UserId,
    UserRole, Version,
};
use teahouse_protocol::v1;

use super::super::random::Draw;
use super::{EPOCH, Room, Store, profile};
use crate::ports::{CatchUpFrom, ChangesPage, ClassicPage, WelcomeData};

/// Small limits, so that runs reach them often.
const CHANGES_MAX: usize = 12;
pub(in crate::shard::simulator) const RESET_MESSAGES: usize = 5;
const PAGE_MESSAGES: usize = 3;
const DIRECTS_LISTED: usize = 1;

impl Store {
    /// Draws whether a read fails.
    pub(in crate::shard::simulator) fn fails(&mut self) -> bool {
        self.failures > 0 && self.rng.one_in(self.failures)
    }

    pub(in crate::shard::simulator) fn entry(&self, id: u64, user: u64) -> RoomEntry {
        let room = &self.rooms[&id];
        let (version, last_seq) = room.head();
        let read = room.members.get(&user).copied().unwrap_or(0);
        let unread = room.messages[read as usize..].iter().filter(|m| m.sender.id.0 != user && !m.deleted).count();
        let reads = room.members.iter().filter(|(other, _)| **other != user);
        let peer = room.pair.and_then(|pair| pair.into_iter().find(|other| *other != user));
        RoomEntry {
            id: RoomId(id),
            kind: room.kind,
            name: None,
            title: room.title.to_string(),
            version,
            last_seq,
            members: room.members.len() as u32,
            role: room.role_of(user),
            read_seq: Seq(read),
            unread: unread as u32,
            muted: false,
            peer: peer.map(|peer| (profile(peer), Seq(room.members[&peer]))),
            last_message: None,
            reads: if room.kind == RoomKind::Private {
                reads.map(|(user, seq)| (UserId(*user), Seq(*seq))).collect()
            } else {
                Vec::new()
            },
            request: false,
        }
    }

    /// The rooms of a user: all but the direct ones with older messages that are not held. Those are remembered.
    fn room_list(&mut self, session: SessionId, user: u64, held: &[(RoomId, Version)]) -> RoomList {
        let newest_message = |room: &Room| room.messages.last().map(|message| message.id);
        let mut mine: Vec<(u64, &Room)> =
            self.rooms.iter().filter(|(_, room)| room.is_listed_for(user)).map(|(id, room)| (*id, room)).collect();
        mine.sort_by_key(|(_, room)| std::cmp::Reverse(newest_message(room)));
        let (mut listed, mut unlisted, mut directs) = (Vec::new(), BTreeMap::new(), 0);
        for (id, room) in mine {
            directs += usize::from(room.pair.is_some());
            let is_named = held.iter().any(|(named, _)| named.0 == id);
            if room.pair.is_none() || directs <= DIRECTS_LISTED || is_named {
                listed.push(id);
            } else {
                unlisted.insert(id, room.head().0.0);
            }
        }
        listed.sort_unstable();
        let more = MoreDirects { rooms: unlisted.len() as u32, unread: 0, requests: 0 };
        self.unlisted.insert(session, unlisted);
        RoomList {
            rooms: listed.into_iter().map(|room| self.entry(room, user)).collect(),
            more_directs: (more.rooms > 0).then_some(more),
            invites: Vec::new(),
        }
    }

    pub(in crate::shard::simulator) fn welcome_data(
        &mut self,
        (session, user): (SessionId, u64),
        id: Option<String>,
        epoch: Option<&str>,
        held: Vec<(RoomId, Version)>,
    ) -> WelcomeData {
        WelcomeData {
            id,
            user: User {
                profile: profile(user),
                email: None,
                bio: String::new(),
                role: UserRole::User,
                disabled: false,
                muted_until: None,
                created_at: Timestamp(0),
            },
            epoch: EPOCH.to_owned(),
            time: Timestamp(0),
            limits: v1::LimitsBody {
                content_chars_max: 4000,
                frame_bytes_max: 65536,
                sends_per_second: 3,
                sends_burst: 5,
                envelopes_per_second: 20,
                envelopes_burst: 60,
                history_messages_max: 100,
            },
            rooms: self.room_list(session, user, &held),
            held: held.into_iter().map(|(room, version)| (room, (epoch == Some(EPOCH)).then_some(version))).collect(),
        }
    }

    pub(in crate::shard::simulator) fn changes(&self, room: RoomId, from: CatchUpFrom) -> ChangesPage {
        let Some(found) = self.rooms.get(&room.0) else {
            return ChangesPage { reset: true, messages: Vec::new(), reached: (Version(0), Seq(0)), complete: true };
        };
        let head = found.head();
        let (since, may_reset) = match from {
            CatchUpFrom::Since(version) => (version, false),
            CatchUpFrom::Held(version) => (version, true),
            CatchUpFrom::Reset => (Version(u64::MAX), true),
        };
        let mut messages: Vec<Message> = found.messages.iter().filter(|m| m.version > since).cloned().collect();
        let reset = since > head.0 || (may_reset && messages.len() > CHANGES_MAX);
        if reset {
            messages = found.messages.iter().rev().take(RESET_MESSAGES).cloned().collect();
        }
        messages.sort_by_key(|message| message.version);
        let complete = reset || messages.len() <= PAGE_MESSAGES;
        if !complete {
            messages.truncate(PAGE_MESSAGES);
        }
        let through = if complete { head.0 } else { messages[PAGE_MESSAGES - 1].version };
        ChangesPage { reset, messages, reached: (through, head.1), complete }
    }

    pub(in crate::shard::simulator) fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> ClassicPage {
        let found = &self.rooms[&room.0];
        let (version, last_seq) = found.head();
        let (old, new) = found.messages.split_at((after.1.0 as usize).min(found.messages.len()));
        let deleted = old.iter().filter(|m| m.deleted && m.version > after.0).map(|m| m.id).collect();
        let mut messages: Vec<Message> = new.iter().filter(|message| !message.deleted).cloned().collect();
        let complete = messages.len() <= PAGE_MESSAGES;
        messages.truncate(PAGE_MESSAGES);
        let seq = if complete { last_seq } else { messages[PAGE_MESSAGES - 1].seq };
        ClassicPage {
            deleted,
            messages,
            reached: (version, seq),
            complete,
            pair: found.pair.map(|p| Box::new(p.map(profile))),
        }
    }

    pub(in crate::shard::simulator) fn own_reactions(
        &self,
        user: u64,
        messages: &[MessageId],
    ) -> Vec<(MessageId, String)> {
        let mut own = Vec::new();
        for message in messages {
            let room = self.message_index.get(&message.0).and_then(|(room, _)| self.rooms.get(room));
            let mine = room.and_then(|room| room.own.get(&(message.0, user)));
            own.extend(mine.into_iter().flatten().map(|emoji| (*message, emoji.clone())));
        }
        own
    }

    /// A page of a room's past below `before`, and whether there is more before it.
    pub(in crate::shard::simulator) fn past(
        &self,
        room: u64,
        user: u64,
        before: u64,
    ) -> Result<(Vec<Message>, bool), ErrorCode> {
        let found = self.rooms.get(&room).ok_or(ErrorCode::NotFound)?;
        if !found.members.contains_key(&user) {
            return Err(ErrorCode::Forbidden);
        }
        let end = ((before.max(1) - 1) as usize).min(found.messages.len());
        let start = end.saturating_sub(PAGE_MESSAGES);
        Ok((found.messages[start..end].to_vec(), start > 0))
    }
}
