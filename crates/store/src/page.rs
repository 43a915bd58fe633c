//! The limit of one page, in entries and in bytes.

use teahouse_core::Message;

/// The maximum of a page. A page has its first entry even if that is larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageLimit {
    /// Messages, members or users.
    pub entries: u32,
    /// Their approximate bytes, as [`Message::size`] and [`teahouse_core::Profile::size`] measure them.
    pub bytes: usize,
}

impl PageLimit {
    /// So many entries, however large they are.
    #[must_use]
    pub const fn of_entries(entries: u32) -> Self {
        Self { entries, bytes: usize::MAX }
    }

    /// Cuts a page that has too many bytes. Returns whether it did.
    pub fn cut(self, messages: &mut Vec<Message>) -> bool {
        let mut bytes = 0;
        let fits = |message: &&Message| {
            bytes += message.size();
            bytes <= self.bytes
        };
        let kept = messages.iter().take_while(fits).count().max(1).min(messages.len());
        let is_cut = kept < messages.len();
        messages.truncate(kept);
        is_cut
    }
}

#[cfg(test)]
mod tests {
    use teahouse_core::{MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, Version};

    use super::*;

    #[test]
    fn a_page_is_cut_to_its_bytes_and_has_at_least_one_message() {
        let message = |bytes: usize| Message {
            id: MessageId(1),
            room: RoomId(1),
            seq: Seq(1),
            version: Version(1),
            sender: Profile::default(),
            client_id: None,
            content: "a".repeat(bytes),
            kind: MessageKind::Text,
            reply_to: None,
            mentions: vec![],
            reactions: vec![],
            edited_at: None,
            deleted: false,
            sent_at: Timestamp(0),
        };
        let empty = message(0).size();
        let limit = PageLimit { entries: 100, bytes: 2000 };
        let check = |sizes: &[usize], kept: usize| {
            let mut messages: Vec<Message> = sizes.iter().map(|bytes| message(*bytes)).collect();
            assert_eq!((limit.cut(&mut messages), messages.len()), (kept < sizes.len(), kept), "{sizes:?}");
        };
        check(&[], 0);
        check(&[2001 - empty], 1);
        check(&[2001 - empty, 0], 1);
        check(&[1000 - empty, 1000 - empty], 2);
        check(&[1000 - empty, 1000 - empty, 0], 2);
    }
}
