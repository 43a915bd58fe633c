//! Decides which connections of a listener stay when there are many: which one gives its place to a new connection, and
//! which one is refused. Pure: it knows no socket and no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ip_prefix::IpPrefix;

/// The bounds of a listener's places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceRules {
    /// All places.
    pub places: usize,
    /// Connections that are not authenticated, in all.
    pub unauthenticated_max: usize,
    /// The same of one prefix. It applies while three quarters of all places are taken.
    pub per_prefix_max: usize,
}

/// The bound that a new connection reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PlaceBound {
    Places,
    Unauthenticated,
    PerPrefix,
}

/// Whether a new connection is admitted.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Admission<P> {
    /// A free place.
    Free,
    /// The place of the oldest idle connection, which must close.
    InPlaceOf(P, PlaceBound),
    /// No place: no connection that could give way is idle.
    Refused(PlaceBound),
}

/// An idle connection. Tickets are ordered as connections give way: those that are not authenticated first, and of
/// these the one that has been idle for the longest time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ticket {
    authenticated: bool,
    number: u64,
}

#[derive(Debug)]
struct Idle<P> {
    counted: Option<IpPrefix>,
    permit: P,
}

#[derive(Default, Debug)]
struct PrefixUse {
    connections: usize,
    idle: BTreeSet<Ticket>,
}

/// The connections of a listener that are not authenticated or idle. `P` is the permit that an idle connection leaves
/// here.
#[derive(Debug)]
pub(super) struct Ledger<P> {
    rules: PlaceRules,
    unauthenticated: usize,
    prefixes: HashMap<IpPrefix, PrefixUse>,
    idle: BTreeMap<Ticket, Idle<P>>,
    next_number: u64,
}

impl<P> Ledger<P> {
    pub(super) fn new(rules: PlaceRules) -> Self {
        Self { rules, unauthenticated: 0, prefixes: HashMap::new(), idle: BTreeMap::new(), next_number: 0 }
    }

    /// Admits a new connection while `taken` places are taken, and counts it against its prefix; a proxy has none.
    pub(super) fn admit(&mut self, prefix: Option<IpPrefix>, taken: usize) -> Admission<P> {
        let admission = self.find_place(prefix, taken);
        if let (Some(prefix), Admission::Free | Admission::InPlaceOf(..)) = (prefix, &admission) {
            self.count(prefix);
        }
        admission
    }

    fn find_place(&mut self, prefix: Option<IpPrefix>, taken: usize) -> Admission<P> {
        let (oldest, bound) = match prefix {
            Some(prefix) if self.has_used_its_share(prefix, taken) => {
                let idle = self.prefixes.get(&prefix).and_then(|prefix| prefix.idle.first().copied());
                (idle, PlaceBound::PerPrefix)
            }
            Some(_) if self.unauthenticated >= self.rules.unauthenticated_max => {
                let idle = self.idle.keys().next().copied().filter(|ticket| !ticket.authenticated);
                (idle, PlaceBound::Unauthenticated)
            }
            _ if taken >= self.rules.places => (self.idle.keys().next().copied(), PlaceBound::Places),
            _ => return Admission::Free,
        };
        match oldest.and_then(|ticket| self.evict(ticket)) {
            Some(permit) => Admission::InPlaceOf(permit, bound),
            None => Admission::Refused(bound),
        }
    }

    fn has_used_its_share(&self, prefix: IpPrefix, taken: usize) -> bool {
        let is_scarce = taken >= self.rules.places - self.rules.places / 4;
        is_scarce && self.prefixes.get(&prefix).is_some_and(|prefix| prefix.connections >= self.rules.per_prefix_max)
    }

    /// Counts a client of a proxy, unless its prefix has used its share.
    pub(super) fn admit_client(&mut self, prefix: IpPrefix, taken: usize) -> bool {
        let admitted = !self.has_used_its_share(prefix, taken);
        if admitted {
            self.count(prefix);
        }
        admitted
    }

    /// Counts a connection that is not authenticated.
    pub(super) fn count(&mut self, prefix: IpPrefix) {
        self.unauthenticated += 1;
        self.prefixes.entry(prefix).or_default().connections += 1;
    }

    /// Ends that.
    pub(super) fn uncount(&mut self, prefix: IpPrefix) {
        self.unauthenticated -= 1;
        if let Some(found) = self.prefixes.get_mut(&prefix) {
            found.connections -= 1;
            if found.connections == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }

    /// Notes that a connection is idle.
    pub(super) fn mark_idle(&mut self, counted: Option<IpPrefix>, authenticated: bool, permit: P) -> Ticket {
        let ticket = Ticket { authenticated, number: self.next_number };
        self.next_number += 1;
        if let Some(prefix) = counted {
            self.prefixes.entry(prefix).or_default().idle.insert(ticket);
        }
        self.idle.insert(ticket, Idle { counted, permit });
        ticket
    }

    /// Notes that a connection is no longer idle. `None` when it gave its place away; then it is not counted either.
    pub(super) fn mark_busy(&mut self, ticket: Ticket) -> Option<P> {
        let Idle { counted, permit } = self.idle.remove(&ticket)?;
        if let Some(prefix) = counted.and_then(|prefix| self.prefixes.get_mut(&prefix)) {
            prefix.idle.remove(&ticket);
        }
        Some(permit)
    }

    fn evict(&mut self, ticket: Ticket) -> Option<P> {
        let counted = self.idle.get(&ticket)?.counted;
        let permit = self.mark_busy(ticket);
        if let Some(prefix) = counted {
            self.uncount(prefix);
        }
        permit
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn prefix(last: u8) -> IpPrefix {
        IpPrefix::of([192, 0, 2, last].into())
    }

    fn ledger(places: usize, unauthenticated_max: usize, per_prefix_max: usize) -> Ledger<u32> {
        Ledger::new(PlaceRules { places, unauthenticated_max, per_prefix_max })
    }

    #[test]
    fn the_oldest_idle_connection_that_is_not_authenticated_gives_way_first() {
        let mut ledger = ledger(4, 4, 4);
        for number in 1..=4 {
            assert_eq!(ledger.admit(Some(prefix(number)), usize::from(number - 1)), Admission::Free);
        }
        assert_eq!(ledger.admit(Some(prefix(5)), 4), Admission::Refused(PlaceBound::Unauthenticated));
        ledger.uncount(prefix(1));
        ledger.mark_idle(None, true, 1);
        let second = ledger.mark_idle(Some(prefix(2)), false, 2);
        ledger.mark_idle(Some(prefix(3)), false, 3);
        assert_eq!(ledger.mark_busy(second), Some(2));
        ledger.mark_idle(Some(prefix(2)), false, 2);
        for expect in [3, 2, 1] {
            let admission = ledger.admit(None, 4);
            assert_eq!(admission, Admission::InPlaceOf(expect, PlaceBound::Places));
        }
        assert_eq!(ledger.admit(None, 4), Admission::Refused(PlaceBound::Places));
        assert_eq!(ledger.unauthenticated, 1);
    }

    #[test]
    fn the_share_of_a_prefix_counts_while_places_are_scarce() {
        let mut ledger = ledger(16, 16, 4);
        for taken in 0..12 {
            assert_eq!(ledger.admit(Some(prefix(1)), taken), Admission::Free);
        }
        assert_eq!(ledger.admit(Some(prefix(1)), 12), Admission::Refused(PlaceBound::PerPrefix));
        assert!(!ledger.admit_client(prefix(1), 12) && ledger.admit_client(prefix(2), 12));
        ledger.mark_idle(Some(prefix(1)), false, 7);
        assert_eq!(ledger.admit(Some(prefix(2)), 13), Admission::Free, "nobody gives way to another's share");
        assert_eq!(ledger.admit(Some(prefix(1)), 14), Admission::InPlaceOf(7, PlaceBound::PerPrefix));
        assert_eq!(ledger.admit(None, 14), Admission::Free, "a proxy has no share");
        assert_eq!(ledger.admit(Some(prefix(1)), 11), Admission::Free, "there are enough places again");
    }

    #[test]
    fn those_who_are_not_authenticated_are_bounded_in_all() {
        let mut ledger = ledger(8, 2, 8);
        assert_eq!(ledger.admit(Some(prefix(1)), 0), Admission::Free);
        ledger.mark_idle(None, true, 9);
        assert_eq!(ledger.admit(Some(prefix(2)), 1), Admission::Free);
        assert_eq!(ledger.admit(Some(prefix(3)), 2), Admission::Refused(PlaceBound::Unauthenticated));
        assert_eq!(ledger.admit(None, 2), Admission::Free);
        ledger.mark_idle(Some(prefix(2)), false, 2);
        assert_eq!(ledger.admit(Some(prefix(3)), 3), Admission::InPlaceOf(2, PlaceBound::Unauthenticated));
    }

    /// A connection of the model.
    #[derive(Clone, Copy)]
    struct Connection {
        counted: Option<IpPrefix>,
        ticket: Option<Ticket>,
    }

    proptest! {
        /// Against a model that remembers every connection and looks at all of them.
        #[test]
        fn any_sequence_agrees_with_a_model(steps in prop::collection::vec((0_u8..6, 0_u8..5, 0_usize..12), 1..300)) {
            let rules = PlaceRules { places: 10, unauthenticated_max: 8, per_prefix_max: 3 };
            let mut ledger = Ledger::new(rules);
            let mut open: BTreeMap<u32, Connection> = BTreeMap::new();
            let mut next = 0;
            for (what, who, which) in steps {
                let prefix = (who > 0).then(|| prefix(who));
                let chosen = open.keys().copied().nth(which % open.len().max(1));
                match (what, chosen) {
                    (0..=2, _) => {
                        let taken = open.len();
                        let count = |prefix: Option<IpPrefix>| open.values().filter(|one| one.counted == prefix).count();
                        let unauthenticated = open.values().filter(|one| one.counted.is_some()).count();
                        let may_give_way = |is_so: &dyn Fn(&Connection) -> bool| {
                            open.iter().filter(|(_, one)| is_so(one)).filter_map(|(id, one)| Some((one.ticket?, *id))).min()
                        };
                        let expect = if prefix.is_some() && taken >= 8 && count(prefix) >= 3 {
                            Some((may_give_way(&|one| one.counted == prefix), PlaceBound::PerPrefix))
                        } else if prefix.is_some() && unauthenticated >= 8 {
                            Some((may_give_way(&|one| one.counted.is_some()), PlaceBound::Unauthenticated))
                        } else if taken >= 10 {
                            Some((may_give_way(&|_| true), PlaceBound::Places))
                        } else {
                            None
                        };
                        let expect = match expect {
                            None => Admission::Free,
                            Some((Some((_, id)), bound)) => Admission::InPlaceOf(id, bound),
                            Some((None, bound)) => Admission::Refused(bound),
                        };
                        let admission = ledger.admit(prefix, taken);
                        prop_assert_eq!(&admission, &expect);
                        if let Admission::InPlaceOf(id, _) = admission {
                            let gone = open.remove(&id).and_then(|one| one.ticket);
                            prop_assert_eq!(gone.and_then(|ticket| ledger.mark_busy(ticket)), None);
                        }
                        if !matches!(admission, Admission::Refused(_)) {
                            open.insert(next, Connection { counted: prefix, ticket: None });
                            next += 1;
                        }
                    }
                    (3, Some(id)) => {
                        let one = open.get_mut(&id).unwrap();
                        match one.ticket.take() {
                            Some(ticket) => prop_assert_eq!(ledger.mark_busy(ticket), Some(id)),
                            None => one.ticket = Some(ledger.mark_idle(one.counted, one.counted.is_none(), id)),
                        }
                    }
                    (4, Some(id)) if open[&id].ticket.is_none() => {
                        let one = open.get_mut(&id).unwrap();
                        if let Some(prefix) = one.counted.take() {
                            ledger.uncount(prefix);
                        }
                    }
                    (5, Some(id)) => {
                        let Connection { counted, ticket } = open.remove(&id).unwrap();
                        if let Some(ticket) = ticket {
                            prop_assert_eq!(ledger.mark_busy(ticket), Some(id));
                        }
                        if let Some(prefix) = counted {
                            ledger.uncount(prefix);
                        }
                    }
                    _ => {}
                }
                prop_assert!(open.len() <= 10);
                prop_assert_eq!(ledger.unauthenticated, open.values().filter(|one| one.counted.is_some()).count());
                prop_assert_eq!(ledger.idle.len(), open.values().filter(|one| one.ticket.is_some()).count());
                let counted: std::collections::HashSet<_> = open.values().filter_map(|one| one.counted).collect();
                prop_assert_eq!(ledger.prefixes.len(), counted.len());
            }
        }
    }
}
