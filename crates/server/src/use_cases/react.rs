//! Reacting to a message with an emoji, and taking that back.

use teahouse_core::limits::EMOJI_BYTES_MAX;
use teahouse_core::text::inert;
use teahouse_core::{MessageId, UserId, Version};
use teahouse_store::{ChangeError, Reaction};

use crate::app::App;

/// Why nothing changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReactError {
    /// That is no emoji.
    #[error("this is no emoji")]
    Emoji,
    /// The store refused it.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Lets a reaction be there, or not.
///
/// # Errors
/// Nothing changed.
pub async fn react(
    app: &App,
    actor: UserId,
    message: MessageId,
    emoji: String,
    on: bool,
) -> Result<Version, ReactError> {
    if !is_emoji(&emoji) {
        return Err(ReactError::Emoji);
    }
    Ok(app.store.react(Reaction { message, actor, emoji, on, now: app.now() }).await?)
}

/// Whether a text may stand as a reaction. Unicode's list grows every year, so this asks only for what no
/// emoji has: it is short, has neither letters of ours nor white space nor what is not seen, and is not
/// plain ASCII (a keycap has a digit, but not only that).
fn is_emoji(text: &str) -> bool {
    let strange = |c: char| c.is_whitespace() || c.is_ascii_alphabetic();
    text.len() <= EMOJI_BYTES_MAX && !text.is_ascii() && inert(text) == text && !text.contains(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_short_and_nothing_else() {
        for (text, expect) in [
            ("👍", true),
            ("❤️", true),
            ("1️⃣", true),
            ("👨‍👩‍👧‍👦", true),
            ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", true),
            ("👩🏽‍❤️‍💋‍👨🏿", true),
            ("", false),
            (" ", false),
            ("👍 👍", false),
            ("👍\n", false),
            ("👍\u{202e}", false),
            ("👍\u{0}", false),
            ("👍a", false),
            (":+1:", false),
            ("<3", false),
            ("1", false),
        ] {
            assert_eq!(is_emoji(text), expect, "{text:?}");
        }
        assert!(is_emoji(&"👍".repeat(16)), "64 bytes");
        assert!(!is_emoji(&"👍".repeat(17)), "68 bytes");
    }
}
