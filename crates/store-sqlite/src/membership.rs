//! Who is in a room, and as what: joining, leaving, inviting, removing, roles. None of it takes a version.
//! The rules of who may are in `teahouse_core::permission`.

use rusqlite::{OptionalExtension, params};
use teahouse_core::permission::{may_invite, may_own, may_remove};
use teahouse_core::{Change, LOBBY, Role, RoomEntry, RoomKind, UserId};

use crate::actor::{Acting, acting};
use crate::group::{Group, Room};
use crate::row::{Sql, get, id};
use crate::writer::JobError;
use crate::{entries, rooms};
use teahouse_store::{Membership, MembershipChange, RoomError};

type Done = Result<(), JobError<RoomError>>;

/// Does it, and gives the room as the actor sees it then, or saw it last.
pub(crate) fn change(group: &mut Group<'_>, change: &MembershipChange) -> Result<RoomEntry, JobError<RoomError>> {
    let Some(acting) = acting(group, change.room, change.actor)? else {
        return Err(JobError::Refused(RoomError::NotFound));
    };
    if !acting.enabled {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    match change.what {
        Membership::Join => join(group, &acting, change)?,
        Membership::Leave => return leave(group, &acting, change),
        Membership::Invite(user) => invite(group, &acting, change, user)?,
        Membership::Remove(user) => remove(group, &acting, change, user)?,
        Membership::Role(user, role) => give_role(group, &acting, change, user, role)?,
    }
    Ok(entries::in_group(group, &acting.room, change.actor, change.now)?)
}

fn join(group: &mut Group<'_>, acting: &Acting, change: &MembershipChange) -> Done {
    // Whoever sees a room that is not public is in it already.
    if acting.is_member() { Ok(()) } else { bring_in(group, acting, change, change.actor) }
}

fn invite(group: &mut Group<'_>, acting: &Acting, change: &MembershipChange, user: UserId) -> Done {
    if !may_invite(&acting.actor, acting.room.kind) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    if group.role_in(change.room, user)?.is_some() {
        return Ok(());
    }
    if group.person(user)?.is_none_or(|person| person.disabled) {
        return Err(JobError::Refused(RoomError::NotFound));
    }
    bring_in(group, acting, change, user)
}

/// Reading starts at the room's head. Whoever comes into a room that everybody has left owns it.
fn bring_in(group: &mut Group<'_>, acting: &Acting, change: &MembershipChange, user: UserId) -> Done {
    if rooms::is_in_too_many(group.conn, user)? {
        return Err(JobError::Refused(RoomError::TooMany));
    }
    let room = &acting.room;
    let role = if rooms::member_count(group.conn, room.id)? == 0 { Role::Owner } else { Role::Member };
    group
        .conn
        .prepare_cached("INSERT INTO members (room, user, role, read_seq) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id(room.id.0), id(user.0), role.as_str(), id(room.last_seq.0)])?;
    Ok(tell(group, room, change, user)?)
}

fn leave(group: &mut Group<'_>, acting: &Acting, change: &MembershipChange) -> Result<RoomEntry, JobError<RoomError>> {
    let Some(role) = acting.actor.room else { return Err(JobError::Refused(RoomError::NotFound)) };
    if change.room == LOBBY || acting.room.kind == RoomKind::Direct {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let last_seen = entries::in_group(group, &acting.room, change.actor, change.now)?;
    take_out(group, &acting.room, change, change.actor, role)?;
    Ok(last_seen)
}

fn remove(group: &mut Group<'_>, acting: &Acting, change: &MembershipChange, user: UserId) -> Done {
    if change.room == LOBBY || !acting.is_member() {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let Some(role) = group.role_in(change.room, user)? else { return Err(JobError::Refused(RoomError::NotFound)) };
    // An administrator who goes, goes by leaving: the answer is the room as the actor still sees it.
    if user == change.actor || !may_remove(&acting.actor, acting.room.kind, role) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    Ok(take_out(group, &acting.room, change, user, role)?)
}

/// Ends a membership; when that was the last owner's, the highest of the others becomes it.
fn take_out(group: &mut Group<'_>, room: &Room, change: &MembershipChange, user: UserId, role: Role) -> Sql<()> {
    group
        .conn
        .prepare_cached("DELETE FROM members WHERE room = ?1 AND user = ?2")?
        .execute(params![id(room.id.0), id(user.0)])?;
    group.forget_member(room.id, user);
    let members = rooms::member_count(group.conn, room.id)?;
    group.tell(room, Change::Left { user, members })?;
    if role == Role::Owner
        && owners(group, room)? == 0
        && let Some(heir) = heir(group, room)?
    {
        set_role(group, room, heir, Role::Owner)?;
        tell(group, room, change, heir)?;
    }
    Ok(())
}

fn give_role(group: &mut Group<'_>, acting: &Acting, change: &MembershipChange, user: UserId, role: Role) -> Done {
    if !may_own(&acting.actor, acting.room.kind) {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    let room = &acting.room;
    let Some(old) = group.role_in(room.id, user)? else { return Err(JobError::Refused(RoomError::NotFound)) };
    if old == role {
        return Ok(());
    }
    // The lobby began without an owner, and can be without one again.
    if old == Role::Owner && room.id != LOBBY && owners(group, room)? == 1 {
        return Err(JobError::Refused(RoomError::Forbidden));
    }
    set_role(group, room, user, role)?;
    Ok(tell(group, room, change, user)?)
}

fn set_role(group: &mut Group<'_>, room: &Room, user: UserId, role: Role) -> Sql<()> {
    group
        .conn
        .prepare_cached("UPDATE members SET role = ?3 WHERE room = ?1 AND user = ?2")?
        .execute(params![id(room.id.0), id(user.0), role.as_str()])
        .map(|_| ())
}

fn owners(group: &Group<'_>, room: &Room) -> Sql<u32> {
    group
        .conn
        .prepare_cached("SELECT count(*) FROM members WHERE room = ?1 AND role = 'owner'")?
        .query_row([id(room.id.0)], |row| row.get(0))
}

/// The highest of those who are there; among equals the one with the lowest id.
fn heir(group: &Group<'_>, room: &Room) -> Sql<Option<UserId>> {
    group
        .conn
        .prepare_cached("SELECT user FROM members WHERE room = ?1 ORDER BY role = 'moderator' DESC, user LIMIT 1")?
        .query_row([id(room.id.0)], |row| get(row, 0).map(UserId))
        .optional()
}

/// Tells a member how they see the room now; the session that asked is theirs only if they asked themselves.
fn tell(group: &mut Group<'_>, room: &Room, change: &MembershipChange, user: UserId) -> Sql<()> {
    let asker = change.asker.filter(|_| user == change.actor);
    entries::tell(group, room, user, change.now, asker).map(|_| ())
}
