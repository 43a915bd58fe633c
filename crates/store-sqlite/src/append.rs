//! Storing a message, the hot path: with the writer's cache, one INSERT and nothing else. The unique index on (sender,
//! client_id) decides which append is first; only that one takes a seq and a version.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use teahouse_core::{
    Change, Message, MessageChange, MessageId, MessageKind, RoomId, RoomKind, Seq, Timestamp, UserId, Version,
};
use teahouse_store::{Append, AppendError, Appended, Destination};

use crate::group::{Group, Room};
use crate::mentions::Names;
use crate::row::{self, get, id};
use crate::writer::JobError;
use crate::{direct, mentions};

const INSERT: &str = "INSERT INTO messages \
    (room, seq, version, first_version, sender, client_id, content_hash, content, kind, reply_to, \
     mentions, ip, sent_at) \
    VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
    ON CONFLICT (sender, client_id) WHERE client_id IS NOT NULL DO NOTHING";

/// An [`Append`] with everything computed that needs no database, so that the writer does not have to.
pub(crate) struct Prepared {
    append: Append,
    content_hash: Option<[u8; 16]>,
    names: Names,
    address: Option<String>,
}

impl Prepared {
    pub(crate) fn new(append: Append) -> Self {
        let content_hash = append.client_id.as_ref().map(|_| content_hash(&append.content));
        let address = append.address.map(|address| address.to_canonical().to_string());
        let names = Names::in_text(&append.content);
        Self { append, content_hash, names, address }
    }
}

/// Half a SHA-256: enough to tell a resent text from another text of the same user.
fn content_hash(content: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(content)[..16]);
    half
}

/// Stores a message, or finds the one that was stored before.
pub(crate) fn append(group: &mut Group<'_>, prepared: &Prepared) -> Result<Appended, JobError<AppendError>> {
    let append = &prepared.append;
    let room = match admit(group, append) {
        Ok(Some(room)) => room,
        Ok(None) => {
            if let Some(answer) = earlier(group.conn, append)? {
                return Ok(answer);
            }
            let Destination::Direct(peer) = append.destination else {
                return Err(JobError::Refused(AppendError::NotFound));
            };
            if !append.from_site {
                let approached = direct::approach(group, append.sender, peer, append.now)?;
                approached.map_err(|wait| JobError::Refused(AppendError::TooManyStrangers(wait)))?;
            }
            direct::create(group, append.sender, peer, append.now)?
        }
        // A message that was accepted once is answered the same for ever, whatever the sender is allowed now.
        Err(JobError::Refused(why)) => {
            return earlier(group.conn, append)?.ok_or(JobError::Refused(why));
        }
        Err(failed) => return Err(failed),
    };
    let next = Room {
        version: room.version.next(),
        last_seq: room.last_seq.next(),
        last_time: room.last_time.max(append.now),
        ..room
    };
    let mentions = prepared.names.find(group, room.id)?;
    // The entries show the room before its first message.
    let unlisted = if room.last_seq == Seq(0) { direct::unlisted(group, &room, append.now)? } else { Vec::new() };
    let Some(message_id) = insert(group, prepared, &next, &mentions)? else {
        return earlier(group.conn, append)?.ok_or(JobError::Refused(AppendError::Conflict));
    };
    direct::list(group, &room, unlisted, append)?;
    direct::accept_by_writing(group, &room, append.sender, append.now)?;
    group.set_room(next);
    let message = Message {
        id: message_id,
        room: next.id,
        seq: next.last_seq,
        version: next.version,
        sender: group.profile(append.sender)?,
        client_id: append.client_id.clone(),
        content: append.content.clone(),
        kind: append.kind,
        reply_to: append.reply_to,
        mentions,
        reactions: Vec::new(),
        edited_at: None,
        deleted: false,
        sent_at: next.last_time,
    };
    let appended = Appended {
        id: message.id,
        room: next.id,
        seq: next.last_seq,
        version: next.version,
        sent_at: next.last_time,
        duplicate: false,
    };
    group.publish(&next, Change::Message { message, last_seq: next.last_seq, what: MessageChange::New })?;
    Ok(appended)
}

/// Inserts the message with the counters of `room`. `None` when the sender has used the `client_id` before.
fn insert(
    group: &Group<'_>,
    prepared: &Prepared,
    room: &Room,
    mentions: &[UserId],
) -> Result<Option<MessageId>, rusqlite::Error> {
    let append = &prepared.append;
    let inserted = group.conn.prepare_cached(INSERT)?.execute(params![
        id(room.id.0),
        id(room.last_seq.0),
        id(room.version.0),
        id(append.sender.0),
        append.client_id,
        prepared.content_hash,
        append.content,
        append.kind.as_str(),
        append.reply_to.map(|message| id(message.0)),
        mentions::to_column(mentions),
        prepared.address,
        room.last_time.0,
    ])?;
    Ok((inserted > 0).then(|| MessageId(row::number(group.conn.last_insert_rowid()))))
}

/// The room, if the sender may write there. `None`: the direct room has to be created.
fn admit(group: &mut Group<'_>, append: &Append) -> Result<Option<Room>, JobError<AppendError>> {
    let refuse = |why| Err(JobError::Refused(why));
    if append.destination == Destination::Direct(append.sender) {
        return refuse(AppendError::Oneself);
    }
    match group.user(append.sender)? {
        None => return refuse(AppendError::Forbidden),
        Some(sender) if sender.disabled => return refuse(AppendError::Forbidden),
        Some(sender) => {
            if let Some(time) = sender.muted_for(append.now) {
                return refuse(AppendError::Muted(time));
            }
        }
    }
    let room = match append.destination {
        Destination::Room(room) => {
            let Some(room) = group.room(room)? else { return refuse(AppendError::NotFound) };
            let admitted = match append.kind {
                MessageKind::Text => group.lookup_member(room.id, append.sender)?,
                MessageKind::System => room.kind != RoomKind::Direct,
            };
            if !admitted {
                // To a user who was never in it, a room that is not public does not exist.
                let knows_room = append.kind == MessageKind::System
                    || room.kind == RoomKind::Public
                    || group.was_member(room.id, append.sender);
                return refuse(if knows_room { AppendError::Forbidden } else { AppendError::NotFound });
            }
            Some(room)
        }
        Destination::Direct(_) if append.kind == MessageKind::System => return refuse(AppendError::Forbidden),
        Destination::Direct(peer) => {
            if group.user(peer)?.is_none() {
                return refuse(AppendError::NotFound);
            }
            match group.direct_room(append.sender, peer)? {
                Some(room) => group.room(room)?,
                None => None,
            }
        }
    };
    if let Some(room) = room
        && let Some(time) = group.user(append.sender)?.and_then(|sender| sender.muted_in_for(room.id, append.now))
    {
        return refuse(AppendError::Muted(time));
    }
    if let Some(answered) = append.reply_to {
        let room_of_answered: Option<u64> = group
            .conn
            .prepare_cached("SELECT room FROM messages WHERE id = ?1")?
            .query_row([id(answered.0)], |row| get(row, 0))
            .optional()?;
        if room_of_answered.is_none() || room_of_answered != room.map(|room| room.id.0) {
            return refuse(AppendError::NotFound);
        }
    }
    Ok(room)
}

/// The answer to the first message with this sender and `client_id`, if there was one.
pub(crate) fn earlier(conn: &Connection, append: &Append) -> Result<Option<Appended>, JobError<AppendError>> {
    let Some(client_id) = &append.client_id else { return Ok(None) };
    let found = conn
        .prepare_cached(
            "SELECT id, room, seq, first_version, sent_at, content_hash, reply_to \
             FROM messages WHERE sender = ?1 AND client_id = ?2",
        )?
        .query_row(params![id(append.sender.0), client_id], |row| {
            let appended = Appended {
                id: MessageId(get(row, 0)?),
                room: RoomId(get(row, 1)?),
                seq: Seq(get(row, 2)?),
                version: Version(get(row, 3)?),
                sent_at: Timestamp(row.get(4)?),
                duplicate: true,
            };
            let reply_to = row.get::<_, Option<i64>>(6)?.map(|message| MessageId(row::number(message)));
            Ok((appended, row.get::<_, [u8; 16]>(5)?, reply_to))
        })
        .optional()?;
    let Some((first, hash, reply_to)) = found else { return Ok(None) };
    let room = match append.destination {
        Destination::Room(room) => Some(room),
        Destination::Direct(peer) => row::direct_room(conn, append.sender, peer)?,
    };
    if room != Some(first.room) || hash != content_hash(&append.content) || reply_to != append.reply_to {
        return Err(JobError::Refused(AppendError::Conflict));
    }
    Ok(Some(first))
}
