//! Random clean histories are accepted; the same with one thing done to them are refused.

use teahouse_checker::wire::{Classic, Heard, Said};
use teahouse_checker::{Dialect, Fact, History, Socket, Truth, judge};

use super::model::{BOUNDS, DIRECT, LINGER_US, LOBBY, Model, PRIVATE};

/// Chance that can be repeated (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())].clone())
    }
}

const DEVICES: [(u64, &str, Dialect); 6] = [
    (1, "phone", Dialect::V1),
    (1, "tablet", Dialect::V1),
    (1, "laptop", Dialect::V1),
    (2, "phone", Dialect::V1),
    (2, "tab", Dialect::Classic),
    (3, "tab", Dialect::Classic),
];

fn random(chance: &mut Chance) -> Model {
    let mut model = Model::new();
    for number in 0..60 {
        steps(&mut model, chance, number);
    }
    model.comes_to_rest();
    model
}

fn steps(model: &mut Model, chance: &mut Chance, number: usize) {
    let (user, device, dialect) = DEVICES[chance.below(DEVICES.len())];
    let Some(socket) = model.live(user, device) else {
        model.comes(user, device, dialect);
        return;
    };
    let is_v1 = dialect == Dialect::V1;
    match chance.below(14) {
        0 => model.is_cut(&socket),
        1 => model.leaves(&socket),
        2 => model.waits(LINGER_US * chance.below(8) as u64 / 4),
        3 => model.lists_online(user),
        4 if is_v1 => model.watches(&socket, PRIVATE),
        5 if is_v1 => model.reads(&socket, [LOBBY, PRIVATE][chance.below(2)], chance.below(20) as u64),
        6..=9 if is_v1 => changes(model, chance, &socket, number),
        10 if is_v1 => {
            let mine = model.truth.messages.iter().filter(|row| row.sender == user && !row.edited && !row.deleted);
            let mine: Vec<_> =
                mine.filter_map(|row| Some((row.room, row.content.clone(), row.client_id.clone()?))).collect();
            if let Some((room, content, key)) = chance.pick(&mine) {
                model.says_as(&socket, room, &content, &key);
            }
        }
        _ => {
            let room = if is_v1 { [LOBBY, LOBBY, PRIVATE, DIRECT][chance.below(4)] } else { LOBBY };
            model.says(&socket, room, &format!("{number} of {user}"));
        }
    }
}

fn changes(model: &mut Model, chance: &mut Chance, socket: &Socket, number: usize) {
    let own =
        |id: &u64, model: &Model| model.truth.messages.iter().any(|row| row.id == *id && row.sender == socket.user);
    let there: Vec<u64> = model.truth.messages.iter().filter(|row| !row.deleted).map(|row| row.id).collect();
    let Some(id) = chance.pick(&there) else { return };
    match chance.below(3) {
        0 if own(&id, model) => model.edits(socket, id, &format!("edited in {number}")),
        1 if own(&id, model) => model.deletes(socket, id),
        _ => {
            let on = !model.row(id).reactions.contains(&("👍".to_owned(), socket.user));
            model.reacts(socket, id, on);
        }
    }
}

/// Does something to a record at a random place; none where there is no such place.
type Mutation = fn(&mut Chance, &mut History, &mut Truth) -> Option<()>;

const MUTATIONS: [(&str, Mutation); 8] = [
    ("a message is gone from the store", |chance, _, truth| {
        let place = chance.below(truth.messages.len().max(1));
        (place < truth.messages.len()).then(|| drop(truth.messages.remove(place)))
    }),
    ("a message is in the store twice", |chance, _, truth| {
        let mut row = chance.pick(&truth.messages)?;
        let room = truth.rooms.get_mut(&row.room)?;
        (room.version, room.last_seq) = (room.version + 1, room.last_seq + 1);
        (row.id, row.seq, row.version) = (999, room.last_seq, room.version);
        truth.messages.push(row);
        Some(())
    }),
    ("the store holds another content", |chance, _, truth| {
        let place = chance.below(truth.messages.len().max(1));
        truth.messages.get_mut(place)?.content += "!";
        Some(())
    }),
    ("a live message came twice", |chance, history, _| {
        let place = chance.pick(&live(history))?;
        let event = history.events[place].clone();
        history.events.insert(place, event);
        Some(())
    }),
    ("a live message never came", |chance, history, truth| {
        let live = live(history);
        // One before and behind which others came on the same socket; what was deleted may be left out of classic.
        let of = |place: usize| (history.events[place].socket.clone(), room(&history.events[place].fact));
        let is_between = |place: &&usize| {
            live.iter().any(|other| other > place && of(*other) == of(**place))
                && live.iter().any(|other| other < place && of(*other) == of(**place))
        };
        let is_there = |place: &&usize| match &history.events[**place].fact {
            Fact::HeardClassic(Classic::Message { id, .. }) => {
                truth.messages.iter().any(|row| row.id == *id && !row.deleted)
            }
            _ => true,
        };
        let between: Vec<usize> = live.iter().filter(is_between).filter(is_there).copied().collect();
        let place = chance.pick(&between)?;
        history.events.remove(place);
        Some(())
    }),
    ("an ack names another seq", |chance, history, _| {
        let is_ack =
            |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Ack(data), .. }) if data["seq"].is_u64());
        let acks = places(history, is_ack);
        let place = chance.pick(&acks)?;
        let Fact::Heard(Heard { said: Said::Ack(data), .. }) = &mut history.events[place].fact else { return None };
        data["seq"] = serde_json::json!(data["seq"].as_u64()? + 1);
        Some(())
    }),
    ("a mark is another one in the store", |_, _, truth| {
        *truth.rooms.get_mut(&LOBBY)?.members.get_mut(&1)? += 1;
        Some(())
    }),
    ("somebody is left out of the last list", |_, history, _| {
        let is_list =
            |fact: &Fact| matches!(fact, Fact::Heard(Heard { said: Said::Ack(data), .. }) if data["online"].is_array());
        let place = *places(history, is_list).last()?;
        let Fact::Heard(Heard { said: Said::Ack(data), .. }) = &mut history.events[place].fact else { return None };
        *data = serde_json::json!({"online": [1, 3], "count": 2});
        Some(())
    }),
];

fn places(history: &History, is_it: impl Fn(&Fact) -> bool) -> Vec<usize> {
    (0..history.events.len()).filter(|place| is_it(&history.events[*place].fact)).collect()
}

fn live(history: &History) -> Vec<usize> {
    places(history, |fact| match fact {
        Fact::Heard(Heard { said: Said::Message(message), .. }) => message.change.is_some(),
        Fact::HeardClassic(heard) => matches!(heard, Classic::Message { .. }),
        _ => false,
    })
}

fn room(fact: &Fact) -> u64 {
    match fact {
        Fact::Heard(Heard { said: Said::Message(message), .. }) => message.room,
        _ => LOBBY,
    }
}

#[test]
fn random_clean_histories_are_accepted_and_with_one_mutation_refused() {
    let mut refused = [0; MUTATIONS.len()];
    for seed in 0..400 {
        let mut chance = Chance(seed);
        let model = random(&mut chance);
        let verdict = judge(&model.history, &model.truth, &BOUNDS);
        assert!(verdict.is_clean(), "seed {seed}:\n{}", verdict.report(&model.history, 5));
        for (place, (name, mutate)) in MUTATIONS.iter().enumerate() {
            let (mut history, mut truth) = (model.history.clone(), model.truth.clone());
            if mutate(&mut chance, &mut history, &mut truth).is_some() {
                let verdict = judge(&history, &truth, &BOUNDS);
                assert!(!verdict.is_clean(), "seed {seed}: {name}, and nobody noticed");
                refused[place] += 1;
            }
        }
    }
    assert!(refused.iter().all(|times| *times > 200), "{refused:?}");
}
