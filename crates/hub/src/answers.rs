//! The memory of large answers: pages of messages, lists and welcomes. An answer has a permit from before the store is
//! read for it until its last byte is written, over every transport. This file gives the permits; it reads and encodes
//! nothing.
//!
//! Every user has a budget of bytes, and all users together have one. Until an answer is encoded, a quarter of its
//! user's budget is reserved for it: its rows and its JSON are in memory at once. For an answer that no page bounds, the
//! whole is reserved. Then its real bytes count, until the [`Bytes`] that hold them are dropped. A request beyond its
//! user's budget waits for its turn; one beyond the budget of all is refused. While half of that budget is taken, a user
//! gets one answer at a time, so that a few users cannot take the other half.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use teahouse_core::UserId;
use tokio::sync::oneshot;

use crate::bounds::Bounds;
use crate::maps::HashMap;

/// Answers of one user that are read and encoded in parallel: a client that starts requests a handful, and more of them
/// would not finish sooner.
const PARALLEL_MAX: u64 = 4;
/// Requests of one user that wait for their turn. Each costs about as much as its connection.
const ANSWERS_WAITING_MAX: usize = 128;
/// Reserved from the budget of all users for an answer that is not encoded yet: about a page of fifty short messages.
/// A storm of reconnecting clients must not be refused for pages that they could have, but do not have.
const RESERVED_BYTES: u64 = 32 * 1024;
/// Encoded answers below this size are no longer counted: so many small ones are not a danger.
const COUNTED_BYTES_MIN: usize = 4096;

/// The budgets of large answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerOptions {
    /// Bytes of all users together.
    pub bytes_max: u64,
    /// Bytes of one user.
    pub bytes_per_user: u64,
}

/// Why a large answer cannot be begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnswerRefusal {
    /// The answers of all users together take too much memory.
    #[error("too many bytes of answers are in memory")]
    Overloaded,
    /// Too many requests of this user wait already.
    #[error("too many requests of this user wait for their answers")]
    TooManyWaiting,
}

/// The large answers in memory. Clones share them.
#[derive(Clone)]
pub struct Answers(Arc<Inner>);

struct Inner {
    options: AnswerOptions,
    bytes: Gauge,
    bounds: Bounds,
    /// Locked for some steps without I/O, three times for each large answer.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: u64,
    /// Users with an answer in memory, or a request that waits.
    users: HashMap<UserId, UserAnswers>,
}

#[derive(Default)]
struct UserAnswers {
    bytes: u64,
    waiting: VecDeque<Waiting>,
}

/// A request that waits, and the bytes that it will reserve in its user's budget.
struct Waiting {
    sender: oneshot::Sender<Admission>,
    reserved: u64,
}

type Admission = Result<AnswerPermit, AnswerRefusal>;
/// Admissions to be sent to their requests when the lock is released.
type Admissions = Vec<(oneshot::Sender<Admission>, Admission)>;

impl Answers {
    /// No answers yet.
    #[must_use]
    pub fn new(options: AnswerOptions, bounds: Bounds) -> Self {
        Self(Arc::new(Inner { options, bytes: Gauge::default(), bounds, state: Mutex::default() }))
    }

    /// Registers the metric.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Bytes of large answers that are being made or are not written yet";
        registry.register("answer_bytes", help, self.0.bytes.clone());
    }

    /// Waits for the permit of a large answer of this user: a page. A user's requests get permits in the order in which
    /// these futures are polled first.
    ///
    /// # Errors
    /// See [`AnswerRefusal`].
    pub async fn begin(&self, user: UserId) -> Result<AnswerPermit, AnswerRefusal> {
        self.begin_reserving(user, self.reserved_for_page()).await
    }

    /// The same for an answer that no page bounds, such as a welcome: one of a user is made at a time.
    ///
    /// # Errors
    /// See [`AnswerRefusal`].
    pub async fn begin_whole(&self, user: UserId) -> Result<AnswerPermit, AnswerRefusal> {
        self.begin_reserving(user, self.0.options.bytes_per_user).await
    }

    async fn begin_reserving(&self, user: UserId, reserved: u64) -> Result<AnswerPermit, AnswerRefusal> {
        let admission = {
            let mut state = self.lock();
            let of_all = state.bytes;
            let answers = state.users.entry(user).or_default();
            if answers.waiting.is_empty() && self.may_begin(answers, of_all) {
                return self.admit(&mut state, user, reserved);
            }
            if answers.waiting.len() >= ANSWERS_WAITING_MAX {
                // Requests whose clients are gone leave room for others.
                answers.waiting.retain(|waiting| !waiting.sender.is_closed());
            }
            if answers.waiting.len() >= ANSWERS_WAITING_MAX {
                self.0.bounds.record("ANSWERS_WAITING_MAX", ANSWERS_WAITING_MAX as u64);
                return Err(AnswerRefusal::TooManyWaiting);
            }
            let (sender, admission) = oneshot::channel();
            answers.waiting.push_back(Waiting { sender, reserved });
            admission
        };
        admission.await.unwrap_or(Err(AnswerRefusal::Overloaded))
    }

    fn reserved_for_page(&self) -> u64 {
        self.0.options.bytes_per_user / PARALLEL_MAX
    }

    /// Whether a user may begin one more. One that reserves the whole budget needs no more room than a page, so that it
    /// does not wait until all others are read.
    fn may_begin(&self, answers: &UserAnswers, of_all: u64) -> bool {
        let options = &self.0.options;
        let has_room = answers.bytes + self.reserved_for_page() <= options.bytes_per_user;
        answers.bytes == 0 || (has_room && of_all <= options.bytes_max / 2)
    }

    fn admit(&self, state: &mut State, user: UserId, reserved: u64) -> Admission {
        if state.bytes + RESERVED_BYTES > self.0.options.bytes_max {
            self.0.bounds.record("answers.bytes_max", state.bytes);
            self.forget_if_idle(state, user);
            return Err(AnswerRefusal::Overloaded);
        }
        let permit = Permit { answers: self.clone(), user, of_user: AtomicU64::new(0), of_all: AtomicU64::new(0) };
        self.recount(state, &permit, reserved, RESERVED_BYTES);
        Ok(AnswerPermit(Arc::new(permit)))
    }

    /// Changes the bytes that a permit counts.
    fn recount(&self, state: &mut State, permit: &Permit, of_user: u64, of_all: u64) {
        state.bytes = state.bytes - permit.of_all.swap(of_all, Ordering::Relaxed) + of_all;
        let answers = state.users.entry(permit.user).or_default();
        answers.bytes = answers.bytes - permit.of_user.swap(of_user, Ordering::Relaxed) + of_user;
        self.0.bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }

    /// Changes the bytes that a permit counts, and admits waiting requests of its user for which there is room now.
    fn settle(&self, permit: &Permit, of_user: u64, of_all: u64) {
        let mut admissions = Admissions::new();
        let mut state = self.lock();
        self.recount(&mut state, permit, of_user, of_all);
        loop {
            let of_all = state.bytes;
            let Some(answers) = state.users.get_mut(&permit.user) else { break };
            if !self.may_begin(answers, of_all) {
                break;
            }
            let Some(Waiting { sender, reserved }) = answers.waiting.pop_front() else { break };
            if !sender.is_closed() {
                let admission = self.admit(&mut state, permit.user, reserved);
                admissions.push((sender, admission));
            }
        }
        self.forget_if_idle(&mut state, permit.user);
        drop(state);
        for (sender, admission) in admissions {
            // The permit of a request that is gone is dropped here, which settles it.
            let _ = sender.send(admission);
        }
    }

    fn forget_if_idle(&self, state: &mut State, user: UserId) {
        if state.users.get(&user).is_some_and(|answers| answers.bytes == 0 && answers.waiting.is_empty()) {
            state.users.remove(&user);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of one large answer. It ends when its last clone, and the bytes that hold one, are dropped.
#[derive(Clone)]
pub struct AnswerPermit(Arc<Permit>);

struct Permit {
    answers: Answers,
    user: UserId,
    /// The bytes that it counts in its user's budget, and in that of all. Changed under the lock.
    of_user: AtomicU64,
    of_all: AtomicU64,
}

impl AnswerPermit {
    /// [`Self::hold`] for an answer that has a permit only if it may be large.
    #[must_use]
    pub fn hold_if_any(permit: Option<Self>, answer: Bytes) -> Bytes {
        match permit {
            Some(permit) => permit.hold(answer),
            None => answer,
        }
    }

    /// Makes the encoded answer hold the permit, which counts its real size until all of it is written or dropped.
    #[must_use]
    pub fn hold(self, answer: Bytes) -> Bytes {
        if answer.len() < COUNTED_BYTES_MIN {
            return answer;
        }
        let bytes = answer.len() as u64;
        self.0.answers.settle(&self.0, bytes, bytes);
        Bytes::from_owner(HeldAnswer { answer, _permit: self })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.answers.clone().settle(self, 0, 0);
    }
}

impl fmt::Debug for AnswerPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnswerPermit").field(&self.0.user).finish()
    }
}

struct HeldAnswer {
    answer: Bytes,
    _permit: AnswerPermit,
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const AMY: UserId = UserId(7);
    const BOB: UserId = UserId(8);
    const USER_BYTES: u64 = 100_000;

    fn answers(bytes_max: u64) -> Answers {
        Answers::new(AnswerOptions { bytes_max, bytes_per_user: USER_BYTES }, Bounds::default())
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// What `begin` returns without waiting.
    fn begin(answers: &Answers, user: UserId) -> Option<Admission> {
        poll(pin!(answers.begin(user)))
    }

    fn admitted(answers: &Answers, user: UserId) -> AnswerPermit {
        begin(answers, user).unwrap().unwrap()
    }

    fn is_idle(answers: &Answers) -> bool {
        answers.lock().users.is_empty() && answers.0.bytes.get() == 0
    }

    #[test]
    fn four_answers_of_a_user_are_made_at_once_and_others_wait_in_order() {
        let answers = answers(1 << 30);
        let mut permits: Vec<_> = (0..4).map(|_| admitted(&answers, AMY)).collect();
        let (mut fifth, mut sixth) = (pin!(answers.begin(AMY)), pin!(answers.begin(AMY)));
        assert!(poll(fifth.as_mut()).is_none() && poll(sixth.as_mut()).is_none());
        drop(admitted(&answers, BOB));
        permits.pop();
        assert!(poll(sixth.as_mut()).is_none(), "the fifth comes first");
        let fifth = poll(fifth.as_mut()).unwrap().unwrap();
        drop(fifth);
        drop(poll(sixth.as_mut()).unwrap().unwrap());
        permits.clear();
        assert!(is_idle(&answers));
    }

    #[test]
    fn an_encoded_answer_counts_until_its_last_byte_is_dropped() {
        let answers = answers(1 << 30);
        let held = admitted(&answers, AMY).hold(Bytes::from(vec![0; 90_000]));
        assert_eq!((held.len(), answers.0.bytes.get()), (90_000, 90_000));
        assert!(begin(&answers, AMY).is_none(), "10,000 bytes are left, and a quarter of the budget is needed");
        let rest = held.slice(89_999..);
        drop(held);
        assert!(begin(&answers, AMY).is_none(), "a byte is still to be written");
        drop(rest);
        drop(admitted(&answers, AMY));
        assert!(is_idle(&answers));
    }

    #[test]
    fn an_answer_larger_than_the_budget_is_alone() {
        let answers = answers(1 << 30);
        let huge = admitted(&answers, AMY).hold(Bytes::from(vec![0; 300_000]));
        assert!(begin(&answers, AMY).is_none());
        drop(huge);
        drop(admitted(&answers, AMY));
        assert!(is_idle(&answers));
    }

    #[test]
    fn one_answer_of_unknown_size_is_made_at_a_time() {
        let answers = answers(1 << 30);
        let unread = admitted(&answers, AMY).hold(Bytes::from(vec![0; 50_000]));
        let first = poll(pin!(answers.begin_whole(AMY))).unwrap().unwrap();
        let (mut second, mut page) = (pin!(answers.begin_whole(AMY)), pin!(answers.begin(AMY)));
        assert!(poll(second.as_mut()).is_none() && poll(page.as_mut()).is_none());
        let first = first.hold(Bytes::from(vec![0; 20_000]));
        let second = poll(second.as_mut()).expect("beside what is not read").unwrap();
        assert!(poll(page.as_mut()).is_none());
        drop(second);
        drop(poll(page.as_mut()).unwrap().unwrap());
        drop((unread, first));
        assert!(is_idle(&answers));
    }

    #[test]
    fn while_half_of_the_budget_of_all_is_taken_a_user_gets_one_answer_at_a_time() {
        let answers = answers(200_000);
        let others: Vec<_> =
            (10..12).map(|user| admitted(&answers, UserId(user)).hold(Bytes::from(vec![0; 60_000]))).collect();
        let first = admitted(&answers, AMY).hold(Bytes::from(vec![0; 10_000]));
        let mut second = pin!(answers.begin(AMY));
        assert!(poll(second.as_mut()).is_none(), "she holds one");
        drop(admitted(&answers, BOB));
        drop(first);
        drop(poll(second.as_mut()).unwrap().unwrap());
        drop(others);
        assert!(is_idle(&answers));
    }

    #[test]
    fn a_small_answer_is_not_counted_any_longer() {
        let answers = answers(1 << 30);
        let small = admitted(&answers, AMY).hold(Bytes::from(vec![0; COUNTED_BYTES_MIN - 1]));
        assert!(is_idle(&answers));
        drop(small);
    }

    #[test]
    fn beyond_the_budget_of_all_answers_are_refused_until_some_are_written() {
        let answers = answers(2 * RESERVED_BYTES + 10_000);
        let (first, second) = (admitted(&answers, AMY), admitted(&answers, BOB));
        let refused = |user| matches!(begin(&answers, user), Some(Err(AnswerRefusal::Overloaded)));
        assert!(refused(UserId(9)) && refused(UserId(10)));
        assert_eq!(answers.0.bounds.times("answers.bytes_max"), 2);
        let written = first.hold(Bytes::from(vec![0; 10_000]));
        drop(admitted(&answers, UserId(9)));
        drop((second, written));
        assert!(is_idle(&answers));
    }

    #[test]
    fn requests_that_wait_are_bounded_and_one_that_gave_up_is_passed_over() {
        let answers = answers(1 << 30);
        let permits: Vec<_> = (0..4).map(|_| admitted(&answers, AMY)).collect();
        let mut waiting: Vec<_> = (0..ANSWERS_WAITING_MAX).map(|_| Box::pin(answers.begin(AMY))).collect();
        assert!(waiting.iter_mut().all(|request| poll(request.as_mut()).is_none()));
        assert!(matches!(begin(&answers, AMY), Some(Err(AnswerRefusal::TooManyWaiting))));
        assert_eq!(answers.0.bounds.times("ANSWERS_WAITING_MAX"), 1);
        drop(waiting.swap_remove(0));
        let mut next = Box::pin(answers.begin(AMY));
        assert!(poll(next.as_mut()).is_none(), "in the room of one that gave up");
        let mut last = waiting.pop().unwrap();
        drop((waiting, next));
        drop(permits);
        drop(poll(last.as_mut()).unwrap().unwrap());
        assert!(is_idle(&answers));
    }

    #[test]
    fn the_permit_of_a_request_that_is_gone_is_free_again() {
        let answers = answers(1 << 30);
        let mut permits: Vec<_> = (0..4).map(|_| admitted(&answers, AMY)).collect();
        let mut fifth = Box::pin(answers.begin(AMY));
        assert!(poll(fifth.as_mut()).is_none());
        permits.pop();
        drop(fifth);
        drop(admitted(&answers, AMY));
        drop(permits);
        assert!(is_idle(&answers));
    }
}
