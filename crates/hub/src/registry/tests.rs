//! The registry against a small reference model, all interleavings of small cases, and the three scenarios of the first
//! law (docs/internals/regressions.md, H0).

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const LINGER: Duration = Duration::from_secs(5);
const AMY: UserId = UserId(7);

fn now(ms: u64) -> MonotonicMs {
    MonotonicMs(ms)
}

fn attach(registry: &mut Registry, session: u64, accepted: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    registry.attach(AMY, SessionId(session), AcceptOrder(accepted), None, &mut effects);
    effects
}

fn leave(registry: &mut Registry, ms: u64, session: u64, reason: LeaveReason) -> (LeaveOutcome, Vec<Effect>) {
    let mut effects = Vec::new();
    let left = registry.leave(now(ms), AMY, SessionId(session), reason, &mut effects);
    (left, effects)
}

fn tick(registry: &mut Registry, ms: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    registry.tick(now(ms), &mut effects);
    effects
}

fn live(registry: &Registry) -> Vec<u64> {
    registry.sessions_of(AMY).map(|session| session.0).collect()
}

#[test]
fn h0_a_normal_leave() {
    let mut registry = Registry::new(1, LINGER);
    assert_eq!(attach(&mut registry, 1, 1), [Effect::Online(AMY)]);
    assert_eq!(leave(&mut registry, 0, 1, LeaveReason::Clean), (LeaveOutcome::Left, vec![Effect::Offline(AMY)]));
    assert_eq!((registry.sessions(), registry.users_online()), (0, 0));
}

#[test]
fn h0_a_late_leave_of_the_older_connection_keeps_the_newer_one() {
    let mut registry = Registry::new(1, LINGER);
    attach(&mut registry, 1, 1);
    assert_eq!(attach(&mut registry, 2, 2), [Effect::Displaced(SessionId(1))]);
    assert_eq!(leave(&mut registry, 0, 1, LeaveReason::Lost), (LeaveOutcome::Stale, vec![]));
    assert_eq!(leave(&mut registry, 0, 1, LeaveReason::Clean), (LeaveOutcome::Stale, vec![]));
    assert_eq!(live(&registry), [2]);
    assert_eq!(registry.users_online(), 1);
}

#[test]
fn h6_a_session_whose_handshake_was_overtaken_is_itself_displaced() {
    let mut registry = Registry::new(1, LINGER);
    attach(&mut registry, 2, 2);
    assert_eq!(attach(&mut registry, 1, 1), [Effect::Displaced(SessionId(1))]);
    assert_eq!(live(&registry), [2]);
}

#[test]
fn h7_a_refresh_emits_no_edge_and_a_real_absence_does() {
    let mut registry = Registry::new(1, LINGER);
    attach(&mut registry, 1, 1);
    assert_eq!(leave(&mut registry, 0, 1, LeaveReason::Lost), (LeaveOutcome::Left, vec![]));
    assert_eq!(tick(&mut registry, 4_999), []);
    assert_eq!(attach(&mut registry, 2, 2), []);
    assert_eq!(tick(&mut registry, 60_000), []);
    leave(&mut registry, 60_000, 2, LeaveReason::Lost);
    assert_eq!(tick(&mut registry, 65_000), [Effect::Offline(AMY)]);
}

#[test]
fn a_session_of_the_same_device_is_displaced_before_others() {
    let mut registry = Registry::new(2, LINGER);
    let mut effects = Vec::new();
    for (session, device) in [(1, "phone"), (2, "desk")] {
        registry.attach(AMY, SessionId(session), AcceptOrder(session), Some(device), &mut effects);
    }
    effects.clear();
    registry.attach(AMY, SessionId(3), AcceptOrder(3), Some("desk"), &mut effects);
    assert_eq!(effects, [Effect::Displaced(SessionId(2))]);
    assert_eq!(live(&registry), [1, 3]);
    effects.clear();
    // Its handshake took longer: the device has a newer session already.
    registry.attach(AMY, SessionId(4), AcceptOrder(2), Some("desk"), &mut effects);
    assert_eq!(effects, [Effect::Displaced(SessionId(4))]);
}

/// One step of a random run.
#[derive(Clone, Debug)]
enum Step {
    Attach { user: u64, order: u64, device: Option<u8> },
    Leave { pick: usize, reason: LeaveReason },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let device = prop::option::of(0..3_u8);
    prop_oneof![
        3 => (1..4_u64, 0..1_000_000_u64, device).prop_map(|(user, order, device)| Step::Attach { user, order, device }),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(pick, clean)| Step::Leave {
            pick: pick.index(1000),
            reason: if clean { LeaveReason::Clean } else { LeaveReason::Lost },
        }),
        1 => (0..9_000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// The reference: the live sessions as a plain list, and the ends of all lingers.
#[derive(Default)]
struct Model {
    live: Vec<(u64, AcceptOrder, SessionId, Option<u8>)>,
    lingers: HashMap<u64, u64>,
}

impl Model {
    fn attach(&mut self, user: u64, order: AcceptOrder, session: SessionId, device: Option<u8>, most: usize) {
        self.lingers.remove(&user);
        self.live.push((user, order, session, device));
        self.live.sort_by_key(|one| std::cmp::Reverse(one.1));
        let (mut devices, mut count) = (HashSet::new(), 0);
        self.live.retain(|(owner, _, _, device)| {
            let keep = *owner != user || (device.is_none_or(|device| devices.insert(device)) && count < most);
            count += usize::from(*owner == user && keep);
            keep
        });
    }

    fn leave(&mut self, at: u64, session: SessionId, reason: LeaveReason) {
        let Some(place) = self.live.iter().position(|one| one.2 == session) else { return };
        let user = self.live.remove(place).0;
        if reason == LeaveReason::Lost && !self.live.iter().any(|one| one.0 == user) {
            self.lingers.insert(user, at + 5_000);
        }
    }

    fn online(&self) -> HashSet<u64> {
        self.live.iter().map(|one| one.0).chain(self.lingers.keys().copied()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_interleaving_agrees_with_the_reference_model(
        most in 1..4_usize,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut registry = Registry::new(most, LINGER);
        let mut model = Model::default();
        let mut edges: HashSet<u64> = HashSet::new();
        let mut ever: Vec<(u64, SessionId)> = Vec::new();
        let mut gone: HashSet<SessionId> = HashSet::new();
        let (mut at, mut orders) = (0_u64, HashSet::new());
        for (index, step) in steps.into_iter().enumerate() {
            let mut effects = Vec::new();
            match step {
                Step::Attach { user, order, device } => {
                    if !orders.insert(order) {
                        continue;
                    }
                    let session = SessionId(index as u64 + 1);
                    ever.push((user, session));
                    let name = device.map(|device| device.to_string());
                    registry.attach(UserId(user), session, AcceptOrder(order), name.as_deref(), &mut effects);
                    model.attach(user, AcceptOrder(order), session, device, most);
                }
                Step::Leave { pick, reason } => {
                    if ever.is_empty() {
                        continue;
                    }
                    let (user, session) = ever[pick % ever.len()];
                    let was_live = model.live.iter().any(|one| one.2 == session);
                    let left = registry.leave(now(at), UserId(user), session, reason, &mut effects);
                    prop_assert_eq!(left == LeaveOutcome::Left, was_live);
                    if left == LeaveOutcome::Left {
                        prop_assert!(gone.insert(session), "left twice");
                    }
                    model.leave(at, session, reason);
                }
                Step::Wait { ms } => {
                    at += ms;
                    registry.tick(now(at), &mut effects);
                    model.lingers.retain(|_, until| *until > at);
                }
            }
            for effect in effects {
                match effect {
                    Effect::Displaced(session) => prop_assert!(gone.insert(session), "closed twice"),
                    Effect::Online(user) => prop_assert!(edges.insert(user.0), "online twice"),
                    Effect::Offline(user) => prop_assert!(edges.remove(&user.0), "offline twice"),
                }
            }
            // The emitted edges add up to the registry's state, which equals the model's.
            prop_assert_eq!(&edges, &registry.online().map(|user| user.0).collect());
            prop_assert_eq!(&edges, &model.online());
            prop_assert_eq!(registry.sessions(), model.live.len());
            let registered: HashSet<SessionId> =
                (1..4).flat_map(|user| registry.sessions_of(UserId(user)).collect::<Vec<_>>()).collect();
            prop_assert_eq!(registered, model.live.iter().map(|one| one.2).collect());
        }
    }
}

/// Every order of `attach(i)` and `leave(i)` of this many sessions in which no session leaves before it attaches.
fn interleavings(sessions: u64) -> Vec<Vec<(u64, bool)>> {
    fn go(state: &mut Vec<u8>, events: &mut Vec<(u64, bool)>, all: &mut Vec<Vec<(u64, bool)>>) {
        if state.iter().all(|done| *done == 2) {
            all.push(events.clone());
        }
        for index in 0..state.len() {
            if state[index] < 2 {
                events.push((index as u64, state[index] == 0));
                state[index] += 1;
                go(state, events, all);
                state[index] -= 1;
                events.pop();
            }
        }
    }
    let mut all = Vec::new();
    go(&mut vec![0; usize::try_from(sessions).unwrap()], &mut Vec::new(), &mut all);
    all
}

fn permutations(items: u64) -> Vec<Vec<u64>> {
    if items == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(items - 1);
    let places = 0..usize::try_from(items).unwrap();
    places
        .flat_map(|place| {
            shorter.iter().map(move |rest| {
                let mut whole = rest.clone();
                whole.insert(place, items);
                whole
            })
        })
        .collect()
}

#[test]
fn every_interleaving_of_four_sessions_keeps_the_newest_and_closes_none_twice() {
    let mut interleaved = 0;
    for most in 1..=2_usize {
        for orders in permutations(4) {
            for events in interleavings(4) {
                interleaved += 1;
                let mut registry = Registry::new(most, LINGER);
                let (mut here, mut displaced, mut left) = (HashSet::new(), HashSet::new(), HashSet::new());
                for (index, is_attach) in events {
                    let session = index + 1;
                    if is_attach {
                        here.insert(session);
                        for effect in attach(&mut registry, session, orders[usize::try_from(index).unwrap()]) {
                            if let Effect::Displaced(gone) = effect {
                                assert!(displaced.insert(gone.0), "closed twice");
                                assert!(here.remove(&gone.0), "closed a session that was not registered");
                            }
                        }
                    } else {
                        let (how, _) = leave(&mut registry, 0, session, LeaveReason::Clean);
                        assert_eq!(how == LeaveOutcome::Left, here.remove(&session));
                        left.insert(session);
                    }
                    let registered = live(&registry);
                    let once: HashSet<u64> = registered.iter().copied().collect();
                    assert_eq!(registered.len(), once.len(), "registered twice");
                    assert_eq!(once, here);
                    assert!(registered.len() <= most);
                    // No older session displaced a newer one.
                    let order_of = |session: &u64| orders[usize::try_from(*session - 1).unwrap()];
                    assert!(registered.is_sorted_by_key(order_of));
                }
                assert_eq!((registry.sessions(), registry.users_online()), (0, 0));
            }
        }
    }
    // 2 bounds × 4! orders of acceptance × 8! / 2⁴ interleavings.
    assert_eq!(interleaved, 2 * 24 * 2520);
}
