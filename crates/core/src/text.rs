//! Text that people type: trimmed, measured in Unicode scalar values, cleaned of control characters.

use crate::limits::AVATAR_CHARS_MAX;

/// Why a text was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("empty")]
    Empty,
    /// It has more Unicode scalar values than allowed.
    #[error("longer than {chars_max} characters")]
    TooLong {
        /// The maximum.
        chars_max: usize,
    },
}

/// Trims a text and checks that it has between 1 and `chars_max` Unicode scalar values.
///
/// # Errors
/// When it is empty after trimming, or too long.
pub fn check_content(raw: &str, chars_max: usize) -> Result<&str, TextError> {
    let text = raw.trim();
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if longer_than(text, chars_max) {
        return Err(TextError::TooLong { chars_max });
    }
    Ok(text)
}

/// Whether a text has more than `chars_max` Unicode scalar values. It reads no further than needed.
#[must_use]
pub fn longer_than(text: &str, chars_max: usize) -> bool {
    text.len() > chars_max && text.chars().nth(chars_max).is_some()
}

/// Removes control characters and bidirectional overrides from a name, with which it could imitate another one or
/// reorder the text around it, and trims it.
#[must_use]
pub fn inert(raw: &str) -> String {
    let clean: String = raw.chars().filter(|c| !c.is_control() && !is_bidi_control(*c)).collect();
    clean.trim().to_owned()
}

/// Whether a username consists of letters, digits, `_`, `-` and `.` only (letters of any script).
#[must_use]
pub fn is_username(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Whether a text can be a picture's URL: empty, relative, `http` or `https`. Any other scheme could run a script, or
/// contain the picture itself, which would be sent with each message.
#[must_use]
pub fn is_avatar(url: &str) -> bool {
    let scheme_end = url.find(['/', '?', '#']).unwrap_or(url.len());
    let is_web = match url[..scheme_end].split_once(':') {
        None => true,
        Some((scheme, _)) => scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"),
    };
    is_web && url.len() <= AVATAR_CHARS_MAX && !url.contains(|c: char| c.is_control() || is_bidi_control(c))
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_trimmed_and_counted_in_scalar_values() {
        let family = "👨‍👩‍👧"; // Five scalar values: three people and two joiners.
        let check = |raw: &str, expect| assert_eq!(check_content(raw, 5), expect, "{raw:?}");
        check("  hi\n", Ok("hi"));
        check("", Err(TextError::Empty));
        check(" \u{3000}\t ", Err(TextError::Empty));
        check("12345", Ok("12345"));
        check("123456", Err(TextError::TooLong { chars_max: 5 }));
        check(family, Ok(family));
        check("你好你好你", Ok("你好你好你"));
        check("你好你好你好", Err(TextError::TooLong { chars_max: 5 }));
    }

    #[test]
    fn names_lose_control_characters_and_bidirectional_overrides() {
        assert_eq!(inert(" a\u{202e}b\u{0}\n"), "ab");
        assert_eq!(inert("<script>"), "<script>");
    }

    #[test]
    fn a_picture_is_a_short_web_url() {
        let (longest, too_long) = (format!("/{}", "a".repeat(2047)), format!("/{}", "🍵".repeat(512)));
        for (url, expect) in [
            ("", true),
            ("/uploads/a.png", true),
            ("uploads/a:b.png", true),
            ("//cdn.example.org/a.png", true),
            ("https://example.org/小.png", true),
            ("HTTP://example.org/a.png", true),
            (&longest, true),
            (&too_long, false),
            ("javascript:alert(1)", false),
            ("JavaScript:alert(1)//", false),
            ("data:text/html,hi", false),
            (" data:text/html,hi", false),
            ("da\nta:text/html,hi", false),
            ("vbscript:x", false),
            ("/a\u{7}.png", false),
            ("/a\u{202e}.png", false),
        ] {
            assert_eq!(is_avatar(url), expect, "{url:.40?}");
        }
    }

    #[test]
    fn usernames_are_letters_digits_and_three_punctuation_marks() {
        for (name, expect) in [
            ("amy", true),
            ("小明", true),
            ("a_b-c.d9", true),
            ("a b", false),
            ("a@b", false),
            ("", false),
            ("a\u{200b}b", false),
        ] {
            assert_eq!(is_username(name), expect, "{name:?}");
        }
    }
}
