//! Text that people type: trimmed, measured in Unicode scalar values, cleaned of control characters.

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
