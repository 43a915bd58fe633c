//! Token status: revocations and refresh tokens, all of them hashed. It never sees a token and reads no clock.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use teahouse_core::limits::LOGINS_PER_USER_MAX;
use teahouse_core::{Revocation, Timestamp, TokenKey, TokenMark, UserId};
use teahouse_store::{LOGIN_PREFIXES_KEPT, RefreshToken, TokenStatus};

use crate::group::Group;
use crate::row::{self, Sql, get, id, read_user, user_columns};

/// Expired rows are kept for another day, so that a clock that jumped ahead and back revives no token.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many rows one job deletes: some milliseconds of work.
const DELETED_MAX: u32 = 500;

/// Whether a token with this mark still admits this user.
pub(crate) fn token_status(conn: &Connection, user: UserId, mark: &TokenMark) -> Sql<TokenStatus> {
    let login = mark.login.map(|login| login.0);
    let found = conn
        .prepare_cached(concat!(
            "SELECT ",
            user_columns!(),
            // Two lookups, and not one with `IN`, for which SQLite would build a table.
            ", u.void_second, u.void_except, \
             EXISTS (SELECT 1 FROM revoked_tokens t WHERE t.user = u.id AND t.key = ?2) OR \
             EXISTS (SELECT 1 FROM revoked_tokens t WHERE t.user = u.id AND t.key = ?3) \
             FROM users u WHERE u.id = ?1"
        ))?
        .query_row(params![id(user.0), mark.token.0, login], |row| {
            let revocation = Revocation::IssuedUpTo {
                second: row.get(10)?,
                except: row.get::<_, Option<[u8; 16]>>(11)?.map(TokenKey),
            };
            Ok((read_user(row)?, revocation, row.get::<_, bool>(12)?))
        })
        .optional()?;
    Ok(match found {
        None => TokenStatus::Unknown,
        Some((user, ..)) if user.disabled => TokenStatus::Disabled,
        Some((_, revocation, revoked)) if revoked || revocation.covers(mark) => TokenStatus::Revoked,
        Some((user, ..)) => TokenStatus::Good(Box::new(user)),
    })
}

/// The user whom a site's tokens name with this `sub`.
pub(crate) fn user_by_subject(conn: &Connection, subject: &str) -> Sql<Option<UserId>> {
    conn.prepare_cached("SELECT id FROM users WHERE subject = ?1")?
        .query_row([subject], |row| get(row, 0).map(UserId))
        .optional()
}

/// Revokes a token or a login, with the login's refresh tokens.
pub(crate) fn revoke(group: &mut Group<'_>, user: UserId, key: TokenKey, until: Timestamp) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            // No token of an unknown user is valid, so there is nothing to keep.
            "INSERT INTO revoked_tokens (user, key, expires_at) SELECT id, ?2, ?3 FROM users WHERE id = ?1 \
             ON CONFLICT (user, key) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
        )?
        .execute(params![id(user.0), key.0, until.0])?;
    group
        .conn
        .prepare_cached("DELETE FROM refresh_tokens WHERE user = ?1 AND login = ?2")?
        .execute(params![id(user.0), key.0])?;
    Ok(())
}

/// The first second of issue that no revocation covers.
pub(crate) fn issue_not_before(conn: &Connection, user: UserId) -> Sql<i64> {
    conn.prepare_cached("SELECT void_second + 1 FROM users WHERE id = ?1")?
        .query_row([id(user.0)], |row| row.get(0))
        .optional()
        .map(|second| second.unwrap_or(0))
}

/// Adds a refresh token. Ends logins of the user beyond the bound, first those that were not continued for longest.
pub(crate) fn add_refresh_token(group: &mut Group<'_>, refresh: &RefreshToken) -> Sql<()> {
    group
        .conn
        .prepare_cached(
            "INSERT OR REPLACE INTO refresh_tokens (key, user, login, expires_at) SELECT ?1, id, ?3, ?4 FROM users WHERE id = ?2",
        )?
        .execute(params![refresh.key.0, id(refresh.user.0), refresh.login.0, refresh.expires_at.0])?;
    let ended = group
        .conn
        .prepare_cached(
            "DELETE FROM refresh_tokens WHERE key IN (SELECT key FROM refresh_tokens \
             WHERE user = ?1 AND key <> ?2 ORDER BY expires_at DESC LIMIT ?3 OFFSET ?4)",
        )?
        .execute(params![id(refresh.user.0), refresh.key.0, DELETED_MAX, LOGINS_PER_USER_MAX - 1])?;
    if ended > 0 {
        group.on_bound.record("LOGINS_PER_USER_MAX", LOGINS_PER_USER_MAX.into());
    }
    Ok(())
}

/// A refresh token that is valid at `now`.
pub(crate) fn refresh_token(conn: &Connection, key: TokenKey, now: Timestamp) -> Sql<Option<RefreshToken>> {
    conn.prepare_cached(
        "SELECT r.user, r.login, r.expires_at FROM refresh_tokens r JOIN users u ON u.id = r.user \
         WHERE r.key = ?1 AND r.expires_at > ?2 AND u.disabled = 0",
    )?
    .query_row(params![key.0, now.0], |row| {
        Ok(RefreshToken {
            key,
            user: UserId(get(row, 0)?),
            login: row::token_key(row, 1)?,
            expires_at: Timestamp(row.get(2)?),
        })
    })
    .optional()
}

/// Replaces a refresh token by its successor.
pub(crate) fn rotate_refresh_token(
    group: &mut Group<'_>,
    old: TokenKey,
    new: TokenKey,
    new_expires_at: Timestamp,
    now: Timestamp,
) -> Sql<Option<RefreshToken>> {
    let Some(current) = refresh_token(group.conn, old, now)? else { return Ok(None) };
    let next = RefreshToken { key: new, expires_at: new_expires_at, ..current };
    group.conn.prepare_cached("DELETE FROM refresh_tokens WHERE key = ?1")?.execute([old.0])?;
    add_refresh_token(group, &next)?;
    Ok(Some(next))
}

/// Deletes some rows that expired long ago, and some addresses that nobody logged in from for long. Returns whether there
/// may be more.
pub(crate) fn forget_expired(group: &mut Group<'_>, now: Timestamp) -> Sql<bool> {
    let before = |kept: Duration| now.0.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let delete = |sql, expired: i64| group.conn.prepare_cached(sql)?.execute(params![expired, DELETED_MAX]);
    let deleted = [
        delete(
            "DELETE FROM refresh_tokens WHERE key IN \
             (SELECT key FROM refresh_tokens WHERE expires_at < ?1 LIMIT ?2)",
            before(KEPT_AFTER_EXPIRY),
        )?,
        delete(
            "DELETE FROM revoked_tokens WHERE (user, key) IN \
             (SELECT user, key FROM revoked_tokens WHERE expires_at < ?1 LIMIT ?2)",
            before(KEPT_AFTER_EXPIRY),
        )?,
        delete(
            "DELETE FROM login_prefixes WHERE (user, prefix) IN \
             (SELECT user, prefix FROM login_prefixes WHERE seen_at < ?1 LIMIT ?2)",
            before(LOGIN_PREFIXES_KEPT),
        )?,
    ];
    Ok(deleted.contains(&(DELETED_MAX as usize)))
}
