//! Names and titles of rooms, stripped of control and bidirectional characters, which could disguise the text around
//! them.

use teahouse_core::limits::{ROOM_NAME_CHARS, ROOM_TITLE_CHARS_MAX};
use teahouse_core::text::{TextError, check_content, inert, longer_than};

/// Why a room's name or title is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRoomName {
    /// The name is empty or too long.
    #[error("the room's name: {0}")]
    Name(TextError),
    /// The title is too long.
    #[error("the room's title is too long")]
    Title,
}

/// The name to store.
///
/// # Errors
/// The name is empty or too long.
pub(crate) fn check_name(raw: &str) -> Result<String, InvalidRoomName> {
    let name = inert(raw);
    check_content(&name, *ROOM_NAME_CHARS.end()).map(str::to_owned).map_err(InvalidRoomName::Name)
}

/// The title to store; it may be empty.
///
/// # Errors
/// The title is too long.
pub(crate) fn check_title(raw: &str) -> Result<String, InvalidRoomName> {
    let title = inert(raw);
    if longer_than(&title, ROOM_TITLE_CHARS_MAX) { Err(InvalidRoomName::Title) } else { Ok(title) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_inert_and_never_empty() {
        let check = |raw: &str, expect: Result<&str, InvalidRoomName>| {
            assert_eq!(check_name(raw), expect.map(str::to_owned), "{raw:.80}");
        };
        let longest = "茶".repeat(50);
        check(" Tea & Cake ", Ok("Tea & Cake"));
        check("a\u{202e}b\n", Ok("ab"));
        check(&longest, Ok(&longest));
        check(&format!("  {longest}\u{7}"), Ok(&longest));
        check(&"茶".repeat(51), Err(InvalidRoomName::Name(TextError::TooLong { chars_max: 50 })));
        for empty in ["", " \t", "\u{200e}\u{0}"] {
            check(empty, Err(InvalidRoomName::Name(TextError::Empty)));
        }
    }

    #[test]
    fn titles_are_inert_and_may_be_empty() {
        let check = |raw: &str, expect: Result<&str, InvalidRoomName>| {
            assert_eq!(check_title(raw), expect.map(str::to_owned), "{raw:.80}");
        };
        check("", Ok(""));
        check(" All about tea\u{2066} ", Ok("All about tea"));
        check(&"a".repeat(200), Ok(&"a".repeat(200)));
        check(&"a".repeat(201), Err(InvalidRoomName::Title));
    }
}
