//! Users of a site: created from their tokens when they first connect, or by the site's backend, which can also change
//! them. No user loses a name to another.

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::{User, UserId, ids};
use teahouse_store::{SiteUser, SiteUserRecord, Subject};

use crate::accounts::{self, Account, email_taken, next_id, username_taken};
use crate::group::Group;
use crate::row::{self, Sql, id, read_user, user_columns};

/// The user of a site's token, if there is one already.
fn find(conn: &Connection, subject: &Subject) -> Sql<Option<User>> {
    match subject {
        Subject::Id(user) => row::user(conn, *user),
        Subject::Name(name) => conn
            .prepare_cached(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.subject = ?1"))?
            .query_row([name], read_user)
            .optional(),
    }
}

/// The user of a site's token, created from its claims when unknown.
pub(crate) fn ensure(group: &mut Group<'_>, site: &SiteUser) -> Sql<User> {
    match find(group.conn, &site.subject)? {
        Some(user) => Ok(user),
        None => create(group, site),
    }
}

/// Creates the users that are unknown, and updates the others.
pub(crate) fn put(group: &mut Group<'_>, records: &[SiteUserRecord]) -> Sql<Vec<User>> {
    records.iter().map(|record| put_one(group, record)).collect()
}

fn put_one(group: &mut Group<'_>, record: &SiteUserRecord) -> Sql<User> {
    let Some(before) = find(group.conn, &record.user.subject)? else {
        // Nothing to publish: nobody has seen this user yet.
        let user = create(group, &record.user)?.profile.id;
        accounts::set_profile(group, user, &record.profile)?;
        return row::user(group.conn, user)?.ok_or(rusqlite::Error::QueryReturnedNoRows);
    };
    set_username(group, &before, &record.user.username)?;
    if let Some(email) = &record.user.email {
        set_email(group, &before, email)?;
    }
    accounts::set_profile(group, before.profile.id, &record.profile)?;
    accounts::publish_profile(group, &before)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

fn create(group: &mut Group<'_>, site: &SiteUser) -> Sql<User> {
    let (user, subject) = match &site.subject {
        Subject::Id(user) => (*user, None),
        Subject::Name(name) => (next_id(group.conn, ids::OWN_IDS_START)?, Some(name.as_str())),
    };
    let email = match &site.email {
        Some(email) if !email_taken(group.conn, email)? => Some(email.as_str()),
        _ => None,
    };
    let username = free_username(group.conn, &site.username, user)?;
    let now = site.now;
    accounts::insert(group, &Account { id: user, username: &username, email, password_hash: None, subject, now })
}

/// A nickname that was never set follows the username, so that no user shows under a name that may belong to another
/// user by now.
fn set_username(group: &mut Group<'_>, user: &User, username: &str) -> Sql<()> {
    let (old_key, key) = (row::key(&user.profile.username), row::key(username));
    let taken = key != old_key && username_taken(group.conn, username)?;
    if username.is_empty() || username == user.profile.username || taken {
        return Ok(());
    }
    group
        .conn
        .prepare_cached(
            "UPDATE users SET username = ?2, username_key = ?3, \
             nickname = iif(nickname = ?4, ?2, nickname), nickname_key = iif(nickname = ?4, ?3, nickname_key) \
             WHERE id = ?1",
        )?
        .execute(params![id(user.profile.id.0), username, key, user.profile.username])?;
    group.forget_user(user.profile.id);
    Ok(())
}

fn set_email(group: &mut Group<'_>, user: &User, email: &str) -> Sql<()> {
    let key = row::key(email);
    let current = user.email.as_deref().map(row::key);
    if current.as_ref() != Some(&key) && email_taken(group.conn, email)? {
        return Ok(());
    }
    group
        .conn
        .prepare_cached("UPDATE users SET email = ?2, email_key = ?3 WHERE id = ?1")?
        .execute(params![id(user.profile.id.0), email, key])
        .map(|_| ())
}

/// `wanted`, or `wanted-id`, or that with a small number. If a hostile user has taken all of these, a random
/// number follows.
fn free_username(conn: &Connection, wanted: &str, user: UserId) -> Sql<String> {
    let wanted = if wanted.is_empty() { "user" } else { wanted };
    let with_id = format!("{wanted}-{user}");
    let numbered = (2..5).map(|number| format!("{with_id}-{number}"));
    for candidate in [wanted.to_owned(), with_id.clone()].into_iter().chain(numbered) {
        if !username_taken(conn, &candidate)? {
            return Ok(candidate);
        }
    }
    loop {
        let random: String =
            conn.prepare_cached("SELECT lower(hex(randomblob(6)))")?.query_row([], |row| row.get(0))?;
        let candidate = format!("{with_id}-{random}");
        if !username_taken(conn, &candidate)? {
            return Ok(candidate);
        }
    }
}
