//! What must be there before a scenario begins: rooms, and people in them. Asked over the clients' own v1
//! sockets, so many requests under way at once.

use std::time::Instant;

use super::{LOOK, PATIENCE, refused};
use crate::crowd::{Crowd, Heard};
use crate::envelopes;
use crate::error::LoadError;
use crate::progress::Progress;

/// Requests under way at once: well within what the server's store lets wait.
const ASKED_MAX: usize = 512;

/// A request: which client asks, its type, its data.
pub(super) type Request = (usize, &'static str, String);

/// Asks all this, and gives the number that each answer begins its data with, in the order of the requests.
pub(super) fn ask_all(
    crowd: &mut Crowd,
    what: &str,
    requests: impl ExactSizeIterator<Item = Request>,
    progress: &mut Progress,
) -> Result<Vec<u64>, LoadError> {
    let total = requests.len();
    let mut answers = vec![0; total];
    let (mut asked, mut answered) = (0, 0);
    let mut requests = requests.enumerate();
    let mut last_answer = Instant::now();
    while answered < total {
        while asked - answered < ASKED_MAX
            && let Some((number, (index, kind, data))) = requests.next()
        {
            let mut say = Vec::new();
            envelopes::push_request(&mut say, kind, number as u64, &data);
            crowd.send(index, &say);
            asked += 1;
        }
        let before = answered;
        crowd.turn(LOOK, &mut |_, heard, _| {
            let Heard::Text(envelope) = heard else { return Ok(()) };
            if envelopes::is_refusal(envelope) {
                return Err(refused(envelope));
            }
            if let Some(number) = envelopes::acknowledged(envelope) {
                if let Some(answer) = usize::try_from(number).ok().and_then(|number| answers.get_mut(number)) {
                    *answer = envelopes::entry_id(envelope).unwrap_or(0);
                }
                answered += 1;
            }
            Ok(())
        })?;
        if answered > before {
            last_answer = Instant::now();
        } else if last_answer.elapsed() > PATIENCE {
            return Err(LoadError::TimedOut { what: format!("{what}: {answered} of {total}"), within: PATIENCE });
        }
        progress.tell(|| format!("{what}: {answered} of {total}"));
    }
    Ok(answers)
}

/// Rooms that were made by these clients, one each, which others may join if they are public.
pub(super) fn create_rooms(
    crowd: &mut Crowd,
    owners: impl ExactSizeIterator<Item = usize>,
    kind: &str,
    progress: &mut Progress,
) -> Result<Vec<u64>, LoadError> {
    let run = envelopes::new_run();
    let requests = owners
        .enumerate()
        .map(|(number, owner)| (owner, "create", format!(r#"{{"kind":"{kind}","name":"load {run:08x} {number}"}}"#)));
    ask_all(crowd, "making rooms", requests, progress)
}

/// Each of these clients comes into a public room.
pub(super) fn join_rooms(
    crowd: &mut Crowd,
    pairs: impl ExactSizeIterator<Item = (usize, u64)>,
    progress: &mut Progress,
) -> Result<(), LoadError> {
    let requests = pairs.map(|(index, room)| (index, "join", format!(r#"{{"room":{room}}}"#)));
    ask_all(crowd, "coming into rooms", requests, progress).map(drop)
}

/// Says so many messages in each of these rooms, all from one client, and waits until they are durable.
pub(super) fn fill_rooms(
    crowd: &mut Crowd,
    speaker: usize,
    rooms: &[u64],
    messages: usize,
    chars: usize,
    progress: &mut Progress,
) -> Result<(), LoadError> {
    let run = envelopes::new_run();
    // Room by room in turn, so that a group of the store holds many rooms, as in life.
    let requests = (0..rooms.len() * messages).map(|number| {
        let stamp = envelopes::Stamp { number: number as u64, due_micros: 0 };
        let (room, content) = (rooms[number % rooms.len()], envelopes::content(run, stamp, chars));
        (speaker, "message", format!(r#"{{"room":{room},"client_id":"{run:08x}-{number}","content":"{content}"}}"#))
    });
    ask_all(crowd, "saying what others will miss", requests, progress).map(drop)
}
