//! Profiles: names, avatars and bios, stripped of control and bidirectional characters, which could disguise the text
//! around them.

use teahouse_core::limits::{AVATAR_CHARS_MAX, BIO_CHARS_MAX, NICKNAME_CHARS_MAX};
use teahouse_core::text::{inert, is_avatar, longer_than};
use teahouse_store::ProfileChange;

/// Why a profile is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidProfile {
    /// The nickname is too long.
    #[error("the nickname is too long")]
    Nickname,
    /// The bio is too long.
    #[error("the bio is too long")]
    Bio,
    /// The avatar's URL is too long.
    #[error("the avatar's URL is too long")]
    Avatar,
    /// The avatar's URL has a scheme other than `http` and `https`, or control characters.
    #[error("the avatar's URL must be http, https or relative")]
    AvatarUrl,
}

/// An update of a profile, as it was typed; `None` changes nothing.
#[derive(Default)]
pub(crate) struct ProfileUpdate {
    /// The name to show; an empty one resets it to the username.
    pub nickname: Option<String>,
    /// The URL of a picture; may be empty.
    pub avatar: Option<String>,
    /// A text about oneself; may be empty.
    pub bio: Option<String>,
}

/// The change to store for the user of this name.
///
/// # Errors
/// A part of it is invalid.
pub(crate) fn check_profile(username: &str, update: ProfileUpdate) -> Result<ProfileChange, InvalidProfile> {
    let nickname = update.nickname.map(|raw| match inert(&raw) {
        empty if empty.is_empty() => username.to_owned(),
        nickname => nickname,
    });
    let avatar = update.avatar.map(|raw| raw.trim().to_owned());
    // A bio keeps its line breaks, which `inert` removes.
    let bio = update.bio.map(|raw| raw.lines().map(inert).collect::<Vec<_>>().join("\n").trim().to_owned());
    let too_long = |text: &Option<String>, chars_max| text.as_deref().is_some_and(|text| longer_than(text, chars_max));
    // A username from a site's token may be longer than a nickname.
    if too_long(&nickname, NICKNAME_CHARS_MAX) && nickname.as_deref() != Some(username) {
        return Err(InvalidProfile::Nickname);
    }
    if too_long(&bio, BIO_CHARS_MAX) {
        return Err(InvalidProfile::Bio);
    }
    if avatar.as_deref().is_some_and(|avatar| avatar.len() > AVATAR_CHARS_MAX) {
        return Err(InvalidProfile::Avatar);
    }
    if avatar.as_deref().is_some_and(|avatar| !is_avatar(avatar)) {
        return Err(InvalidProfile::AvatarUrl);
    }
    Ok(ProfileChange { nickname, avatar, bio })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames() {
        let check = |raw: &str, expect: Result<&str, InvalidProfile>| {
            let update = ProfileUpdate { nickname: Some(raw.into()), ..ProfileUpdate::default() };
            let change = check_profile("amy", update).map(|change| change.nickname.unwrap());
            assert_eq!(change, expect.map(str::to_owned), "{raw:.80}");
        };
        check("Amy L.", Ok("Amy L."));
        check("", Ok("amy"));
        check(" \u{202e}\u{0} ", Ok("amy"));
        check("a\u{202e}b", Ok("ab"));
        check("<script>alert(1)</script>", Ok("<script>alert(1)</script>"));
        check(&"茶".repeat(50), Ok(&"茶".repeat(50)));
        check(&"茶".repeat(51), Err(InvalidProfile::Nickname));
        check(&"a".repeat(1 << 20), Err(InvalidProfile::Nickname));
    }

    #[test]
    fn a_bio_keeps_its_lines() {
        let check = |raw: &str, expect: Result<&str, InvalidProfile>| {
            let update = ProfileUpdate { bio: Some(raw.into()), ..ProfileUpdate::default() };
            let change = check_profile("amy", update).map(|change| change.bio.unwrap());
            assert_eq!(change, expect.map(str::to_owned), "{raw:.80}");
        };
        check("tea\r\nand \u{7}cake\n", Ok("tea\nand cake"));
        check("", Ok(""));
        check(&"a".repeat(500), Ok(&"a".repeat(500)));
        check(&"a".repeat(501), Err(InvalidProfile::Bio));
    }
}
