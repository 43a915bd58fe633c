//! Places: a connection needs one to be open, and a listener has a bounded number. A connection that must give way is
//! notified and closes itself; `ledger.rs` decides which one must.

mod ledger;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use teahouse_hub::Bounds;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub(crate) use ledger::PlaceRules;
use ledger::{Admission, Ledger, PlaceBound, Ticket};

use crate::ip_prefix::IpPrefix;

/// The names of the bounds, for the operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoundNames {
    /// Of all places.
    pub places: &'static str,
    /// Of connections that are not authenticated.
    pub unauthenticated: &'static str,
    /// Of those of one prefix.
    pub per_prefix: &'static str,
}

/// The places of a listener.
pub(crate) struct Places {
    rules: PlaceRules,
    names: BoundNames,
    bounds: Bounds,
    permits: Arc<Semaphore>,
    /// Held for one decision.
    ledger: Mutex<Ledger<Held>>,
}

/// What an idle connection leaves in the ledger.
struct Held {
    permit: OwnedSemaphorePermit,
    give_way: Arc<Notify>,
}

impl Places {
    /// Places by these rules; what reaches a bound is reported.
    #[must_use]
    pub(crate) fn new(rules: PlaceRules, names: BoundNames, bounds: Bounds) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(rules.places));
        Arc::new(Self { rules, names, bounds, permits, ledger: Mutex::new(Ledger::new(rules)) })
    }

    /// A place for a new connection of this prefix, or of a proxy. It is idle until it is marked busy. `None` when there
    /// is no place.
    #[must_use]
    pub(crate) fn admit(self: &Arc<Self>, prefix: Option<IpPrefix>) -> Option<Place> {
        let mut state = PlaceState { counted: prefix, ..PlaceState::default() };
        let give_way = OnceLock::new();
        let mut ledger = self.lock();
        // Only the accept loop takes permits, so that a free one stays free until it is taken here.
        let taken = self.taken();
        let (permit, reached) = match ledger.admit(prefix, taken) {
            Admission::Free => (Arc::clone(&self.permits).try_acquire_owned().ok(), None),
            Admission::InPlaceOf(held, bound) => {
                held.give_way.notify_one();
                (Some(held.permit), Some(bound))
            }
            Admission::Refused(bound) => (None, Some(bound)),
        };
        // As far as the server knows, it has sent nothing yet.
        match (permit, prefix) {
            (Some(permit), Some(_)) => {
                let held = Held { permit, give_way: Arc::clone(give_way.get_or_init(Arc::default)) };
                state.ticket = Some(ledger.mark_idle(prefix, false, held));
            }
            (permit, _) => state.permit = permit,
        }
        drop(ledger);
        if let Some(bound) = reached {
            self.record(bound, taken);
        }
        let is_admitted = state.permit.is_some() || state.ticket.is_some();
        is_admitted.then(|| Place { places: Arc::clone(self), peer: prefix, give_way, state: Mutex::new(state) })
    }

    fn record(&self, bound: PlaceBound, taken: usize) {
        let name = match bound {
            PlaceBound::Places => self.names.places,
            PlaceBound::Unauthenticated => self.names.unauthenticated,
            PlaceBound::PerPrefix => self.names.per_prefix,
        };
        self.bounds.record(name, taken as u64);
    }

    fn taken(&self) -> usize {
        self.rules.places.saturating_sub(self.permits.available_permits())
    }

    fn lock(&self) -> MutexGuard<'_, Ledger<Held>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection, in the extensions of its requests. Dropping it frees the place.
pub(crate) struct Place {
    places: Arc<Places>,
    /// The prefix of the peer; `None` for a proxy, which never gives way.
    peer: Option<IpPrefix>,
    /// Notified when the connection must give way.
    give_way: OnceLock<Arc<Notify>>,
    /// Locked before the ledger, never the other way round.
    state: Mutex<PlaceState>,
}

#[derive(Default)]
struct PlaceState {
    /// `None` while the connection is idle, and after it gave its place away or handed the permit to a session.
    permit: Option<OwnedSemaphorePermit>,
    ticket: Option<Ticket>,
    /// The prefix that the connection counts against now; `None` while it is authenticated.
    counted: Option<IpPrefix>,
    /// Whether the last request that was answered, or the current one, was authenticated.
    authenticated: bool,
    /// Whether the current request is.
    request_authenticated: bool,
}

impl Place {
    /// Notes that the connection is idle: from now on it may have to give way.
    pub(crate) fn mark_idle(&self) {
        if self.peer.is_none() {
            return;
        }
        let mut state = self.lock();
        if state.ticket.is_some() {
            return;
        }
        let Some(permit) = state.permit.take() else { return };
        let held = Held { permit, give_way: Arc::clone(self.give_way()) };
        state.ticket = Some(self.places.lock().mark_idle(state.counted, state.authenticated, held));
    }

    /// Notes that the connection is no longer idle. Returns whether it still has its place.
    #[must_use]
    pub(crate) fn mark_busy(&self) -> bool {
        let mut state = self.lock();
        if let Some(ticket) = state.ticket.take() {
            match self.places.lock().mark_busy(ticket) {
                Some(held) => state.permit = Some(held.permit),
                None => state.counted = None,
            }
        }
        state.permit.is_some()
    }

    /// The prefix of the peer; none of a proxy.
    #[must_use]
    pub(crate) fn peer(&self) -> Option<IpPrefix> {
        self.peer
    }

    /// Waits until the connection must give way, and close.
    pub(crate) async fn wait_to_give_way(&self) {
        match self.peer {
            Some(_) => self.give_way().notified().await,
            None => std::future::pending().await,
        }
    }

    /// Begins a request, and returns whether the connection still has its place.
    #[must_use]
    pub(crate) fn begin_request(&self) -> bool {
        let has_place = self.mark_busy();
        self.lock().request_authenticated = false;
        has_place
    }

    /// Notes that the current request is authenticated: it counts against no prefix.
    pub(crate) fn authenticate(&self) {
        let mut state = self.lock();
        (state.authenticated, state.request_authenticated) = (true, true);
        if let Some(prefix) = state.counted.take() {
            self.places.lock().uncount(prefix);
        }
    }

    /// Counts the current request against the client that a proxy names. Returns whether the client may go on.
    #[must_use]
    pub(crate) fn count_client(&self, client: IpPrefix) -> bool {
        let mut state = self.lock();
        if self.peer.is_some() || state.counted.is_some() {
            return true;
        }
        // Without this connection, as for a client without a proxy.
        let taken = self.places.taken().saturating_sub(1);
        let admitted = self.places.lock().admit_client(client, taken);
        if admitted {
            state.counted = Some(client);
        } else {
            self.places.record(PlaceBound::PerPrefix, taken);
        }
        admitted
    }

    /// Ends a request. The connection is as authenticated as its last request was.
    pub(crate) fn end_request(&self) {
        let mut state = self.lock();
        state.authenticated = state.request_authenticated;
        let counted = self.peer.filter(|_| !state.authenticated);
        if state.counted != counted {
            let mut ledger = self.places.lock();
            if let Some(prefix) = state.counted {
                ledger.uncount(prefix);
            }
            if let Some(prefix) = counted {
                ledger.count(prefix);
            }
            state.counted = counted;
        }
    }

    /// Takes the permit, for a session that outlives the HTTP connection.
    #[must_use]
    pub(crate) fn take_permit(&self) -> Option<OwnedSemaphorePermit> {
        // An idle connection's permit is in the ledger.
        let _ = self.mark_busy();
        self.authenticate();
        self.lock().permit.take()
    }

    fn give_way(&self) -> &Arc<Notify> {
        self.give_way.get_or_init(Arc::default)
    }

    fn lock(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.mark_busy();
        let counted = self.lock().counted.take();
        if let Some(prefix) = counted {
            self.places.lock().uncount(prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(places: usize) -> Arc<Places> {
        let rules = PlaceRules { places, unauthenticated_max: places, per_prefix_max: places };
        let names = BoundNames { places: "places", unauthenticated: "unauthenticated", per_prefix: "per_prefix" };
        Places::new(rules, names, Bounds::default())
    }

    fn prefix(last: u8) -> Option<IpPrefix> {
        Some(IpPrefix::of([192, 0, 2, last].into()))
    }

    #[tokio::test]
    async fn a_connection_that_gave_way_is_notified_and_its_place_is_taken_once() {
        let places = places(1);
        let first = places.admit(prefix(1)).unwrap();
        assert!(first.mark_busy());
        assert!(places.admit(prefix(2)).is_none(), "it is not idle");
        first.mark_idle();
        first.mark_idle();
        let second = places.admit(prefix(2)).unwrap();
        assert!(second.mark_busy());
        first.wait_to_give_way().await;
        assert!(!first.mark_busy() && !first.begin_request());
        first.mark_idle();
        assert!(places.admit(prefix(3)).is_none());
        drop(first);
        assert!(places.admit(prefix(3)).is_none(), "the second has the place");
        drop(second);
        let third = places.admit(prefix(3)).unwrap();
        assert_eq!(places.bounds.times("unauthenticated"), 4);
        drop(third);
        assert_eq!(places.permits.available_permits(), 1);
    }

    #[test]
    fn a_session_is_counted_also_when_its_connection_was_idle() {
        let places = places(1);
        let place = places.admit(prefix(1)).unwrap();
        assert!(place.begin_request());
        place.mark_idle();
        let permit = place.take_permit();
        assert!(permit.is_some());
        drop(place);
        assert!(places.admit(prefix(2)).is_none(), "the session has the place");
    }

    #[test]
    fn an_authenticated_request_counts_for_nobody_until_the_next_that_is_not() {
        let places = places(4);
        let newcomer = || places.admit(prefix(1)).is_some();
        let all: Vec<_> = (0..4).map(|_| places.admit(prefix(1)).unwrap()).collect();
        for place in &all {
            assert!(place.begin_request());
            place.authenticate();
            place.end_request();
            place.mark_idle();
        }
        assert!(all[0].begin_request(), "a connection without a token is preferred to give way, and there is none");
        all[0].end_request();
        all[0].mark_idle();
        assert!(newcomer());
        assert_eq!(all.iter().map(|place| place.mark_busy()).collect::<Vec<_>>(), [false, true, true, true]);
        let permit = all[1].take_permit();
        drop(all);
        assert_eq!(places.permits.available_permits(), 3, "a session keeps its permit");
        drop(permit);
    }

    #[test]
    fn a_proxy_never_gives_way_and_its_requests_count_for_their_clients() {
        let rules = PlaceRules { places: 4, unauthenticated_max: 4, per_prefix_max: 1 };
        let names = BoundNames { places: "places", unauthenticated: "unauthenticated", per_prefix: "per_prefix" };
        let places = Places::new(rules, names, Bounds::default());
        let all: Vec<_> = (0..4).map(|_| places.admit(None).unwrap()).collect();
        for place in &all {
            place.mark_idle();
        }
        assert!(places.admit(None).is_none());
        let client = prefix(1).unwrap();
        assert!(all[0].begin_request() && all[0].count_client(client));
        assert!(all[1].begin_request() && !all[1].count_client(client));
        assert!(all[1].count_client(prefix(2).unwrap()));
        all[0].authenticate();
        assert!(all[2].begin_request() && all[2].count_client(client));
        for place in &all {
            place.end_request();
        }
        assert!(all[3].begin_request() && all[3].count_client(client));
    }
}
