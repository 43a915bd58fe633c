//! Usernames, passwords and e-mail addresses of the server's own accounts. Names in a site's tokens are exempt.

use teahouse_core::limits::{EMAIL_CHARS_MAX, PASSWORD_CHARS, USERNAME_CHARS};
use teahouse_core::text::{is_username, longer_than};

/// Why a username is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidUsername {
    /// Too short or too long.
    #[error("the username is too short or too long")]
    Length,
    /// Other characters than letters, digits, `_`, `-` and `.`.
    #[error("the username contains characters that are not allowed")]
    Characters,
}

/// Why a password is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidPassword {
    /// Too short or too long.
    #[error("the password is too short or too long")]
    Length,
    /// A letter or a digit is missing.
    #[error("the password must contain a letter and a digit")]
    NeedsLetterAndDigit,
}

/// The e-mail address is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the e-mail address is not valid")]
pub struct InvalidEmail;

/// Trims and checks a username.
///
/// # Errors
/// The username is invalid.
pub(crate) fn check_username(raw: &str) -> Result<&str, InvalidUsername> {
    let name = raw.trim();
    if longer_than(name, *USERNAME_CHARS.end()) || name.chars().count() < *USERNAME_CHARS.start() {
        return Err(InvalidUsername::Length);
    }
    if is_username(name) { Ok(name) } else { Err(InvalidUsername::Characters) }
}

/// Checks a password as it was typed, white space included.
///
/// # Errors
/// The password is invalid.
pub(crate) fn check_password(password: &str) -> Result<(), InvalidPassword> {
    if longer_than(password, *PASSWORD_CHARS.end()) || password.chars().count() < *PASSWORD_CHARS.start() {
        return Err(InvalidPassword::Length);
    }
    let letter = password.chars().any(char::is_alphabetic);
    let digit = password.chars().any(char::is_numeric);
    if letter && digit { Ok(()) } else { Err(InvalidPassword::NeedsLetterAndDigit) }
}

/// Trims and checks an e-mail address. Only a delivered mail could prove more than this.
///
/// # Errors
/// The address is invalid.
pub(crate) fn check_email(raw: &str) -> Result<&str, InvalidEmail> {
    let email = raw.trim();
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    match email.split_once('@') {
        Some((local, domain))
            if plain(local) && plain(domain) && !domain.contains('@') && !longer_than(email, EMAIL_CHARS_MAX) =>
        {
            Ok(email)
        }
        _ => Err(InvalidEmail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        let check = |raw: &str, expect| assert_eq!(check_username(raw), expect, "{raw:?}");
        let (longest, longer) = ("a".repeat(20), "a".repeat(21));
        check("amy", Ok("amy"));
        check("  amy\t", Ok("amy"));
        check("小明同学", Ok("小明同学"));
        check("ab", Err(InvalidUsername::Length));
        check("", Err(InvalidUsername::Length));
        check(&longest, Ok(&longest));
        check(&longer, Err(InvalidUsername::Length));
        check(&"a".repeat(1 << 20), Err(InvalidUsername::Length));
        check("a@b.c", Err(InvalidUsername::Characters));
        check("a b c", Err(InvalidUsername::Characters));
        check("<script>", Err(InvalidUsername::Characters));
        check("amy\u{202e}", Err(InvalidUsername::Characters));
    }

    #[test]
    fn passwords() {
        let check = |password: &str, expect| assert_eq!(check_password(password), expect, "{password:?}");
        check("abc123", Ok(()));
        check("密码密码密1", Ok(()));
        check("abc12", Err(InvalidPassword::Length));
        check(&format!("1{}", "a".repeat(49)), Ok(()));
        check(&format!("1{}", "a".repeat(50)), Err(InvalidPassword::Length));
        check("abcdef", Err(InvalidPassword::NeedsLetterAndDigit));
        check("123456", Err(InvalidPassword::NeedsLetterAndDigit));
    }

    #[test]
    fn email_addresses() {
        let check = |raw: &str, expect| assert_eq!(check_email(raw), expect, "{raw:?}");
        check(" amy@example.org ", Ok("amy@example.org"));
        check("用户@例子.中国", Ok("用户@例子.中国"));
        check("amy@localhost", Ok("amy@localhost"));
        check("", Err(InvalidEmail));
        check("amy", Err(InvalidEmail));
        check("@b", Err(InvalidEmail));
        check("a@", Err(InvalidEmail));
        check("a@b@c", Err(InvalidEmail));
        check("a b@c", Err(InvalidEmail));
        check(&format!("a@{}", "b".repeat(253)), Err(InvalidEmail));
    }
}
