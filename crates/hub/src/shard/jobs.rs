//! Work that takes time: futures of the request handler and reads of the store. The shard begins it here; the event
//! loop drives it and returns its result.
//!
//! A response that is ready at its first poll is sent on the spot, so that replies to refused requests keep their
//! order. Only one that enters a room waits in `done` until the event loop has taken the inbox: the commit that
//! brought the session into the room is there, and comes first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use teahouse_core::{MessageId, RoomEntry, SessionId, UserId};

use crate::ports::{BoxFuture, ChangesPage, ClassicPage, HistoryReader, Response, SessionEffect};
use crate::session::StoreRead;

/// The result of a read of the store.
pub(crate) enum ReadResult {
    Classic(ClassicPage),
    Changes(ChangesPage),
    Reactions(Vec<(MessageId, String)>),
    Members(Vec<UserId>),
    Entries(Vec<(UserId, RoomEntry)>),
}

/// Work that the event loop drives to its end.
pub(crate) enum Job {
    Request(SessionId, BoxFuture<Response>),
    Read(StoreRead, BoxFuture<Option<ReadResult>>),
}

/// The result of a job.
pub(crate) enum Done {
    /// `Err` when the handler panicked.
    Request(SessionId, Result<Response, ()>),
    /// None when the store cannot serve it now.
    Read(StoreRead, Option<ReadResult>),
}

/// Jobs that were begun, and those that are done already.
#[derive(Default)]
pub(crate) struct Jobs {
    begun: Vec<Job>,
    done: Vec<Done>,
}

impl Jobs {
    /// Begins a request's work. It is polled once right here, so that a session's requests reach their queue in the
    /// order in which they came. Returns the response if it is ready and need not wait for the inbox; `Err` when the
    /// handler panicked.
    pub(super) fn begin(
        &mut self,
        session: SessionId,
        mut future: BoxFuture<Response>,
    ) -> Option<Result<Response, ()>> {
        let mut context = Context::from_waker(Waker::noop());
        let response = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(response)) => response,
            Ok(Poll::Pending) => {
                self.begun.push(Job::Request(session, future));
                return None;
            }
            Err(_) => return Some(Err(())),
        };
        if matches!(response.effect, Some(SessionEffect::EnterRoom(_))) {
            self.done.push(Done::Request(session, Ok(response)));
            return None;
        }
        Some(Ok(response))
    }

    pub(super) fn begin_read(&mut self, history: &dyn HistoryReader, read: StoreRead) {
        let future = start(history, &read);
        self.begun.push(Job::Read(read, future));
    }

    /// The jobs that the event loop has to drive.
    pub(super) fn take_begun(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.begun)
    }

    /// Jobs that were done at their first poll and wait for the inbox.
    pub(super) fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    pub(super) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }
}

fn start(history: &dyn HistoryReader, read: &StoreRead) -> BoxFuture<Option<ReadResult>> {
    match read {
        StoreRead::Classic(room, after) => {
            let page = history.classic_page(*room, *after);
            Box::pin(async move { page.await.map(ReadResult::Classic) })
        }
        StoreRead::Changes(room, from) => {
            let page = history.changes(*room, *from);
            Box::pin(async move { page.await.map(ReadResult::Changes) })
        }
        StoreRead::Reactions(_, user, messages) => {
            let own = history.own_reactions(*user, messages.clone());
            Box::pin(async move { own.await.map(ReadResult::Reactions) })
        }
        StoreRead::Members(room, _) => {
            let members = history.members(*room);
            Box::pin(async move { members.await.map(ReadResult::Members) })
        }
        StoreRead::Entries(room, users) => {
            let entries = history.entries(*room, users.clone());
            Box::pin(async move { entries.await.map(ReadResult::Entries) })
        }
    }
}

#[cfg(test)]
mod tests {
    use teahouse_core::{RoomId, Seq, Version};

    use super::*;
    use crate::ports::Entered;

    #[test]
    fn a_future_is_polled_once_and_then_driven() {
        let mut jobs = Jobs::default();
        assert!(jobs.begin(SessionId(1), Box::pin(std::future::pending())).is_none());
        let refused = jobs.begin(SessionId(2), Box::pin(std::future::ready(Response::default())));
        assert!(matches!(refused, Some(Ok(_))));
        let panicked = jobs.begin(SessionId(3), Box::pin(async { std::panic::resume_unwind(Box::new("on purpose")) }));
        assert!(matches!(panicked, Some(Err(()))));
        assert!(!jobs.has_done());
        assert!(matches!(jobs.take_begun()[..], [Job::Request(SessionId(1), _)]));
        assert!(jobs.take_begun().is_empty());
    }

    #[test]
    fn a_response_that_enters_a_room_waits_for_the_inbox() {
        let mut jobs = Jobs::default();
        let effect =
            Some(SessionEffect::EnterRoom(Entered { room: RoomId(7), at: (Version(1), Seq(1)), direct: false }));
        let response = Response { effect, ..Response::default() };
        assert!(jobs.begin(SessionId(1), Box::pin(std::future::ready(response))).is_none());
        assert!(jobs.has_done());
        assert!(matches!(jobs.take_done()[..], [Done::Request(SessionId(1), Ok(_))]));
        assert!(!jobs.has_done());
    }
}
