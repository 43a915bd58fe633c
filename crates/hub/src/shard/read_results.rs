//! Results of reads: pages go to the cursors that wait for them, encoded once for all of them.

use std::rc::Rc;

use teahouse_core::{RoomId, UserId};
use teahouse_protocol::{classic, v1};

use super::jobs::ReadResult;
use super::state::Shard;
use crate::ports::{ChangesPage, ClassicPage};
use crate::session::{Cursor, Page, StoreRead};
use crate::websocket::text_frame;

impl Shard {
    /// A read of the store is over; none if the store cannot serve it now.
    pub(super) fn finish_read(&mut self, read: StoreRead, result: Option<ReadResult>) {
        let Some(result) = result else { return self.reads.fail(read) };
        match result {
            ReadResult::Classic(page) => self.deliver_page(&read, classic_page(&page)),
            ReadResult::Changes(page) => self.deliver_page(&read, v1_page(&page)),
            ReadResult::Reactions(own) => {
                let own = v1::own_reactions(own);
                if let StoreRead::Reactions(room, _, messages) = &read {
                    self.deliver_to_waiting(&read, *room, |cursor| cursor.accept_reactions(messages, &own));
                }
            }
            ReadResult::Members(members) => {
                self.reads.finish(&read);
                if let StoreRead::Members(room, number) = read {
                    self.set_watched_members(room, number, members);
                }
            }
            ReadResult::Entries(entries) => {
                self.reads.finish(&read);
                if let StoreRead::Entries(room, users) = &read {
                    let sees_it = |user: &UserId| entries.iter().any(|(member, _)| member == user);
                    let others: Vec<UserId> = users.iter().copied().filter(|user| !sees_it(user)).collect();
                    self.cancel_introductions(*room, &others);
                    self.send_entries(*room, &entries);
                }
            }
        }
    }

    fn deliver_page(&mut self, read: &StoreRead, page: Page) {
        self.environment.metrics.catch_up_pages.inc();
        let page = Rc::new(page);
        self.deliver_to_waiting(read, read.room(), |cursor| cursor.accept_page(read, &page));
    }

    fn deliver_to_waiting(&mut self, read: &StoreRead, room: RoomId, mut give: impl FnMut(&mut Cursor) -> bool) {
        for id in self.reads.finish(read) {
            let Some(index) = self.slot_of(id) else { continue };
            let session = &mut self.slots[index].session;
            if !session.closing && session.cursor_in(room).is_some_and(&mut give) {
                self.mark_behind(index);
            }
        }
    }
}

fn classic_page(page: &ClassicPage) -> Page {
    let mut frames = Vec::with_capacity(page.deleted.len() + page.messages.len());
    if page.pair.is_none() {
        frames.extend(page.deleted.iter().map(|id| (text_frame(&classic::message_deleted(*id)), None)));
    }
    for message in &page.messages {
        let receiver = page.pair.as_ref().and_then(|pair| pair.iter().find(|one| one.id != message.sender.id));
        frames.push(match receiver {
            Some(receiver) => (text_frame(&classic::private_message(message, receiver)), Some(receiver.id)),
            None => (text_frame(&classic::message(message)), None),
        });
    }
    Page { frames, reset: false, reacted: Vec::new(), reached: page.reached, complete: page.complete }
}

fn v1_page(page: &ChangesPage) -> Page {
    let frames = page.messages.iter().map(|message| (text_frame(&v1::message(message, None)), None)).collect();
    let reacted = page.messages.iter().filter(|message| !message.reactions.is_empty());
    let reacted = reacted.map(|message| message.id).collect();
    Page { frames, reset: page.reset, reacted, reached: page.reached, complete: page.complete }
}
