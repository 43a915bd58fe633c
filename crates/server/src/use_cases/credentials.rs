//! The rules for what an account of our own is made of. Names in a site's claims are not held to them.

use teahouse_core::limits::{EMAIL_CHARS_MAX, PASSWORD_CHARS, USERNAME_CHARS};
use teahouse_core::text::{is_username, longer_than};

/// Why a username was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UsernameFault {
    /// Too short or too long.
    #[error("the username is too short or too long")]
    Length,
    /// Not only letters, digits and `_`, `-`, `.`.
    #[error("the username has characters that a username cannot have")]
    Characters,
}

/// Why a password was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordFault {
    /// Too short or too long.
    #[error("the password is too short or too long")]
    Length,
    /// A letter or a digit is missing.
    #[error("the password needs a letter and a digit")]
    NeedsLetterAndDigit,
}

/// Why an e-mail address was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no e-mail address")]
pub struct EmailFault;

/// The username without white space around it, when it is one.
pub fn check_username(raw: &str) -> Result<&str, UsernameFault> {
    let name = raw.trim();
    if longer_than(name, *USERNAME_CHARS.end()) || name.chars().count() < *USERNAME_CHARS.start() {
        return Err(UsernameFault::Length);
    }
    if is_username(name) { Ok(name) } else { Err(UsernameFault::Characters) }
}

/// A password is taken as it was typed, white space included.
pub fn check_password(password: &str) -> Result<(), PasswordFault> {
    if longer_than(password, *PASSWORD_CHARS.end()) || password.chars().count() < *PASSWORD_CHARS.start() {
        return Err(PasswordFault::Length);
    }
    let letter = password.chars().any(char::is_alphabetic);
    let digit = password.chars().any(char::is_numeric);
    if letter && digit { Ok(()) } else { Err(PasswordFault::NeedsLetterAndDigit) }
}

/// The address without white space around it, when it could be one: only a letter sent there could tell more.
pub fn check_email(raw: &str) -> Result<&str, EmailFault> {
    let email = raw.trim();
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    match email.split_once('@') {
        Some((local, domain))
            if plain(local) && plain(domain) && !domain.contains('@') && !longer_than(email, EMAIL_CHARS_MAX) =>
        {
            Ok(email)
        }
        _ => Err(EmailFault),
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
        check("ab", Err(UsernameFault::Length));
        check("", Err(UsernameFault::Length));
        check(&longest, Ok(&longest));
        check(&longer, Err(UsernameFault::Length));
        check(&"a".repeat(1 << 20), Err(UsernameFault::Length));
        check("a@b.c", Err(UsernameFault::Characters));
        check("a b c", Err(UsernameFault::Characters));
        check("<script>", Err(UsernameFault::Characters));
        check("amy\u{202e}", Err(UsernameFault::Characters));
    }

    #[test]
    fn passwords() {
        let check = |password: &str, expect| assert_eq!(check_password(password), expect, "{password:?}");
        check("abc123", Ok(()));
        check("密码密码密1", Ok(()));
        check("abc12", Err(PasswordFault::Length));
        check(&format!("1{}", "a".repeat(49)), Ok(()));
        check(&format!("1{}", "a".repeat(50)), Err(PasswordFault::Length));
        check("abcdef", Err(PasswordFault::NeedsLetterAndDigit));
        check("123456", Err(PasswordFault::NeedsLetterAndDigit));
    }

    #[test]
    fn email_addresses() {
        let check = |raw: &str, expect| assert_eq!(check_email(raw), expect, "{raw:?}");
        check(" amy@example.org ", Ok("amy@example.org"));
        check("用户@例子.中国", Ok("用户@例子.中国"));
        check("amy@localhost", Ok("amy@localhost"));
        check("", Err(EmailFault));
        check("amy", Err(EmailFault));
        check("@b", Err(EmailFault));
        check("a@", Err(EmailFault));
        check("a@b@c", Err(EmailFault));
        check("a b@c", Err(EmailFault));
        check(&format!("a@{}", "b".repeat(253)), Err(EmailFault));
    }
}
