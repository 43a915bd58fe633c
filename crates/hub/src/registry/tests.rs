//! The registry against a small reference model, all interleavings of small cases, and the three scenarios of the first
//! law (docs/internals/regressions.md, H0). All of it plays classic, named and unnamed devices together.

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
    registry.attach(AMY, SessionId(session), AcceptOrder(accepted), Device::Unnamed, &mut effects);
    effects
}

fn attach_on(registry: &mut Registry, device: Device, session: u64, accepted: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    registry.attach(AMY, SessionId(session), AcceptOrder(accepted), device, &mut effects);
    effects
}

fn named(name: &str) -> Device {
    Device::Named(name.into())
}

fn displaced(session: u64) -> [Effect; 1] {
    [Effect::Displaced(SessionId(session))]
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
fn of_one_device_the_newest_session_stays_and_other_devices_stay_too() {
    for device in [Device::Classic, named("desk")] {
        let mut registry = Registry::new(3, LINGER);
        attach_on(&mut registry, named("phone"), 1, 1);
        attach_on(&mut registry, device.clone(), 2, 2);
        attach(&mut registry, 3, 3);
        assert_eq!(attach_on(&mut registry, device.clone(), 4, 5), displaced(2));
        assert_eq!(live(&registry), [1, 3, 4]);
        // Its handshake took longer: the device has a newer session already.
        assert_eq!(attach_on(&mut registry, device, 5, 4), displaced(5));
        assert_eq!(live(&registry), [1, 3, 4]);
    }
}

#[test]
fn a_device_beyond_the_allowed_number_displaces_the_one_accepted_first() {
    let mut registry = Registry::new(3, LINGER);
    attach_on(&mut registry, named("phone"), 1, 1);
    attach_on(&mut registry, Device::Classic, 2, 2);
    attach(&mut registry, 3, 3);
    // The phone returns, so the classic device is the oldest now.
    assert_eq!(attach_on(&mut registry, named("phone"), 4, 4), displaced(1));
    assert_eq!(attach(&mut registry, 5, 5), displaced(2));
    assert_eq!(live(&registry), [3, 4, 5]);
    // A device whose handshake newer ones overtook is the oldest itself.
    assert_eq!(attach_on(&mut registry, named("desk"), 6, 2), displaced(6));
    assert_eq!(live(&registry), [3, 4, 5]);
}

#[test]
fn with_one_device_allowed_any_two_sessions_displace_each_other() {
    let devices = [named("phone"), Device::Classic, Device::Unnamed, named("desk"), Device::Classic, Device::Unnamed];
    let mut registry = Registry::new(1, LINGER);
    for (session, device) in (1..).zip(devices) {
        let effects = attach_on(&mut registry, device, session, session);
        assert_eq!(effects, if session == 1 { [Effect::Online(AMY)] } else { displaced(session - 1) });
        assert_eq!(live(&registry), [session]);
    }
}

/// One step of a random run.
#[derive(Clone, Debug)]
enum Step {
    Attach { user: u64, order: u64, device: Device },
    Leave { pick: usize, reason: LeaveReason },
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let device = prop_oneof![
        2 => Just(Device::Classic),
        3 => "[a-d]".prop_map(|name| named(&name)),
        4 => Just(Device::Unnamed),
    ];
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
    live: Vec<(u64, AcceptOrder, SessionId, Device)>,
    lingers: HashMap<u64, u64>,
}

impl Model {
    /// From the newest session on: the first of each device stays, until there are enough.
    fn attach(&mut self, user: u64, order: AcceptOrder, session: SessionId, device: Device, most: usize) {
        self.lingers.remove(&user);
        self.live.push((user, order, session, device));
        self.live.sort_by_key(|one| std::cmp::Reverse(one.1));
        let (mut devices, mut count) = (HashSet::new(), 0);
        self.live.retain(|(owner, _, _, device)| {
            let is_first = *device == Device::Unnamed || *owner != user || devices.insert(device.clone());
            let stays = *owner != user || (is_first && count < most);
            count += usize::from(*owner == user && stays);
            stays
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
        most in prop::sample::select(&[1, 2, 3, 8]),
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
                    registry.attach(UserId(user), session, AcceptOrder(order), device.clone(), &mut effects);
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

/// A session of an exhaustive run: its device, and its place in the order of acceptance.
#[derive(Clone)]
struct Planned {
    device: Device,
    accepted: u64,
}

/// Every order of attaching and leaving of this many sessions, of which session `i` attaches as the `i`th. An event is a
/// session and whether it attaches.
fn interleavings(sessions: usize) -> Vec<Vec<(usize, bool)>> {
    fn go(attached: usize, left: &mut Vec<bool>, events: &mut Vec<(usize, bool)>, all: &mut Vec<Vec<(usize, bool)>>) {
        if events.len() == 2 * left.len() {
            all.push(events.clone());
        }
        if attached < left.len() {
            events.push((attached, true));
            go(attached + 1, left, events, all);
            events.pop();
        }
        for index in 0..attached {
            if !left[index] {
                left[index] = true;
                events.push((index, false));
                go(attached, left, events, all);
                events.pop();
                left[index] = false;
            }
        }
    }
    let mut all = Vec::new();
    go(0, &mut vec![false; sessions], &mut Vec::new(), &mut all);
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

/// Every choice of a device for this many sessions: the classic one, two named ones, or one of its own. The names are
/// alike, so the second comes only after the first.
fn devices(sessions: u32) -> Vec<Vec<Device>> {
    let kinds = [Device::Classic, named("phone"), named("desk"), Device::Unnamed];
    let choose = |mut number: usize| {
        let devices = (0..sessions).map(|_| {
            let kind = kinds[number % kinds.len()].clone();
            number /= kinds.len();
            kind
        });
        devices.collect()
    };
    let all = (0..kinds.len().pow(sessions)).map(choose);
    all.filter(|devices: &Vec<Device>| {
        devices.iter().find(|device| matches!(device, Device::Named(_))).is_none_or(|first| *first == kinds[1])
    })
    .collect()
}

/// Plays one interleaving, and checks after each event that exactly those sessions are registered that must be.
fn play(most: usize, sessions: &[Planned], events: &[(usize, bool)]) {
    let mut registry = Registry::new(most, LINGER);
    let mut expect: Vec<usize> = Vec::new();
    let mut effects = Vec::new();
    for &(index, is_attach) in events {
        let Planned { device, accepted } = &sessions[index];
        let session = SessionId(index as u64);
        effects.clear();
        if is_attach {
            registry.attach(AMY, session, AcceptOrder(*accepted), device.clone(), &mut effects);
            let before = expect.clone();
            expect.push(index);
            expect.sort_by_key(|one| sessions[*one].accepted);
            // No newer session of its device, and fewer newer ones than allowed.
            let is_newest = |all: &[usize], place: usize| {
                let device = &sessions[all[place]].device;
                *device == Device::Unnamed || all[place + 1..].iter().all(|newer| sessions[*newer].device != *device)
            };
            let newest: Vec<usize> =
                (0..expect.len()).filter(|place| is_newest(&expect, *place)).map(|place| expect[place]).collect();
            expect = newest[newest.len().saturating_sub(most)..].to_vec();
            let gone = effects.iter().filter_map(|effect| match effect {
                Effect::Displaced(session) => Some(session.0 as usize),
                _ => None,
            });
            let gone: Vec<usize> = gone.collect();
            let mut expect_gone: Vec<usize> =
                before.iter().copied().chain([index]).filter(|one| !expect.contains(one)).collect();
            expect_gone.sort_by_key(|one| gone.iter().position(|other| other == one));
            assert_eq!(gone, expect_gone, "closed twice, wrongly, or not at all");
        } else {
            let left = registry.leave(now(0), AMY, session, LeaveReason::Clean, &mut effects);
            assert_eq!(left == LeaveOutcome::Left, expect.contains(&index));
            expect.retain(|one| *one != index);
        }
        assert!(registry.sessions_of(AMY).map(|session| session.0 as usize).eq(expect.iter().copied()));
        assert_eq!((registry.sessions(), registry.users_online()), (expect.len(), usize::from(!expect.is_empty())));
    }
    assert!(expect.is_empty());
}

#[test]
fn every_interleaving_of_four_sessions_keeps_the_newest_and_closes_none_twice() {
    let (orders, interleavings) = (permutations(4), interleavings(4));
    let mut played = 0;
    for most in [1, 2, 3, 8] {
        for devices in devices(4) {
            for order in &orders {
                let sessions: Vec<Planned> = devices
                    .iter()
                    .zip(order)
                    .map(|(device, accepted)| Planned { device: device.clone(), accepted: *accepted })
                    .collect();
                for events in &interleavings {
                    play(most, &sessions, events);
                    played += 1;
                }
            }
        }
    }
    // 4 bounds × (4⁴ + 2⁴) / 2 choices of devices × 4! orders of acceptance × 8! / 2⁴ / 4! interleavings.
    assert_eq!(played, 4 * 136 * 24 * 105);
}
