//! Random clean histories are accepted; the same histories with one mutation are rejected.

use fastrand::Rng;
use teahouse_checker::wire::{Classic, ServerBody, ServerEnvelope};
use teahouse_checker::{DbState, Dialect, Fact, History, Socket, judge};

use super::model::{BOUNDS, DIRECT, LINGER_US, LOBBY, Model, NAMED, PRIVATE};

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| from[rng.usize(0..from.len())].clone())
}

const DEVICES: [(u64, &str, Dialect); 7] = [
    (1, "phone", Dialect::V1),
    (1, "tablet", Dialect::V1),
    (1, "laptop", Dialect::V1),
    (2, "phone", Dialect::V1),
    (2, "tab", Dialect::Classic),
    (2, "other tab", Dialect::Classic),
    (3, "tab", Dialect::Classic),
];

fn random_model(rng: &mut Rng) -> Model {
    let mut model = Model::new();
    for number in 0..60 {
        step(&mut model, rng, number);
    }
    model.quiesce();
    model
}

fn step(model: &mut Model, rng: &mut Rng, number: usize) {
    let (user, device, dialect) = DEVICES[rng.usize(0..DEVICES.len())];
    let Some(socket) = model.live(user, device) else {
        model.connect(user, device, dialect);
        return;
    };
    let is_v1 = dialect == Dialect::V1;
    match rng.usize(0..14) {
        0 => model.cut(&socket),
        1 => model.leave(&socket),
        2 => model.advance(LINGER_US * rng.usize(0..8) as u64 / 4),
        3 => model.list_online(user),
        // The device reconnects before the server notices that its connection is gone.
        11 if device == NAMED => drop(model.connect(user, device, dialect)),
        4 if is_v1 => model.watch_presence(&socket, PRIVATE),
        5 if is_v1 => model.mark_read(&socket, [LOBBY, PRIVATE][rng.usize(0..2)], rng.usize(0..20) as u64),
        6..=9 if is_v1 => change(model, rng, &socket, number),
        10 if is_v1 => {
            let mine = model.db.messages.iter().filter(|row| row.sender == user && !row.edited && !row.deleted);
            let mine: Vec<_> =
                mine.filter_map(|row| Some((row.room, row.content.clone(), row.client_id.clone()?))).collect();
            if let Some((room, content, key)) = pick(rng, &mine) {
                model.send_message_as(&socket, room, &content, &key);
            }
        }
        _ => {
            let room = if is_v1 { [LOBBY, LOBBY, PRIVATE, DIRECT][rng.usize(0..4)] } else { LOBBY };
            model.send_message(&socket, room, &format!("{number} of {user}"));
        }
    }
}

fn change(model: &mut Model, rng: &mut Rng, socket: &Socket, number: usize) {
    let own = |id: &u64, model: &Model| model.db.messages.iter().any(|row| row.id == *id && row.sender == socket.user);
    let there: Vec<u64> = model.db.messages.iter().filter(|row| !row.deleted).map(|row| row.id).collect();
    let Some(id) = pick(rng, &there) else { return };
    match rng.usize(0..3) {
        0 if own(&id, model) => model.edit(socket, id, &format!("edited in {number}")),
        1 if own(&id, model) => model.delete(socket, id),
        _ => {
            let on = !model.row(id).reactions.contains(&("👍".to_owned(), socket.user));
            model.react(socket, id, on);
        }
    }
}

/// Mutates a record at a random position; `None` if there is no suitable position.
type Mutation = fn(&mut Rng, &mut History, &mut DbState) -> Option<()>;

const MUTATIONS: [(&str, Mutation); 8] = [
    ("a message is gone from the store", |rng, _, db| {
        let position = rng.usize(0..db.messages.len().max(1));
        (position < db.messages.len()).then(|| drop(db.messages.remove(position)))
    }),
    ("a message is in the store twice", |rng, _, db| {
        let mut row = pick(rng, &db.messages)?;
        let room = db.rooms.get_mut(&row.room)?;
        (room.version, room.last_seq) = (room.version + 1, room.last_seq + 1);
        (row.id, row.seq, row.version) = (999, room.last_seq, room.version);
        db.messages.push(row);
        Some(())
    }),
    ("the store holds another content", |rng, _, db| {
        let position = rng.usize(0..db.messages.len().max(1));
        db.messages.get_mut(position)?.content += "!";
        Some(())
    }),
    ("a live message is delivered twice", |rng, history, _| {
        let position = pick(rng, &live(history))?;
        let event = history.events[position].clone();
        history.events.insert(position, event);
        Some(())
    }),
    ("a live message is not delivered", |rng, history, db| {
        let live = live(history);
        // A message with others before and after it on the same socket. Classic may leave out deleted messages.
        let of = |position: usize| (history.events[position].socket.clone(), room(&history.events[position].fact));
        let is_between = |position: &&usize| {
            live.iter().any(|other| other > position && of(*other) == of(**position))
                && live.iter().any(|other| other < position && of(*other) == of(**position))
        };
        let is_there = |position: &&usize| match &history.events[**position].fact {
            Fact::ClassicReceived(Classic::Message { id, .. }) => {
                db.messages.iter().any(|row| row.id == *id && !row.deleted)
            }
            _ => true,
        };
        let between: Vec<usize> = live.iter().filter(is_between).filter(is_there).copied().collect();
        let position = pick(rng, &between)?;
        history.events.remove(position);
        Some(())
    }),
    ("an ack names another seq", |rng, history, _| {
        let is_ack = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) if data["seq"].is_u64());
        let acks = positions(history, is_ack);
        let position = pick(rng, &acks)?;
        let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) =
            &mut history.events[position].fact
        else {
            return None;
        };
        data["seq"] = serde_json::json!(data["seq"].as_u64()? + 1);
        Some(())
    }),
    ("the store holds another mark", |_, _, db| {
        *db.rooms.get_mut(&LOBBY)?.members.get_mut(&1)? += 1;
        Some(())
    }),
    ("the last list lacks a user", |_, history, _| {
        let is_list = |fact: &Fact| matches!(fact, Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) if data["online"].is_array());
        let position = *positions(history, is_list).last()?;
        let Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Ack(data), .. }) =
            &mut history.events[position].fact
        else {
            return None;
        };
        *data = serde_json::json!({"online": [1, 3], "count": 2});
        Some(())
    }),
];

fn positions(history: &History, matches: impl Fn(&Fact) -> bool) -> Vec<usize> {
    (0..history.events.len()).filter(|position| matches(&history.events[*position].fact)).collect()
}

fn live(history: &History) -> Vec<usize> {
    positions(history, |fact| match fact {
        Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Message(message), .. }) => message.change.is_some(),
        Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Change(_), .. }) => true,
        Fact::ClassicReceived(envelope) => matches!(envelope, Classic::Message { .. }),
        _ => false,
    })
}

fn room(fact: &Fact) -> u64 {
    match fact {
        Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Message(message), .. }) => message.room,
        Fact::EnvelopeReceived(ServerEnvelope { body: ServerBody::Change(change), .. }) => change.room,
        _ => LOBBY,
    }
}

#[test]
fn random_clean_histories_are_accepted_and_mutated_ones_rejected() {
    let mut rejected = [0; MUTATIONS.len()];
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let model = random_model(&mut rng);
        let verdict = judge(&model.history, &model.db, &BOUNDS);
        assert!(verdict.is_clean(), "seed {seed}:\n{}", verdict.report(&model.history, 5));
        for (position, (name, mutate)) in MUTATIONS.iter().enumerate() {
            let (mut history, mut db) = (model.history.clone(), model.db.clone());
            if mutate(&mut rng, &mut history, &mut db).is_some() {
                let verdict = judge(&history, &db, &BOUNDS);
                assert!(!verdict.is_clean(), "seed {seed}: the verdict is clean although {name}");
                rejected[position] += 1;
            }
        }
    }
    assert!(rejected.iter().all(|times| *times > 200), "{rejected:?}");
}
