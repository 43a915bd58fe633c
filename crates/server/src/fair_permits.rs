//! A few permits that many requests want. While all are held, the keys of the waiting requests take turns, so that a key
//! with many requests delays no other key.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::fair_queue::{FairQueue, QueueBound};

/// The permits. Each has a resource, which its holder uses alone.
pub(crate) struct FairPermits<K: Copy + Hash + Eq, R> {
    state: Mutex<State<K, R>>,
}

struct State<K: Copy + Hash + Eq, R> {
    /// The resources of permits that nobody holds. Empty while a request waits.
    free: Vec<R>,
    queue: FairQueue<K, oneshot::Sender<FairPermit<K, R>>>,
}

/// A permit. When it is dropped, the next waiting request gets its resource.
pub(crate) struct FairPermit<K: Copy + Hash + Eq, R> {
    permits: Arc<FairPermits<K, R>>,
    /// `None` only while the permit is released.
    pub resource: Option<R>,
}

impl<K: Copy + Hash + Eq, R> Drop for FairPermit<K, R> {
    fn drop(&mut self) {
        if let Some(resource) = self.resource.take() {
            self.permits.release(resource);
        }
    }
}

/// Too many requests wait for a permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many requests wait for a permit")]
pub(crate) struct NoPermit;

/// A request in the queue. When it is dropped, it leaves the queue.
struct Waiting<'a, K: Copy + Hash + Eq, R> {
    permits: &'a FairPermits<K, R>,
    key: K,
    permit: oneshot::Receiver<FairPermit<K, R>>,
}

impl<K: Copy + Hash + Eq, R> Drop for Waiting<'_, K, R> {
    fn drop(&mut self) {
        self.permit.close();
        self.permits.lock().queue.remove(self.key, oneshot::Sender::is_closed);
    }
}

impl<K: Copy + Hash + Eq, R> FairPermits<K, R> {
    /// Permits with these resources, and a queue with these bounds.
    #[must_use]
    pub(crate) fn new(free: Vec<R>, waiting_max: usize, per_key_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free, queue: FairQueue::new(waiting_max, per_key_max) }) })
    }

    /// The next permit for this key. `on_bound` learns of a bound that was reached, and how many requests waited.
    ///
    /// # Errors
    /// Too many requests wait, or the request of a key with clearly fewer of them displaced this one.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        key: K,
        on_bound: impl FnOnce(QueueBound, u64),
    ) -> Result<FairPermit<K, R>, NoPermit> {
        let receiver = {
            let mut state = self.lock();
            if let Some(resource) = state.free.pop() {
                return Ok(FairPermit { permits: Arc::clone(self), resource: Some(resource) });
            }
            let (sender, receiver) = oneshot::channel();
            let waiting = state.queue.len() as u64;
            // The sender of a displaced request is dropped here, so that its receiver fails.
            match state.queue.push(key, sender) {
                Ok(None) => {}
                Ok(Some(_)) => on_bound(QueueBound::All, waiting),
                Err(bound) => on_bound(bound, waiting),
            }
            receiver
        };
        let mut waiting = Waiting { permits: self, key, permit: receiver };
        (&mut waiting.permit).await.map_err(|_| NoPermit)
    }

    /// Gives the resource of a permit to the next request that still waits.
    fn release(self: &Arc<Self>, mut resource: R) {
        loop {
            let next = {
                let mut state = self.lock();
                let Some(next) = state.queue.pop() else {
                    state.free.push(resource);
                    return;
                };
                next
            };
            match next.send(FairPermit { permits: Arc::clone(self), resource: Some(resource) }) {
                Ok(()) => return,
                Err(mut refused) => match refused.resource.take() {
                    Some(back) => resource = back,
                    None => return,
                },
            }
        }
    }

    /// Looks at the resources of permits that nobody holds.
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

    type Taking<'a> = Pin<Box<dyn Future<Output = Result<FairPermit<char, ()>, NoPermit>> + 'a>>;

    fn poll(taking: &mut Taking<'_>) -> Option<Result<FairPermit<char, ()>, NoPermit>> {
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_key_with_many_requests_delays_no_other_and_abandoned_ones_are_passed_over() {
        let permits = FairPermits::new(vec![()], usize::MAX, usize::MAX);
        let take = |key| Box::pin(permits.acquire(key, |_, _| ())) as Taking<'_>;
        let first = poll(&mut take('a')).unwrap().unwrap();
        let mut flood: Vec<_> = (0..100).map(|_| take('a')).collect();
        assert!(flood.iter_mut().all(|one| poll(one).is_none()));
        let mut newcomer = take('b');
        assert!(poll(&mut newcomer).is_none());
        drop(flood.swap_remove(0));
        drop(first);
        let second = flood.iter_mut().find_map(poll).unwrap().unwrap();
        drop(second);
        let third = poll(&mut newcomer).expect("the permit after one of the flood").unwrap();
        drop(newcomer);
        drop((third, flood));
        assert!(poll(&mut take('c')).is_some(), "nothing is lost");
    }
}
