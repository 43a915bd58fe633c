//! Work that takes time: futures of the request handler and reads of the store. The shard begins it here; the event
//! loop drives it and brings back what came of it.
//!
//! A future that is ready at its first poll is not answered on the spot: like all others it waits in `done` until the
//! event loop has taken the inbox, so that what was committed before an answer is processed before that answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use teahouse_core::{MessageId, RoomEntry, SessionId, UserId};

use crate::ports::{BoxFuture, ChangesPage, ClassicPage, HistoryReader, Response};
use crate::session::StoreRead;

/// What a shard read from the store.
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

/// What came of a job.
pub(crate) enum Done {
    /// `Err` when the handler panicked.
    Request(SessionId, Result<Response, ()>),
    /// None when the store cannot serve it now.
    Read(StoreRead, Option<ReadResult>),
}

/// Jobs that were begun, and those that are over already.
#[derive(Default)]
pub(crate) struct Jobs {
    begun: Vec<Job>,
    done: Vec<Done>,
}

impl Jobs {
    /// Begins a request's work. It is polled once at once, so that a session's requests reach their queue in the
    /// order in which they came.
    pub(super) fn begin(&mut self, session: SessionId, mut future: BoxFuture<Response>) {
        let mut context = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Pending) => self.begun.push(Job::Request(session, future)),
            Ok(Poll::Ready(answer)) => self.done.push(Done::Request(session, Ok(answer))),
            Err(_) => self.done.push(Done::Request(session, Err(()))),
        }
    }

    pub(super) fn begin_read(&mut self, history: &dyn HistoryReader, read: StoreRead) {
        let future = start(history, &read);
        self.begun.push(Job::Read(read, future));
    }

    /// What the event loop has to drive from now on.
    pub(super) fn take_begun(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.begun)
    }

    /// What was over at its first poll.
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
    use super::*;

    #[test]
    fn a_future_is_polled_once_and_then_driven_or_done() {
        let mut jobs = Jobs::default();
        jobs.begin(SessionId(1), Box::pin(std::future::pending()));
        assert!(!jobs.has_done());
        jobs.begin(SessionId(2), Box::pin(std::future::ready(Response::default())));
        jobs.begin(SessionId(3), Box::pin(async { panic!("a handler that panics") }));
        let done = jobs.take_done();
        assert!(matches!(&done[..], [Done::Request(SessionId(2), Ok(_)), Done::Request(SessionId(3), Err(()))]));
        assert!(matches!(jobs.take_begun()[..], [Job::Request(SessionId(1), _)]));
        assert!(jobs.take_begun().is_empty() && !jobs.has_done());
    }
}
