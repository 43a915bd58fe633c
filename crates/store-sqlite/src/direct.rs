//! Direct rooms: opening, creating, listing. A user's list shows one when it has a message or that user opened it. A
//! stranger's direct room is a request until it is answered.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::limits::UNREAD_MAX;
use teahouse_core::{Change, RoomEntry, RoomId, Seq, SessionId, Timestamp, UserId};
use teahouse_store::{Append, Conversation, DirectRoom, DirectRoomError, OpenDirectError};

use crate::group::{Group, Room};
use crate::row::{self, Sql, get, id};
use crate::writer::JobError;
use crate::{entries, strangers};

/// How many rooms of a user one snapshot reads: some ten milliseconds of work, with many unread messages.
const ROOMS_MAX: u32 = 50;

/// The direct room of two users, created when there is none, and listed for `user`.
pub(crate) fn open(
    group: &mut Group<'_>,
    user: UserId,
    peer: UserId,
    now: Timestamp,
    requester: Option<SessionId>,
) -> Result<RoomEntry, JobError<OpenDirectError>> {
    if user == peer {
        return Err(JobError::Refused(OpenDirectError::Oneself));
    }
    if group.user(user)?.is_none() || group.user(peer)?.is_none() {
        return Err(JobError::Refused(OpenDirectError::NotFound));
    }
    let existing = match group.direct_room(user, peer)? {
        Some(room) => group.room(room)?,
        None => None,
    };
    let room = match existing {
        Some(room) => room,
        None => {
            approach(group, user, peer, now)?
                .map_err(|wait| JobError::Refused(OpenDirectError::TooManyStrangers(wait)))?;
            create(group, user, peer, now)?
        }
    };
    if answer_of(group.conn, room.id, user)? == Some(Answer::Declined) {
        set_answer(group, room.id, user, Answer::Pending)?;
        return Ok(entries::publish(group, &room, user, now, requester)?);
    }
    if room.last_seq > Seq(0) || is_listed(group, &room, user)? {
        return Ok(entries::in_group(group, &room, user, now)?);
    }
    set_listed(group, &room, user)?;
    Ok(entries::publish(group, &room, user, now, requester)?)
}

/// Counts that a user begins a direct room, if they are a stranger to the other user. Returns how long they have to wait
/// if they may not; then nothing is written.
pub(crate) fn approach(group: &mut Group<'_>, user: UserId, peer: UserId, now: Timestamp) -> Sql<Result<(), Duration>> {
    if strangers::is_stranger(group, user, peer)? {
        if let Some(wait) = strangers::wait_to_approach(group, user, now)? {
            return Ok(Err(wait));
        }
        strangers::count_approach(group, user, now)?;
    }
    Ok(Ok(()))
}

/// Creates the direct room of two users who have none yet.
pub(crate) fn create(group: &mut Group<'_>, a: UserId, b: UserId, now: Timestamp) -> Sql<Room> {
    let (low, high) = (a.min(b), a.max(b));
    group
        .conn
        .prepare_cached("INSERT INTO rooms (kind, user_low, user_high, created_at) VALUES ('direct', ?1, ?2, ?3)")?
        .execute(params![id(low.0), id(high.0), now.0])?;
    let room = RoomId(row::number(group.conn.last_insert_rowid()));
    group
        .conn
        .prepare_cached("INSERT INTO members (room, user, direct) VALUES (?1, ?2, 1), (?1, ?3, 1)")?
        .execute(params![id(room.0), id(low.0), id(high.0)])?;
    group.room(room)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// The members of a direct room whose lists do not show it before its first message, with their entries. Writes
/// nothing. Any other room is in the lists of all its members.
pub(crate) fn unlisted(group: &Group<'_>, room: &Room, now: Timestamp) -> Sql<Vec<(UserId, RoomEntry)>> {
    let mut unlisted = Vec::new();
    for user in room.pair.into_iter().flat_map(|(low, high)| [low, high]) {
        if !is_listed(group, room, user)? {
            unlisted.push((user, entries::in_group(group, room, user, now)?));
        }
    }
    Ok(unlisted)
}

/// Lists the room for these members, and publishes their entries before its first message. To a user to whom the sender
/// is a stranger, and who did not open the room, it is a request.
pub(crate) fn list(group: &mut Group<'_>, room: &Room, unlisted: Vec<(UserId, RoomEntry)>, append: &Append) -> Sql<()> {
    for (user, mut entry) in unlisted {
        if user != append.sender && !append.from_site && strangers::is_stranger(group, append.sender, user)? {
            set_answer(group, room.id, user, Answer::Pending)?;
            entry.request = true;
        }
        set_listed(group, room, user)?;
        group.publish(room, Change::Entry { user, entry: Box::new(entry), requester: None })?;
    }
    Ok(())
}

// ── Requests ──

/// A member's answer to the other member of a direct room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Nobody asked.
    None,
    /// A stranger's request waits for it.
    Pending,
    /// The member wrote there, or accepted.
    Accepted,
    /// The member declined the request.
    Declined,
}

impl Answer {
    const ALL: [Self; 4] = [Self::None, Self::Pending, Self::Accepted, Self::Declined];

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == word)
    }
}

/// A member's answer in a direct room; `None` for a user who is not a member.
pub(crate) fn answer_of(conn: &Connection, room: RoomId, user: UserId) -> Sql<Option<Answer>> {
    conn.prepare_cached("SELECT answer FROM members WHERE room = ?1 AND user = ?2")?
        .query_row(params![id(room.0), id(user.0)], |row| row::named(row, 0, Answer::parse))
        .optional()
}

fn set_answer(group: &mut Group<'_>, room: RoomId, user: UserId, answer: Answer) -> Sql<()> {
    group.conn.prepare_cached("UPDATE members SET answer = ?3 WHERE room = ?1 AND user = ?2")?.execute(params![
        id(room.0),
        id(user.0),
        answer.as_str()
    ])?;
    if answer == Answer::Accepted {
        group.note_accepted(room, user);
    }
    Ok(())
}

/// The sender of a message in a direct room accepts it by writing there. Where that answers a request, the sender's
/// entry is published before the message; `room` is as it was until then.
pub(crate) fn accept_by_writing(group: &mut Group<'_>, room: &Room, sender: UserId, now: Timestamp) -> Sql<()> {
    if room.pair.is_none() || group.has_accepted(room.id, sender) {
        return Ok(());
    }
    match answer_of(group.conn, room.id, sender)? {
        Some(Answer::Accepted) => group.note_accepted(room.id, sender),
        Some(Answer::Pending | Answer::Declined) => {
            set_answer(group, room.id, sender, Answer::Accepted)?;
            entries::publish(group, room, sender, now, None)?;
        }
        Some(Answer::None) => set_answer(group, room.id, sender, Answer::Accepted)?,
        None => {}
    }
    Ok(())
}

/// Accepts a request. `None` when the user is not a member.
pub(crate) fn accept(
    group: &mut Group<'_>,
    room: &Room,
    user: UserId,
    now: Timestamp,
    requester: Option<SessionId>,
) -> Sql<Option<RoomEntry>> {
    Ok(match answer_of(group.conn, room.id, user)? {
        None => None,
        Some(Answer::None | Answer::Accepted) => Some(entries::in_group(group, room, user, now)?),
        Some(Answer::Pending | Answer::Declined) => {
            set_answer(group, room.id, user, Answer::Accepted)?;
            Some(entries::publish(group, room, user, now, requester)?)
        }
    })
}

/// Declines a request. Returns whether there is one.
pub(crate) fn decline(group: &mut Group<'_>, room: &Room, user: UserId) -> Sql<bool> {
    match answer_of(group.conn, room.id, user)? {
        Some(Answer::Pending) => {
            set_answer(group, room.id, user, Answer::Declined)?;
            group.publish(room, Change::Declined { user })?;
            Ok(true)
        }
        answer => Ok(answer == Some(Answer::Declined)),
    }
}

fn is_listed(group: &Group<'_>, room: &Room, user: UserId) -> Sql<bool> {
    group
        .conn
        .prepare_cached("SELECT 1 FROM members WHERE room = ?1 AND user = ?2 AND listed_at IS NOT NULL")?
        .exists(params![id(room.id.0), id(user.0)])
}

fn set_listed(group: &Group<'_>, room: &Room, user: UserId) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            "UPDATE members SET listed_at = (SELECT max(last_time, created_at) FROM rooms WHERE id = ?1) \
             WHERE room = ?1 AND user = ?2 AND listed_at IS NULL",
        )?
        .execute(params![id(room.id.0), id(user.0)])
        .map(|_| ())
}

/// A conversation, after what it is ordered by: the time and the id of the newest message, and the room.
type Ordered = ((i64, Option<i64>, RoomId), Conversation);

/// The conversations of some rooms of a user, those after `after`, and after which room there are more; unordered. A
/// declined one has no unread messages, since its mark does not move.
pub(crate) fn some_conversations(
    conn: &Connection,
    user: UserId,
    after: RoomId,
) -> Sql<(Vec<Ordered>, Option<RoomId>)> {
    let last = row::last_of_next_rooms(conn, user, after, ROOMS_MAX)?;
    let through = last.map_or(i64::MAX, |room| id(room.0));
    let found = conn
        .prepare_cached(
            "SELECT r.id, r.created_at, p.id, p.username, p.nickname, p.avatar, last.content, last.sent_at,
             iif(mine.answer = 'declined', 0, (SELECT count(*) FROM (SELECT 1 FROM messages m
                 WHERE m.room = r.id AND m.seq > max(mine.read_seq, r.last_seq - 2 * ?2)
                 AND m.sender <> ?1 AND m.state = 0 LIMIT ?2))),
             coalesce(newest.sent_at, r.created_at), newest.id
         FROM members mine
         JOIN rooms r ON r.id = mine.room AND r.kind = 'direct'
         JOIN users p ON p.id = iif(r.user_low = ?1, r.user_high, r.user_low)
         LEFT JOIN messages last ON last.id =
             (SELECT m.id FROM messages m WHERE m.room = r.id AND m.seq > r.last_seq - 2 * ?2 AND m.state = 0
                 ORDER BY m.seq DESC LIMIT 1)
         LEFT JOIN messages newest ON newest.room = r.id AND newest.seq = r.last_seq
         WHERE mine.user = ?1 AND mine.room > ?3 AND mine.room <= ?4 AND mine.listed_at IS NOT NULL",
        )?
        .query_map(params![id(user.0), UNREAD_MAX, id(after.0), through], |row| {
            let last_message = match (row.get::<_, Option<String>>(6)?, row.get::<_, Option<i64>>(7)?) {
                (Some(content), Some(sent_at)) => Some((content, Timestamp(sent_at))),
                _ => None,
            };
            let conversation = Conversation {
                room: RoomId(get(row, 0)?),
                peer: row::profile(row, 2)?,
                last_message,
                unread: row.get(8)?,
                created_at: Timestamp(row.get(1)?),
            };
            Ok(((row.get(9)?, row.get(10)?, conversation.room), conversation))
        })?
        .collect::<Sql<_>>()?;
    Ok((found, last))
}

/// The unread messages of the direct rooms among some rooms of a user that are not declined, capped for each; and after
/// which room there are more.
pub(crate) fn some_unread(conn: &Connection, user: UserId, after: RoomId) -> Sql<(u32, Option<RoomId>)> {
    let last = row::last_of_next_rooms(conn, user, after, ROOMS_MAX)?;
    let through = last.map_or(i64::MAX, |room| id(room.0));
    let unread = conn
        .prepare_cached(
            "SELECT coalesce(sum((SELECT count(*) FROM (SELECT 1 FROM messages m
                 WHERE m.room = r.id AND m.seq > max(mine.read_seq, r.last_seq - 2 * ?2)
                 AND m.sender <> ?1 AND m.state = 0 LIMIT ?2))), 0)
             FROM members mine JOIN rooms r ON r.id = mine.room AND r.kind = 'direct'
             WHERE mine.user = ?1 AND mine.room > ?3 AND mine.room <= ?4 AND mine.answer <> 'declined'",
        )?
        .query_row(params![id(user.0), UNREAD_MAX, id(after.0), through], |row| row.get(0))?;
    Ok((unread, last))
}

/// The direct room as `user` sees it.
pub(crate) fn direct_room(
    conn: &Connection,
    room: RoomId,
    user: UserId,
) -> Result<DirectRoom, JobError<DirectRoomError>> {
    let members = conn
        .prepare_cached(
            "SELECT u.id, u.username, u.nickname, u.avatar, m.read_seq FROM rooms r \
             JOIN members m ON m.room = r.id JOIN users u ON u.id = m.user \
             WHERE r.id = ?1 AND r.kind = 'direct' ORDER BY u.id = ?2 DESC",
        )?
        .query_map(params![id(room.0), id(user.0)], |row| Ok((row::profile(row, 0)?, Seq(get(row, 4)?))))?
        .collect::<Sql<Vec<_>>>()?;
    let Ok([(own, read_seq), (peer, peer_read_seq)]) = <[_; 2]>::try_from(members) else {
        return Err(JobError::Refused(DirectRoomError::NotFound));
    };
    if own.id != user {
        return Err(JobError::Refused(DirectRoomError::Forbidden));
    }
    Ok(DirectRoom { peer, own, read_seq, peer_read_seq })
}
