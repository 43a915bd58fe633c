//! Adds and removes reactions to messages.

use teahouse_core::limits::EMOJI_BYTES_MAX;
use teahouse_core::text::inert;
use teahouse_core::{MessageId, UserId, Version};
use teahouse_store::{ChangeError, Reaction};

use crate::app::App;

/// Why the reaction was not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReactError {
    /// The text is not an emoji.
    #[error("not an emoji")]
    Emoji,
    /// The store refused the change.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Adds the actor's reaction (`on`) or removes it, and returns the room's version with the change.
///
/// # Errors
/// The reaction was not changed.
pub(crate) async fn react(
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

/// Whether a text can be an emoji. Unicode's list grows every year, so this only excludes what no emoji is: long, or all
/// ASCII, or with ASCII letters, white space, control or bidirectional characters.
fn is_emoji(text: &str) -> bool {
    let is_foreign = |c: char| c.is_whitespace() || c.is_ascii_alphabetic();
    text.len() <= EMOJI_BYTES_MAX && !text.is_ascii() && inert(text) == text && !text.contains(is_foreign)
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
