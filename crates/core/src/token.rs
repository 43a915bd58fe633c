//! What the server keeps of a token: enough to revoke it, never enough to use it.

use crate::UserId;

/// The first 16 bytes of the SHA-256 of a token, or of the login that a token of this server belongs to. Tokens
/// themselves are never stored or logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenKey(pub [u8; 16]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// The part of its token that a live session keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenMark {
    /// The hash of the token.
    pub token: TokenKey,
    /// The hash of the login that it belongs to; only this server's own tokens have one. A refreshed token belongs to
    /// the same login as the token before it, so that logging out ends both.
    pub login: Option<TokenKey>,
    /// When it was issued, in seconds; 0 if the token has no `iat`.
    pub issued_at: i64,
    /// When it expires, in seconds.
    pub expires_at: i64,
}

/// The tokens of a user that become void.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revocation {
    /// The token, or every token of the login, with this key (logging out).
    Key(TokenKey),
    /// Every token issued up to and including this second, except one login or token (a changed password).
    IssuedUpTo {
        /// The last second of issue that is void.
        second: i64,
        /// The login or token of the request that caused this; it stays valid.
        except: Option<TokenKey>,
    },
    /// Every token of the user (the account was disabled).
    All,
}

impl Revocation {
    /// Whether a token of the same user with this mark is void.
    #[must_use]
    pub fn covers(&self, mark: &TokenMark) -> bool {
        let is = |key: &TokenKey| mark.token == *key || mark.login.as_ref() == Some(key);
        match self {
            Self::Key(key) => is(key),
            Self::IssuedUpTo { second, except } => mark.issued_at <= *second && !except.as_ref().is_some_and(is),
            Self::All => true,
        }
    }
}

/// A revocation for one user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// The user.
    pub user: UserId,
    /// The void tokens.
    pub what: Revocation,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TokenKey = TokenKey([1; 16]);
    const B: TokenKey = TokenKey([2; 16]);
    const LOGIN: TokenKey = TokenKey([9; 16]);

    fn mark(token: TokenKey, login: Option<TokenKey>, issued_at: i64) -> TokenMark {
        TokenMark { token, login, issued_at, expires_at: i64::MAX }
    }

    #[test]
    fn a_revocation_covers_the_tokens_it_names_and_no_others() {
        let check =
            |what: Revocation, mark: TokenMark, expect| assert_eq!(what.covers(&mark), expect, "{what:?} {mark:?}");
        check(Revocation::Key(A), mark(A, None, 5), true);
        check(Revocation::Key(A), mark(B, None, 5), false);
        check(Revocation::Key(LOGIN), mark(B, Some(LOGIN), 5), true);
        check(Revocation::IssuedUpTo { second: 5, except: None }, mark(A, None, 5), true);
        check(Revocation::IssuedUpTo { second: 5, except: None }, mark(A, None, 6), false);
        check(Revocation::IssuedUpTo { second: 5, except: Some(LOGIN) }, mark(A, Some(LOGIN), 3), false);
        check(Revocation::IssuedUpTo { second: 5, except: Some(A) }, mark(A, None, 3), false);
        check(Revocation::All, mark(A, None, i64::MAX), true);
    }
}
