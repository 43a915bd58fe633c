//! Changes of stored messages: edits, deletions, reactions. Each takes the room's next version and publishes the
//! message as it is then; a request that changes nothing takes no version.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use teahouse_core::limits::REACTIONS_PER_MESSAGE_MAX;
use teahouse_core::permission::may_delete;
use teahouse_core::{Change, Message, MessageChange, MessageId, RoomId, UserId, Version};
use teahouse_store::{ChangeError, Edit, Reaction};

use crate::actor::{RoomActor, room_actor};
use crate::group::{Group, Room};
use crate::mentions::Names;
use crate::row::{Sql, get, id};
use crate::writer::JobError;
use crate::{mentions, messages};

/// How many reactions one job deletes: some milliseconds of work.
const REACTIONS_DELETED_MAX: u32 = 1000;

/// An [`Edit`], and the names in its content, found before it waits for the writer.
pub(crate) struct PreparedEdit {
    edit: Edit,
    names: Names,
}

impl PreparedEdit {
    pub(crate) fn new(edit: Edit) -> Self {
        let names = Names::in_text(&edit.content);
        Self { edit, names }
    }
}

type Changed = Result<Version, JobError<ChangeError>>;

/// Replaces the content of the actor's own message.
pub(crate) fn edit(group: &mut Group<'_>, prepared: &PreparedEdit) -> Changed {
    let edit = &prepared.edit;
    let (message, actor) = find(group, edit.message, edit.actor)?;
    if !actor.enabled || !actor.is_member() || message.sender.id != edit.actor {
        return Err(JobError::Refused(ChangeError::Forbidden));
    }
    if message.deleted {
        return Err(JobError::Refused(ChangeError::NotFound));
    }
    if let Some(time) = actor.muted_for(group, edit.now)? {
        return Err(JobError::Refused(ChangeError::Muted(time)));
    }
    if message.content == edit.content {
        return Ok(message.version);
    }
    let mentions = prepared.names.find(group, message.room)?;
    let edited_at = edit.now.max(message.sent_at);
    let version = actor.room.version.next();
    group
        .conn
        .prepare_cached("UPDATE messages SET version = ?2, content = ?3, mentions = ?4, edited_at = ?5 WHERE id = ?1")?
        .execute(params![id(message.id.0), id(version.0), edit.content, mentions::to_column(&mentions), edited_at.0])?;
    let content = edit.content.clone();
    let message = Message { version, content, mentions, edited_at: Some(edited_at), ..message };
    publish(group, actor.room, message, MessageChange::Edit { by: edit.actor })
}

/// Empties a message, which keeps its seq.
pub(crate) fn delete(group: &mut Group<'_>, room: Option<RoomId>, message: MessageId, user: UserId) -> Changed {
    let (message, actor) = find(group, message, user)?;
    if room.is_some_and(|room| room != message.room) {
        return Err(JobError::Refused(ChangeError::NotFound));
    }
    if !actor.enabled || !may_delete(&actor.permissions, actor.room.kind, message.sender.id) {
        return Err(JobError::Refused(ChangeError::Forbidden));
    }
    if message.deleted {
        return Ok(message.version);
    }
    let version = actor.room.version.next();
    group
        .conn
        .prepare_cached(
            "UPDATE messages SET version = ?2, state = 1, content = '', mentions = NULL, deleted_by = ?3 WHERE id = ?1",
        )?
        .execute(params![id(message.id.0), id(version.0), id(user.0)])?;
    group.conn.prepare_cached("DELETE FROM reaction_counts WHERE message = ?1")?.execute([id(message.id.0)])?;
    if !delete_some_reactions(group, message.id)? {
        let later = "INSERT INTO reacted_deleted (message) VALUES (?1)";
        group.conn.prepare_cached(later)?.execute([id(message.id.0)])?;
    }
    let message = Message {
        version,
        content: String::new(),
        mentions: Vec::new(),
        reactions: Vec::new(),
        deleted: true,
        ..message
    };
    publish(group, actor.room, message, MessageChange::Delete { by: user })
}

/// Adds or removes a reaction.
pub(crate) fn react(group: &mut Group<'_>, reaction: &Reaction) -> Changed {
    let (message, actor) = find(group, reaction.message, reaction.actor)?;
    if !actor.enabled || !actor.is_member() {
        return Err(JobError::Refused(ChangeError::Forbidden));
    }
    if message.deleted {
        return Err(JobError::Refused(ChangeError::NotFound));
    }
    if let Some(time) = actor.muted_for(group, reaction.now)? {
        return Err(JobError::Refused(ChangeError::Muted(time)));
    }
    let key = params![id(message.id.0), reaction.emoji, id(reaction.actor.0)];
    let exists = group
        .conn
        .prepare_cached("SELECT 1 FROM reactions WHERE message = ?1 AND emoji = ?2 AND user = ?3")?
        .exists(key)?;
    if exists == reaction.on {
        return Ok(message.version);
    }
    let mut counts: BTreeMap<String, u32> = message.reactions.iter().cloned().collect();
    let count = counts.entry(reaction.emoji.clone()).or_default();
    *count = if reaction.on { *count + 1 } else { count.saturating_sub(1) };
    counts.retain(|_, count| *count > 0);
    if counts.len() > REACTIONS_PER_MESSAGE_MAX as usize {
        return Err(JobError::Refused(ChangeError::TooMany));
    }
    let version = actor.room.version.next();
    let (change, count) = if reaction.on {
        ("INSERT INTO reactions (message, emoji, user) VALUES (?1, ?2, ?3)", 1)
    } else {
        ("DELETE FROM reactions WHERE message = ?1 AND emoji = ?2 AND user = ?3", -1)
    };
    group.conn.prepare_cached(change)?.execute(key)?;
    add_to_count(group, message.id, &reaction.emoji, count)?;
    group
        .conn
        .prepare_cached("UPDATE messages SET version = ?2 WHERE id = ?1")?
        .execute(params![id(message.id.0), id(version.0)])?;
    let message = Message { version, reactions: counts.into_iter().collect(), ..message };
    let what = MessageChange::React { by: reaction.actor, emoji: reaction.emoji.clone(), on: reaction.on };
    publish(group, actor.room, message, what)
}

/// Adds to the count of a reaction; one that reaches 0 is gone.
fn add_to_count(group: &Group<'_>, message: MessageId, emoji: &str, count: i64) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            "INSERT INTO reaction_counts (message, emoji, count) VALUES (?1, ?2, ?3) \
             ON CONFLICT (message, emoji) DO UPDATE SET count = count + excluded.count",
        )?
        .execute(params![id(message.0), emoji, count])?;
    group
        .conn
        .prepare_cached("DELETE FROM reaction_counts WHERE message = ?1 AND emoji = ?2 AND count <= 0")?
        .execute(params![id(message.0), emoji])?;
    Ok(())
}

/// Deletes reactions to a deleted message, and returns whether they were all.
fn delete_some_reactions(group: &Group<'_>, message: MessageId) -> Sql<bool> {
    let deleted = group
        .conn
        .prepare_cached(
            "DELETE FROM reactions WHERE (message, emoji, user) IN \
             (SELECT message, emoji, user FROM reactions WHERE message = ?1 LIMIT ?2)",
        )?
        .execute(params![id(message.0), REACTIONS_DELETED_MAX])?;
    Ok(deleted < REACTIONS_DELETED_MAX as usize)
}

/// Deletes some of the reactions that deletions have left, and returns whether there may be more.
pub(crate) fn delete_left_reactions(group: &mut Group<'_>) -> Sql<bool> {
    let next = group
        .conn
        .prepare_cached("SELECT message FROM reacted_deleted ORDER BY message LIMIT 1")?
        .query_row([], |row| get(row, 0).map(MessageId))
        .optional()?;
    let Some(message) = next else { return Ok(false) };
    if delete_some_reactions(group, message)? {
        group.conn.prepare_cached("DELETE FROM reacted_deleted WHERE message = ?1")?.execute([id(message.0)])?;
    }
    Ok(true)
}

/// A message, and the user who acts on its room. Refuses when the user cannot see it.
fn find(
    group: &mut Group<'_>,
    message: MessageId,
    user: UserId,
) -> Result<(Message, RoomActor), JobError<ChangeError>> {
    let Some(message) = messages::by_id(group.conn, message)? else {
        return Err(JobError::Refused(ChangeError::NotFound));
    };
    match room_actor(group, message.room, user)? {
        Some(actor) => Ok((message, actor)),
        None => Err(JobError::Refused(ChangeError::NotFound)),
    }
}

/// Moves the room to the version that the message took, and publishes the message.
fn publish(group: &mut Group<'_>, room: Room, message: Message, what: MessageChange) -> Changed {
    let next = Room { version: message.version, ..room };
    group.set_room(next);
    let version = message.version;
    group.publish(&next, Change::Message { message, last_seq: next.last_seq, what })?;
    Ok(version)
}
