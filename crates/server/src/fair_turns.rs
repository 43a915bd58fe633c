//! A few turns that many requesters want. While all are taken, the keys of those who wait take turns, so that a key with
//! many requests delays no other key.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::fair_queue::{FairQueue, QueueBound};

/// The turns. Each has a resource, which its holder uses alone.
pub(crate) struct FairTurns<K: Copy + Hash + Eq, R> {
    state: Mutex<State<K, R>>,
}

struct State<K: Copy + Hash + Eq, R> {
    /// The resources of turns that nobody has. None while somebody waits.
    free: Vec<R>,
    queue: FairQueue<K, oneshot::Sender<Turn<K, R>>>,
}

/// A turn. Its end lets the next one begin.
pub(crate) struct Turn<K: Copy + Hash + Eq, R> {
    turns: Arc<FairTurns<K, R>>,
    /// None only while the turn is passed on.
    pub resource: Option<R>,
}

impl<K: Copy + Hash + Eq, R> Drop for Turn<K, R> {
    fn drop(&mut self) {
        if let Some(resource) = self.resource.take() {
            self.turns.pass_on(resource);
        }
    }
}

/// No turn: too many wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many wait for a turn")]
pub(crate) struct NoTurn;

/// A place in the queue. Leaving it makes room.
struct Waiting<'a, K: Copy + Hash + Eq, R> {
    turns: &'a FairTurns<K, R>,
    key: K,
    turn: oneshot::Receiver<Turn<K, R>>,
}

impl<K: Copy + Hash + Eq, R> Drop for Waiting<'_, K, R> {
    fn drop(&mut self) {
        self.turn.close();
        self.turns.lock().queue.remove(self.key, oneshot::Sender::is_closed);
    }
}

impl<K: Copy + Hash + Eq, R> FairTurns<K, R> {
    /// Turns with these resources, and a queue with these bounds.
    #[must_use]
    pub(crate) fn new(free: Vec<R>, waiting_max: usize, per_key_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free, queue: FairQueue::new(waiting_max, per_key_max) }) })
    }

    /// The next turn of this key. `on_bound` learns of a bound that was reached, and how many waited.
    ///
    /// # Errors
    /// Too many wait, or a key that has clearly fewer waiting took the place in the queue.
    pub(crate) async fn take(
        self: &Arc<Self>,
        key: K,
        on_bound: impl FnOnce(QueueBound, u64),
    ) -> Result<Turn<K, R>, NoTurn> {
        let receiver = {
            let mut state = self.lock();
            if let Some(resource) = state.free.pop() {
                return Ok(Turn { turns: Arc::clone(self), resource: Some(resource) });
            }
            let (sender, receiver) = oneshot::channel();
            let waiting = state.queue.len() as u64;
            // The sender of a displaced request is dropped, which tells it.
            match state.queue.push(key, sender) {
                Ok(None) => {}
                Ok(Some(_)) => on_bound(QueueBound::All, waiting),
                Err(bound) => on_bound(bound, waiting),
            }
            receiver
        };
        let mut waiting = Waiting { turns: self, key, turn: receiver };
        (&mut waiting.turn).await.map_err(|_| NoTurn)
    }

    /// Gives a turn's resource to the next request that still waits.
    fn pass_on(self: &Arc<Self>, mut resource: R) {
        loop {
            let next = {
                let mut state = self.lock();
                let Some(next) = state.queue.pop() else {
                    state.free.push(resource);
                    return;
                };
                next
            };
            match next.send(Turn { turns: Arc::clone(self), resource: Some(resource) }) {
                Ok(()) => return,
                Err(mut refused) => match refused.resource.take() {
                    Some(back) => resource = back,
                    None => return,
                },
            }
        }
    }

    /// Looks at the resources of turns that nobody has.
    #[cfg(test)]
    pub(crate) fn look_at_free<T>(&self, look: impl FnOnce(&[R]) -> T) -> T {
        look(&self.lock().free)
    }

    fn lock(&self) -> MutexGuard<'_, State<K, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Taking<'a> = Pin<Box<dyn Future<Output = Result<Turn<char, ()>, NoTurn>> + 'a>>;

    fn poll(taking: &mut Taking<'_>) -> Option<Result<Turn<char, ()>, NoTurn>> {
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_for_many_delays_nobody_else_and_who_gave_up_is_passed_over() {
        let turns = FairTurns::new(vec![()], usize::MAX, usize::MAX);
        let take = |key| Box::pin(turns.take(key, |_, _| ())) as Taking<'_>;
        let first = poll(&mut take('a')).unwrap().unwrap();
        let mut flood: Vec<_> = (0..100).map(|_| take('a')).collect();
        assert!(flood.iter_mut().all(|one| poll(one).is_none()));
        let mut newcomer = take('b');
        assert!(poll(&mut newcomer).is_none());
        drop(flood.swap_remove(0));
        drop(first);
        let second = flood.iter_mut().find_map(poll).unwrap().unwrap();
        drop(second);
        let third = poll(&mut newcomer).expect("the turn after one of the flood").unwrap();
        drop(newcomer);
        drop((third, flood));
        assert!(poll(&mut take('c')).is_some(), "nothing is lost");
    }
}
