//! Users: made here or from a site's tokens, changed, looked up. Whoever changes a user here makes the
//! writer forget what it knew of them. It never sees a password, only hashes.

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::{LOBBY, Profile, Timestamp, TokenKey, User, UserId, UserRole, ids};

use super::group::Group;
use super::row::{self, Sql, get, id, read_user, user_columns};
use super::writer::Stop;
use crate::{CreateUserError, NewUser, ProfileChange, SiteUser, StoreError, Subject};

/// Everything that a new row of `users` says.
struct Account<'a> {
    id: UserId,
    username: &'a str,
    email: Option<&'a str>,
    password_hash: Option<&'a str>,
    subject: Option<&'a str>,
    now: Timestamp,
}

/// Makes an account that registers here.
pub(super) fn create(group: &mut Group<'_>, new: &NewUser) -> Result<User, Stop<CreateUserError>> {
    if username_taken(group.conn, &new.username)? {
        return Err(Stop::Refused(CreateUserError::UsernameTaken));
    }
    if let Some(email) = &new.email
        && email_taken(group.conn, email)?
    {
        return Err(Stop::Refused(CreateUserError::EmailTaken));
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

/// The user of a site's token, if it is known already.
pub(super) fn site_user(conn: &Connection, subject: &Subject) -> Sql<Option<User>> {
    match subject {
        Subject::Id(user) => row::user(conn, *user),
        Subject::Name(name) => conn
            .prepare_cached(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.subject = ?1"))?
            .query_row([name], read_user)
            .optional(),
    }
}

/// The user of a site's token, made from its claims when unknown.
pub(super) fn ensure_site_user(group: &mut Group<'_>, site: &SiteUser) -> Result<User, Stop<StoreError>> {
    if let Some(known) = site_user(group.conn, &site.subject)? {
        return Ok(known);
    }
    let (user, subject) = match &site.subject {
        Subject::Id(user) => (*user, None),
        Subject::Name(name) => (next_id(group.conn, ids::OWN_IDS_START)?, Some(name.as_str())),
    };
    let email = match &site.email {
        Some(email) if !email_taken(group.conn, email)? => Some(email.as_str()),
        _ => None,
    };
    let username = free_username(group.conn, &site.username, user)?;
    Ok(insert(group, &Account { id: user, username: &username, email, password_hash: None, subject, now: site.now })?)
}

fn insert(group: &mut Group<'_>, account: &Account<'_>) -> Sql<User> {
    group
        .conn
        .prepare_cached(
            "INSERT INTO users (id, username, username_key, email, email_key, password_hash, subject, nickname, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?2, ?8)",
        )?
        .execute(params![
            id(account.id.0),
            account.username,
            key(account.username),
            account.email,
            account.email.map(key),
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

/// What makes two names or addresses the same, whatever their case.
fn key(name: &str) -> String {
    name.to_lowercase()
}

fn username_taken(conn: &Connection, username: &str) -> Sql<bool> {
    conn.prepare_cached("SELECT 1 FROM users WHERE username_key = ?1")?.exists([key(username)])
}

fn email_taken(conn: &Connection, email: &str) -> Sql<bool> {
    conn.prepare_cached("SELECT 1 FROM users WHERE email_key = ?1")?.exists([key(email)])
}

/// `wanted`, or with the user's id behind it, or with a number behind that. Somebody may have taken the
/// first by mischief; the loop ends because there are finitely many users.
fn free_username(conn: &Connection, wanted: &str, user: UserId) -> Sql<String> {
    let wanted = if wanted.is_empty() { "user" } else { wanted };
    let with_id = format!("{wanted}-{user}");
    for candidate in [wanted, &with_id] {
        if !username_taken(conn, candidate)? {
            return Ok(candidate.to_owned());
        }
    }
    let mut number = 2_u64;
    loop {
        let candidate = format!("{with_id}-{number}");
        if !username_taken(conn, &candidate)? {
            return Ok(candidate);
        }
        number += 1;
    }
}

fn next_id(conn: &Connection, start: u64) -> Sql<UserId> {
    conn.prepare_cached("SELECT coalesce(max(id) + 1, ?1) FROM users WHERE id >= ?1")?
        .query_row([id(start.max(1))], |row| get(row, 0).map(UserId))
}

/// The user of this username or, where it contains `@`, this e-mail address; with the password's hash.
pub(super) fn by_login(conn: &Connection, login: &str) -> Sql<Option<(User, Option<String>)>> {
    const BY_EMAIL: &str = concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u WHERE u.email_key = ?1");
    const BY_NAME: &str =
        concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u WHERE u.username_key = ?1");
    let sql = if login.contains('@') { BY_EMAIL } else { BY_NAME };
    conn.prepare_cached(sql)?.query_row([key(login)], |row| Ok((read_user(row)?, row.get(10)?))).optional()
}

/// The profiles of these users, in one statement.
pub(super) fn profiles(conn: &Connection, users: &[UserId]) -> Sql<Vec<Profile>> {
    let list: Vec<String> = users.iter().map(|user| id(user.0).to_string()).collect();
    conn.prepare_cached(
        "SELECT id, username, nickname, avatar FROM users \
         WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id",
    )?
    .query_map([format!("[{}]", list.join(","))], |row| row::profile(row, 0))?
    .collect()
}

/// A user's password hash, if there is one.
pub(super) fn password_hash(conn: &Connection, user: UserId) -> Sql<Option<String>> {
    conn.prepare_cached("SELECT password_hash FROM users WHERE id = ?1")?
        .query_row([id(user.0)], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// Changes what is `Some`.
pub(super) fn update_profile(group: &mut Group<'_>, user: UserId, change: &ProfileChange) -> Sql<Option<User>> {
    group
        .conn
        .prepare_cached(
            "UPDATE users SET nickname = coalesce(?2, nickname), avatar = coalesce(?3, avatar), bio = coalesce(?4, bio) \
             WHERE id = ?1",
        )?
        .execute(params![id(user.0), change.nickname, change.avatar, change.bio])?;
    group.forget_person(user);
    row::user(group.conn, user)
}

/// Puts `hash` in the place of `expected`, and only there.
pub(super) fn renew_hash(group: &mut Group<'_>, user: UserId, expected: &str, hash: &str) -> Sql<bool> {
    group
        .conn
        .prepare_cached("UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2")?
        .execute(params![id(user.0), expected, hash])
        .map(|changed| changed == 1)
}

/// Sets a password and ends every token issued so far, but for those of `except`.
pub(super) fn change_password(
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
            // A clock that went back must not make an older revocation weaker.
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
pub(super) fn set_role(group: &mut Group<'_>, username: &str, role: UserRole) -> Sql<Option<User>> {
    let Some(user) = row::user_by_name(group.conn, username)? else { return Ok(None) };
    let user = user.profile.id;
    group
        .conn
        .prepare_cached("UPDATE users SET role = ?2 WHERE id = ?1")?
        .execute(params![id(user.0), role.as_str()])?;
    group.forget_person(user);
    row::user(group.conn, user)
}

/// Disables, and removes all refresh tokens; or enables.
pub(super) fn set_disabled(group: &mut Group<'_>, username: &str, disabled: bool) -> Sql<Option<User>> {
    let Some(user) = row::user_by_name(group.conn, username)? else { return Ok(None) };
    let user = user.profile.id;
    group
        .conn
        .prepare_cached("UPDATE users SET disabled = ?2 WHERE id = ?1")?
        .execute(params![id(user.0), disabled])?;
    if disabled {
        group.conn.prepare_cached("DELETE FROM refresh_tokens WHERE user = ?1")?.execute([id(user.0)])?;
    }
    group.forget_person(user);
    row::user(group.conn, user)
}

/// Mutes until then, or not at all.
pub(super) fn set_muted(group: &mut Group<'_>, username: &str, until: Option<Timestamp>) -> Sql<Option<User>> {
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
    group.forget_person(user);
    row::user(group.conn, user)
}
