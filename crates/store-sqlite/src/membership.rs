//! Membership: joining, leaving, inviting, removing, roles. None of it takes a version. The rules are in
//! `teahouse_core::permission`.

use rusqlite::params;
use teahouse_core::permission::{may_invite, may_own, may_remove};
use teahouse_core::{Change, LOBBY, Role, RoomEntry, RoomId, RoomKind, SessionId, Timestamp, UserId};
use teahouse_store::{Membership, MembershipChange, MembershipChanged, RoomError};

use crate::actor::{RoomActor, room_actor};
use crate::group::{Group, Room};
use crate::row::{self, Sql, id};
use crate::strangers::InviteState;
use crate::writer::JobError;
use crate::{direct, entries, rooms, strangers};

type Outcome = Result<(), JobError<RoomError>>;

/// Changes a membership. Returns the room as the actor sees it afterwards, or saw it last.
pub(crate) fn change(
    group: &mut Group<'_>,
    change: &MembershipChange,
) -> Result<MembershipChanged, JobError<RoomError>> {
    let Some(actor) = room_actor(group, change.room, change.actor)? else {
        return Err(JobError::Refused(RoomError::NotFound));
    };
    if !actor.enabled {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let mut pending = false;
    match change.what {
        Membership::Join => join(group, &actor, change)?,
        Membership::Leave => return Ok(MembershipChanged { entry: leave(group, &actor, change)?, pending }),
        Membership::Invite(user) => pending = invite(group, &actor, change, user)?,
        Membership::Remove(user) => remove(group, &actor, change, user)?,
        Membership::Role(user, role) => give_role(group, &actor, change, user, role)?,
    }
    Ok(MembershipChanged { entry: entries::in_group(group, &actor.room, change.actor, change.now)?, pending })
}

fn join(group: &mut Group<'_>, actor: &RoomActor, change: &MembershipChange) -> Outcome {
    // Only members see a room that is not public.
    if actor.is_member() { Ok(()) } else { add_member(group, &actor.room, change, change.actor) }
}

/// Invites a user. Returns whether the invite waits for an answer, since the actor is a stranger to them.
fn invite(
    group: &mut Group<'_>,
    actor: &RoomActor,
    change: &MembershipChange,
    user: UserId,
) -> Result<bool, JobError<RoomError>> {
    if !may_invite(&actor.permissions, actor.room.kind) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    if group.role_in(change.room, user)?.is_some() {
        return Ok(false);
    }
    if group.user(user)?.is_none_or(|user| user.disabled) {
        return Err(JobError::Refused(RoomError::NotFound));
    }
    if strangers::is_stranger(group, change.actor, user)? {
        invite_as_stranger(group, &actor.room, change, user)?;
        return Ok(true);
    }
    add_member(group, &actor.room, change, user)?;
    Ok(false)
}

/// There is one invite for a user and a room, even if several members send it. A declined one does not come again.
fn invite_as_stranger(group: &mut Group<'_>, room: &Room, change: &MembershipChange, user: UserId) -> Outcome {
    if strangers::invite_state(group.conn, user, room.id)?.is_some() {
        return Ok(());
    }
    if let Some(wait) = strangers::wait_to_approach(group, change.actor, change.now)? {
        return Err(JobError::Refused(RoomError::TooManyStrangers(wait)));
    }
    strangers::count_approach(group, change.actor, change.now)?;
    strangers::add_invite(group, user, room.id, change.actor, change.now)?;
    if let Some(invite) = strangers::invites_of(group.conn, user, Some(room.id))?.pop() {
        group.publish(room, Change::Invited { user, invite: Box::new(invite) })?;
    }
    Ok(())
}

/// Accepts an invite, or the request of a direct room.
pub(crate) fn accept(
    group: &mut Group<'_>,
    room: RoomId,
    user: UserId,
    now: Timestamp,
    requester: Option<SessionId>,
) -> Result<RoomEntry, JobError<RoomError>> {
    let room = room_to_answer(group, room, user)?;
    if room.kind == RoomKind::Direct {
        return direct::accept(group, &room, user, now, requester)?.ok_or(JobError::Refused(RoomError::NotFound));
    }
    if group.role_in(room.id, user)?.is_none() {
        if strangers::invite_state(group.conn, user, room.id)? != Some(InviteState::Pending) {
            return Err(JobError::Refused(RoomError::NotFound));
        }
        let change = MembershipChange { room: room.id, actor: user, what: Membership::Join, now, requester };
        add_member(group, &room, &change, user)?;
    }
    Ok(entries::in_group(group, &room, user, now)?)
}

/// Declines an invite, or the request of a direct room.
pub(crate) fn decline(group: &mut Group<'_>, room: RoomId, user: UserId) -> Result<(), JobError<RoomError>> {
    let room = room_to_answer(group, room, user)?;
    if room.kind == RoomKind::Direct {
        let declined = direct::decline(group, &room, user)?;
        return if declined { Ok(()) } else { Err(JobError::Refused(RoomError::NotFound)) };
    }
    match strangers::invite_state(group.conn, user, room.id)? {
        None => return Err(JobError::Refused(RoomError::NotFound)),
        Some(InviteState::Declined) => {}
        Some(InviteState::Pending) => {
            strangers::decline_invite(group, user, room.id)?;
            group.publish(&room, Change::Declined { user })?;
        }
    }
    Ok(())
}

/// The room whose invite or request a user answers.
fn room_to_answer(group: &mut Group<'_>, room: RoomId, user: UserId) -> Result<Room, JobError<RoomError>> {
    let enabled = group.user(user)?.is_some_and(|user| !user.disabled);
    let room = group.room(room)?.ok_or(JobError::Refused(RoomError::NotFound))?;
    if enabled { Ok(room) } else { Err(JobError::Refused(RoomError::Forbidden)) }
}

/// The read mark starts at the room's head. The first member of an empty room owns it.
fn add_member(group: &mut Group<'_>, room: &Room, change: &MembershipChange, user: UserId) -> Outcome {
    if rooms::is_in_too_many(group.conn, user)? {
        return Err(JobError::Refused(RoomError::TooMany));
    }
    strangers::remove_invite(group.conn, user, room.id)?;
    let role = if rooms::member_count(group.conn, room.id)? == 0 { Role::Owner } else { Role::Member };
    group
        .conn
        .prepare_cached("INSERT INTO members (room, user, role, read_seq, private) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            id(room.id.0),
            id(user.0),
            role.as_str(),
            id(room.last_seq.0),
            room.kind == RoomKind::Private
        ])?;
    Ok(publish_entry(group, room, change, user)?)
}

fn leave(
    group: &mut Group<'_>,
    actor: &RoomActor,
    change: &MembershipChange,
) -> Result<RoomEntry, JobError<RoomError>> {
    let Some(role) = actor.permissions.room else { return Err(JobError::Refused(RoomError::NotFound)) };
    if change.room == LOBBY || actor.room.kind == RoomKind::Direct {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let last_entry = entries::in_group(group, &actor.room, change.actor, change.now)?;
    remove_member(group, &actor.room, change, change.actor, role)?;
    Ok(last_entry)
}

fn remove(group: &mut Group<'_>, actor: &RoomActor, change: &MembershipChange, user: UserId) -> Outcome {
    if change.room == LOBBY || !actor.is_member() {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let Some(role) = group.role_in(change.room, user)? else { return Err(JobError::Refused(RoomError::NotFound)) };
    // The answer shows the room to the actor, so an administrator cannot remove themselves; they leave.
    if user == change.actor || !may_remove(&actor.permissions, actor.room.kind, role) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    Ok(remove_member(group, &actor.room, change, user, role)?)
}

/// Ends a membership. When it was the last owner's, the member with the highest role becomes owner.
fn remove_member(group: &mut Group<'_>, room: &Room, change: &MembershipChange, user: UserId, role: Role) -> Sql<()> {
    group
        .conn
        .prepare_cached("DELETE FROM members WHERE room = ?1 AND user = ?2")?
        .execute(params![id(room.id.0), id(user.0)])?;
    group.forget_member(room.id, user);
    let members = rooms::member_count(group.conn, room.id)?;
    group.publish(room, Change::Left { user, members })?;
    if role == Role::Owner
        && !has_owners(group, room, 1)?
        && let Some(successor) = successor(group, room)?
    {
        set_role(group, room, successor, Role::Owner)?;
        publish_entry(group, room, change, successor)?;
    }
    Ok(())
}

fn give_role(group: &mut Group<'_>, actor: &RoomActor, change: &MembershipChange, user: UserId, role: Role) -> Outcome {
    if !may_own(&actor.permissions, actor.room.kind) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let room = &actor.room;
    let Some(old) = group.role_in(room.id, user)? else { return Err(JobError::Refused(RoomError::NotFound)) };
    if old == role {
        return Ok(());
    }
    // Only the lobby can be without an owner.
    if old == Role::Owner && room.id != LOBBY && !has_owners(group, room, 2)? {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    set_role(group, room, user, role)?;
    Ok(publish_entry(group, room, change, user)?)
}

fn set_role(group: &mut Group<'_>, room: &Room, user: UserId, role: Role) -> Sql<()> {
    group
        .conn
        .prepare_cached("UPDATE members SET role = ?3 WHERE room = ?1 AND user = ?2")?
        .execute(params![id(room.id.0), id(user.0), role.as_str()])
        .map(|_| ())
}

/// Whether a room has at least as many owners.
fn has_owners(group: &Group<'_>, room: &Room, at_least: u32) -> Sql<bool> {
    group
        .conn
        .prepare_cached(
            // The second condition, which follows from the first, finds the index of the few with a role.
            "SELECT count(*) >= ?2 FROM (SELECT 1 FROM members \
             WHERE room = ?1 AND role = 'owner' AND role <> 'member' LIMIT ?2)",
        )?
        .query_row(params![id(room.id.0), at_least], |row| row.get(0))
}

/// The member with the highest role; among equals the one with the lowest id.
fn successor(group: &Group<'_>, room: &Room) -> Sql<Option<UserId>> {
    group
        .conn
        .prepare_cached(
            "SELECT coalesce( \
                 (SELECT min(user) FROM members WHERE room = ?1 AND role = 'moderator' AND role <> 'member'), \
                 (SELECT min(user) FROM members WHERE room = ?1))",
        )?
        .query_row([id(room.id.0)], |row| row.get::<_, Option<i64>>(0))
        .map(|user| user.map(|user| UserId(row::number(user))))
}

/// Publishes a member's entry. The session that asked is the member's only if the member is the actor.
fn publish_entry(group: &mut Group<'_>, room: &Room, change: &MembershipChange, user: UserId) -> Sql<()> {
    let requester = change.requester.filter(|_| user == change.actor);
    entries::publish(group, room, user, change.now, requester).map(|_| ())
}
