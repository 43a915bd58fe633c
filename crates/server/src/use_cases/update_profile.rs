//! Changing what others see of oneself. Names and words are made inert: they cannot lie about their surroundings.

use teahouse_core::User;
use teahouse_core::limits::{AVATAR_CHARS_MAX, BIO_CHARS_MAX, NICKNAME_CHARS_MAX};
use teahouse_core::text::{inert, longer_than};
use teahouse_store::{ProfileChange, StoreError};

use crate::app::App;

/// Why nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpdateProfileError {
    /// The nickname is too long.
    #[error("the nickname is too long")]
    Nickname,
    /// The few words are too many.
    #[error("the bio is too long")]
    Bio,
    /// The picture's address is too long.
    #[error("the picture's address is too long")]
    Avatar,
    /// The picture's address is neither of the web nor of this site.
    #[error("the picture's address has a scheme that is not allowed")]
    AvatarScheme,
    /// The user is gone.
    #[error("no such user")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to change, as it was typed; `None` stays as it is.
#[derive(Default)]
pub struct ProfileWish {
    /// The name that is shown; empty means the username again.
    pub nickname: Option<String>,
    /// A picture's address, or empty.
    pub avatar: Option<String>,
    /// A few words, or empty.
    pub bio: Option<String>,
}

/// Changes one's own profile and gives it as it is then.
///
/// # Errors
/// Nothing was changed.
pub async fn update_profile(app: &App, user: &User, wish: ProfileWish) -> Result<User, UpdateProfileError> {
    let change = check(&user.profile.username, wish)?;
    app.store.update_profile(user.profile.id, change).await?.ok_or(UpdateProfileError::NotFound)
}

/// What is to be stored of it, for a user of this name.
pub(super) fn check(username: &str, wish: ProfileWish) -> Result<ProfileChange, UpdateProfileError> {
    let nickname = wish.nickname.map(|raw| match inert(&raw) {
        empty if empty.is_empty() => username.to_owned(),
        nickname => nickname,
    });
    let avatar = wish.avatar.map(|raw| inert(&raw));
    // A few words may have lines; each of them is inert.
    let bio = wish.bio.map(|raw| raw.lines().map(inert).collect::<Vec<_>>().join("\n").trim().to_owned());
    let too_long = |text: &Option<String>, chars_max| text.as_deref().is_some_and(|text| longer_than(text, chars_max));
    // A username from a site's claims may itself be longer than a nickname.
    if too_long(&nickname, NICKNAME_CHARS_MAX) && nickname.as_deref() != Some(username) {
        return Err(UpdateProfileError::Nickname);
    }
    if too_long(&bio, BIO_CHARS_MAX) {
        return Err(UpdateProfileError::Bio);
    }
    if too_long(&avatar, AVATAR_CHARS_MAX) {
        return Err(UpdateProfileError::Avatar);
    }
    if avatar.as_deref().is_some_and(|avatar| !is_web_address(avatar)) {
        return Err(UpdateProfileError::AvatarScheme);
    }
    Ok(ProfileChange { nickname, avatar, bio })
}

/// Whether an address is empty, relative, or of `http` or `https`; never one that runs something.
fn is_web_address(address: &str) -> bool {
    let scheme_end = address.find(['/', '?', '#']).unwrap_or(address.len());
    match address[..scheme_end].split_once(':') {
        None => true,
        Some((scheme, _)) => scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames() {
        let check = |raw: &str, expect: Result<&str, UpdateProfileError>| {
            let wish = ProfileWish { nickname: Some(raw.into()), ..ProfileWish::default() };
            let change = check("amy", wish).map(|change| change.nickname.unwrap());
            assert_eq!(change, expect.map(str::to_owned), "{raw:.80}");
        };
        check("Amy L.", Ok("Amy L."));
        check("", Ok("amy"));
        check(" \u{202e}\u{0} ", Ok("amy"));
        check("a\u{202e}b", Ok("ab"));
        check("<script>alert(1)</script>", Ok("<script>alert(1)</script>"));
        check(&"茶".repeat(50), Ok(&"茶".repeat(50)));
        check(&"茶".repeat(51), Err(UpdateProfileError::Nickname));
        check(&"a".repeat(1 << 20), Err(UpdateProfileError::Nickname));
    }

    #[test]
    fn a_few_words_keep_their_lines() {
        let check = |raw: &str, expect: Result<&str, UpdateProfileError>| {
            let wish = ProfileWish { bio: Some(raw.into()), ..ProfileWish::default() };
            let change = check("amy", wish).map(|change| change.bio.unwrap());
            assert_eq!(change, expect.map(str::to_owned), "{raw:.80}");
        };
        check("tea\r\nand \u{7}cake\n", Ok("tea\nand cake"));
        check("", Ok(""));
        check(&"a".repeat(500), Ok(&"a".repeat(500)));
        check(&"a".repeat(501), Err(UpdateProfileError::Bio));
    }

    #[test]
    fn pictures_are_of_the_web() {
        for (address, expect) in [
            ("", true),
            ("/uploads/a.png", true),
            ("uploads/a:b.png", true),
            ("//cdn.example.org/a.png", true),
            ("https://example.org/a.png", true),
            ("HTTP://example.org/a.png", true),
            ("javascript:alert(1)", false),
            ("JavaScript:alert(1)//", false),
            ("data:text/html,hi", false),
            ("vbscript:x", false),
        ] {
            assert_eq!(is_web_address(address), expect, "{address:?}");
        }
    }
}
