//! What happens to messages that are there: edited, deleted, reacted to. Each takes the room's next
//! version and tells the message as it stands then; what changes nothing takes none.

use std::collections::BTreeMap;

use rusqlite::params;
use teahouse_core::limits::REACTIONS_PER_MESSAGE_MAX;
use teahouse_core::permission::may_delete;
use teahouse_core::{Change, Message, MessageChange, MessageId, RoomId, UserId, Version};

use crate::actor::{Acting, acting};
use crate::group::{Group, Room};
use crate::row::id;
use crate::writer::JobError;
use crate::{mentions, messages};
use teahouse_store::{ChangeError, Edit, Reaction};

type Changed = Result<Version, JobError<ChangeError>>;

/// Puts another content in the place of an own message's.
pub(crate) fn edit(group: &mut Group<'_>, edit: &Edit) -> Changed {
    let (message, acting) = find(group, edit.message, edit.actor)?;
    if !acting.enabled || !acting.is_member() || message.sender.id != edit.actor {
        return Err(JobError::Refused(ChangeError::Forbidden));
    }
    if message.deleted {
        return Err(JobError::Refused(ChangeError::NotFound));
    }
    if let Some(time) = acting.muted_for(group, edit.now)? {
        return Err(JobError::Refused(ChangeError::Muted(time)));
    }
    if message.content == edit.content {
        return Ok(message.version);
    }
    let mentions = mentions::find(group, message.room, &edit.content)?;
    let edited_at = edit.now.max(message.sent_at);
    let version = acting.room.version.next();
    group
        .conn
        .prepare_cached("UPDATE messages SET version = ?2, content = ?3, mentions = ?4, edited_at = ?5 WHERE id = ?1")?
        .execute(params![id(message.id.0), id(version.0), edit.content, mentions::to_column(&mentions), edited_at.0])?;
    let content = edit.content.clone();
    let message = Message { version, content, mentions, edited_at: Some(edited_at), ..message };
    tell(group, acting.room, message, MessageChange::Edit { by: edit.actor })
}

/// Empties a message; it keeps its place.
pub(crate) fn delete(group: &mut Group<'_>, room: Option<RoomId>, message: MessageId, actor: UserId) -> Changed {
    let (message, acting) = find(group, message, actor)?;
    if room.is_some_and(|room| room != message.room) {
        return Err(JobError::Refused(ChangeError::NotFound));
    }
    if !acting.enabled || !may_delete(&acting.actor, acting.room.kind, message.sender.id) {
        return Err(JobError::Refused(ChangeError::Forbidden));
    }
    if message.deleted {
        return Ok(message.version);
    }
    let version = acting.room.version.next();
    group
        .conn
        .prepare_cached(
            "UPDATE messages SET version = ?2, state = 1, content = '', mentions = NULL, deleted_by = ?3 WHERE id = ?1",
        )?
        .execute(params![id(message.id.0), id(version.0), id(actor.0)])?;
    group.conn.prepare_cached("DELETE FROM reactions WHERE message = ?1")?.execute([id(message.id.0)])?;
    let message = Message {
        version,
        content: String::new(),
        mentions: Vec::new(),
        reactions: Vec::new(),
        deleted: true,
        ..message
    };
    tell(group, acting.room, message, MessageChange::Delete { by: actor })
}

/// Reacts to a message, or takes the reaction back.
pub(crate) fn react(group: &mut Group<'_>, reaction: &Reaction) -> Changed {
    let (message, acting) = find(group, reaction.message, reaction.actor)?;
    if !acting.enabled || !acting.is_member() {
        return Err(JobError::Refused(ChangeError::Forbidden));
    }
    if message.deleted {
        return Err(JobError::Refused(ChangeError::NotFound));
    }
    if let Some(time) = acting.muted_for(group, reaction.now)? {
        return Err(JobError::Refused(ChangeError::Muted(time)));
    }
    let key = params![id(message.id.0), reaction.emoji, id(reaction.actor.0)];
    let is_there = group
        .conn
        .prepare_cached("SELECT 1 FROM reactions WHERE message = ?1 AND emoji = ?2 AND user = ?3")?
        .exists(key)?;
    if is_there == reaction.on {
        return Ok(message.version);
    }
    let mut counts: BTreeMap<String, u32> = message.reactions.iter().cloned().collect();
    let count = counts.entry(reaction.emoji.clone()).or_default();
    *count = if reaction.on { *count + 1 } else { count.saturating_sub(1) };
    counts.retain(|_, count| *count > 0);
    if counts.len() > REACTIONS_PER_MESSAGE_MAX as usize {
        return Err(JobError::Refused(ChangeError::TooMany));
    }
    let version = acting.room.version.next();
    let change = if reaction.on {
        "INSERT INTO reactions (message, emoji, user) VALUES (?1, ?2, ?3)"
    } else {
        "DELETE FROM reactions WHERE message = ?1 AND emoji = ?2 AND user = ?3"
    };
    group.conn.prepare_cached(change)?.execute(key)?;
    group
        .conn
        .prepare_cached("UPDATE messages SET version = ?2 WHERE id = ?1")?
        .execute(params![id(message.id.0), id(version.0)])?;
    let message = Message { version, reactions: counts.into_iter().collect(), ..message };
    let what = MessageChange::React { by: reaction.actor, emoji: reaction.emoji.clone(), on: reaction.on };
    tell(group, acting.room, message, what)
}

/// The message, and who acts on its room; nothing where they cannot see it.
fn find(group: &mut Group<'_>, message: MessageId, actor: UserId) -> Result<(Message, Acting), JobError<ChangeError>> {
    let Some(message) = messages::one(group.conn, message)? else {
        return Err(JobError::Refused(ChangeError::NotFound));
    };
    match acting(group, message.room, actor)? {
        Some(acting) => Ok((message, acting)),
        None => Err(JobError::Refused(ChangeError::NotFound)),
    }
}

/// Moves the room to the version that the message took, and tells the message.
fn tell(group: &mut Group<'_>, room: Room, message: Message, what: MessageChange) -> Changed {
    let next = Room { version: message.version, ..room };
    group.room_moved(next);
    let version = message.version;
    group.tell(&next, Change::Message { message, last_seq: next.last_seq, what })?;
    Ok(version)
}
