//! Users: creating, changing and finding them. What changes a user here also removes them from the writer's cache.
//! It never sees a password, only hashes.

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::{Change, LOBBY, Profile, Timestamp, TokenKey, User, UserId, UserRole};
use teahouse_store::{CreateUserError, LOGIN_PREFIXES_PER_USER_MAX, NewUser, ProfileChange};

use crate::group::Group;
use crate::row::{self, Sql, get, id, read_user, user_columns};
use crate::writer::JobError;

/// A new row of `users`.
pub(crate) struct Account<'a> {
    pub(crate) id: UserId,
    pub(crate) username: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) password_hash: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// Creates an account that is registered here.
pub(crate) fn create(group: &mut Group<'_>, new: &NewUser) -> Result<User, JobError<CreateUserError>> {
    if username_taken(group.conn, &new.username)? {
        return Err(JobError::Refused(CreateUserError::UsernameTaken));
    }
    if let Some(email) = &new.email
        && email_taken(group.conn, email)?
    {
        return Err(JobError::Refused(CreateUserError::EmailTaken));
    }
    let account = Account {
        id: next_id(group.conn, new.ids_start)?,
        username: &new.username,
        email: new.email.as_deref(),
        password_hash: Some(&new.password_hash),
        subject: None,
        now: new.now,
    };
    Ok(insert(group, &account)?)
}

/// Inserts the account, and makes it a member of the lobby with the lobby's head as read mark.
pub(crate) fn insert(group: &mut Group<'_>, account: &Account<'_>) -> Sql<User> {
    group
        .conn
        .prepare_cached(
            "INSERT INTO users (id, username, username_key, email, email_key, password_hash, subject, nickname, \
             nickname_key, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?2, ?3, ?8)",
        )?
        .execute(params![
            id(account.id.0),
            account.username,
            row::key(account.username),
            account.email,
            account.email.map(row::key),
            account.password_hash,
            account.subject,
            account.now.0,
        ])?;
    let lobby = group.room(LOBBY)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    group.conn.prepare_cached("INSERT INTO members (room, user, read_seq) VALUES (?1, ?2, ?3)")?.execute(params![
        id(LOBBY.0),
        id(account.id.0),
        id(lobby.last_seq.0)
    ])?;
    row::user(group.conn, account.id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Whether a user has this name.
pub(crate) fn username_taken(conn: &Connection, username: &str) -> Sql<bool> {
    conn.prepare_cached("SELECT 1 FROM users WHERE username_key = ?1")?.exists([row::key(username)])
}

/// Whether a user has this e-mail address.
pub(crate) fn email_taken(conn: &Connection, email: &str) -> Sql<bool> {
    conn.prepare_cached("SELECT 1 FROM users WHERE email_key = ?1")?.exists([row::key(email)])
}

/// The lowest id from `start` on that is above all ids given there. Users of a site without a number have ids from
/// `OWN_IDS_START` on, which move no id below.
pub(crate) fn next_id(conn: &Connection, start: u64) -> Sql<UserId> {
    let start = start.max(1);
    let end = if start < OWN_IDS_START { OWN_IDS_START } else { u64::MAX };
    conn.prepare_cached("SELECT coalesce(max(id) + 1, ?1) FROM users WHERE id >= ?1 AND id < ?2")?
        .query_row([id(start), id(end)], |row| get(row, 0).map(UserId))
}

/// The user with this username or, where it contains `@`, this e-mail address; with the password's hash.
pub(crate) fn by_login(conn: &Connection, login: &str) -> Sql<Option<(User, Option<String>)>> {
    const BY_EMAIL: &str = concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u WHERE u.email_key = ?1");
    const BY_NAME: &str =
        concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u WHERE u.username_key = ?1");
    let sql = if login.contains('@') { BY_EMAIL } else { BY_NAME };
    conn.prepare_cached(sql)?.query_row([row::key(login)], |row| Ok((read_user(row)?, row.get(10)?))).optional()
}

/// The profiles of these users, in one statement.
pub(crate) fn profiles(conn: &Connection, users: &[UserId]) -> Sql<Vec<Profile>> {
    conn.prepare_cached(
        "SELECT id, username, nickname, avatar FROM users \
         WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id",
    )?
    .query_map([row::id_list(users.iter().map(|user| user.0))], |row| row::profile(row, 0))?
    .collect()
}

/// When a login of this user last came from there.
pub(crate) fn login_prefix_seen(conn: &Connection, user: UserId, prefix: TokenKey) -> Sql<Option<Timestamp>> {
    conn.prepare_cached("SELECT seen_at FROM login_prefixes WHERE user = ?1 AND prefix = ?2")?
        .query_row(params![id(user.0), prefix.0], |row| row.get(0).map(Timestamp))
        .optional()
}

/// Remembers a login from there, and forgets the oldest beyond the maximum.
pub(crate) fn remember_login_prefix(group: &mut Group<'_>, user: UserId, prefix: TokenKey, now: Timestamp) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            "INSERT OR REPLACE INTO login_prefixes (user, prefix, seen_at) SELECT id, ?2, ?3 FROM users WHERE id = ?1",
        )?
        .execute(params![id(user.0), prefix.0, now.0])?;
    let forgotten = group
        .conn
        .prepare_cached(
            "DELETE FROM login_prefixes WHERE user = ?1 AND prefix IN (SELECT prefix FROM login_prefixes \
             WHERE user = ?1 ORDER BY seen_at DESC, prefix LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![id(user.0), LOGIN_PREFIXES_PER_USER_MAX])?;
    if forgotten > 0 {
        group.on_bound.record("LOGIN_PREFIXES_PER_USER_MAX", LOGIN_PREFIXES_PER_USER_MAX.into());
    }
    Ok(())
}

/// A user's password hash, if there is one.
pub(crate) fn password_hash(conn: &Connection, user: UserId) -> Sql<Option<String>> {
    conn.prepare_cached("SELECT password_hash FROM users WHERE id = ?1")?
        .query_row([id(user.0)], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Changes the fields that are `Some`, and publishes the profile if it looks different.
pub(crate) fn update_profile(group: &mut Group<'_>, user: UserId, change: &ProfileChange) -> Sql<Option<User>> {
    let Some(before) = row::user(group.conn, user)? else { return Ok(None) };
    set_profile(group, user, change)?;
    publish_profile(group, &before)
}

/// Changes the fields that are `Some`.
pub(crate) fn set_profile(group: &mut Group<'_>, user: UserId, change: &ProfileChange) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            "UPDATE users SET nickname = coalesce(?2, nickname), nickname_key = coalesce(?3, nickname_key), \
             avatar = coalesce(?4, avatar), bio = coalesce(?5, bio) WHERE id = ?1",
        )?
        .execute(params![
            id(user.0),
            change.nickname,
            change.nickname.as_deref().map(row::key),
            change.avatar,
            change.bio
        ])?;
    group.forget_user(user);
    Ok(())
}

/// The user as they are now. Publishes the profile if it looks different from `before`.
pub(crate) fn publish_profile(group: &mut Group<'_>, before: &User) -> Sql<Option<User>> {
    let now = row::user(group.conn, before.profile.id)?;
    if let Some(user) = now.as_ref().filter(|user| user.profile != before.profile) {
        group.publish_to_all(Change::Profile(user.profile.clone()));
    }
    Ok(now)
}

/// Replaces `expected` by `hash`; returns whether it was there.
pub(crate) fn renew_hash(group: &mut Group<'_>, user: UserId, expected: &str, hash: &str) -> Sql<bool> {
    group
        .conn
        .prepare_cached("UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2")?
        .execute(params![id(user.0), expected, hash])
        .map(|changed| changed == 1)
}

/// Sets a password and revokes all tokens issued so far, except those of `except`.
pub(crate) fn change_password(
    group: &mut Group<'_>,
    user: UserId,
    hash: &str,
    now: Timestamp,
    except: Option<TokenKey>,
) -> Sql<()> {
    let except = except.map(|key| key.0);
    group
        .conn
        .prepare_cached(
            // A clock that went back must not weaken an older revocation.
            "UPDATE users SET password_hash = ?2, void_second = max(void_second, ?3), void_except = ?4 WHERE id = ?1",
        )?
        .execute(params![id(user.0), hash, now.seconds(), except])?;
    group
        .conn
        .prepare_cached("DELETE FROM refresh_tokens WHERE user = ?1 AND (?2 IS NULL OR (login <> ?2 AND key <> ?2))")?
        .execute(params![id(user.0), except])?;
    Ok(())
}

/// Sets a role.
pub(crate) fn set_role(group: &mut Group<'_>, username: &str, role: UserRole) -> Sql<Option<User>> {
    let Some(user) = row::user_by_name(group.conn, username)? else { return Ok(None) };
    let user = user.profile.id;
    group
        .conn
        .prepare_cached("UPDATE users SET role = ?2 WHERE id = ?1")?
        .execute(params![id(user.0), role.as_str()])?;
    group.forget_user(user);
    row::user(group.conn, user)
}

/// Disables a user and removes their refresh tokens, or enables them.
pub(crate) fn set_disabled(group: &mut Group<'_>, username: &str, disabled: bool) -> Sql<Option<User>> {
    let Some(user) = row::user_by_name(group.conn, username)? else { return Ok(None) };
    let user = user.profile.id;
    group
        .conn
        .prepare_cached("UPDATE users SET disabled = ?2 WHERE id = ?1")?
        .execute(params![id(user.0), disabled])?;
    if disabled {
        group.conn.prepare_cached("DELETE FROM refresh_tokens WHERE user = ?1")?.execute([id(user.0)])?;
    }
    group.forget_user(user);
    row::user(group.conn, user)
}

/// Mutes a user until then, or unmutes them. Their entries are to be published.
pub(crate) fn set_muted(group: &mut Group<'_>, username: &str, until: Option<Timestamp>) -> Sql<Option<User>> {
    let Some(user) = row::user_by_name(group.conn, username)? else { return Ok(None) };
    let user = user.profile.id;
    match until {
        Some(until) => group
            .conn
            .prepare_cached("INSERT OR REPLACE INTO sanctions (user, room, kind, until) VALUES (?1, 0, 'mute', ?2)")?
            .execute(params![id(user.0), until.0])?,
        None => group
            .conn
            .prepare_cached("DELETE FROM sanctions WHERE user = ?1 AND room = 0 AND kind = 'mute'")?
            .execute([id(user.0)])?,
    };
    group.forget_user(user);
    row::user(group.conn, user)
}
