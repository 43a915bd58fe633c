//! Creates rooms and their members before a scenario begins, over the clients' own v1 sockets.

use std::time::Instant;

use super::{POLL_INTERVAL, TIMEOUT, server_error};
use crate::client_pool::{ClientPool, Incoming};
use crate::envelopes;
use crate::error::LoadError;
use crate::progress::Progress;

/// Requests in flight, well below what the server's store queues.
const REQUESTS_IN_FLIGHT_MAX: usize = 512;

/// A request: the client's index, the type, the data.
pub(super) type SetupRequest = (usize, &'static str, String);

/// Sends the requests and returns the id at the start of each answer's data, in the order of the requests.
pub(super) fn request_all(
    pool: &mut ClientPool,
    what: &str,
    requests: impl ExactSizeIterator<Item = SetupRequest>,
    progress: &mut Progress,
) -> Result<Vec<u64>, LoadError> {
    let total = requests.len();
    let mut answers = vec![0; total];
    let (mut sent, mut answered) = (0, 0);
    let mut requests = requests.enumerate();
    let mut last_answer = Instant::now();
    while answered < total {
        while sent - answered < REQUESTS_IN_FLIGHT_MAX
            && let Some((number, (index, kind, data))) = requests.next()
        {
            let mut bytes = Vec::new();
            envelopes::push_request(&mut bytes, kind, number as u64, &data);
            pool.send(index, &bytes);
            sent += 1;
        }
        let before = answered;
        pool.poll(POLL_INTERVAL, &mut |_, incoming, _| {
            let Incoming::Envelope(envelope) = incoming else { return Ok(()) };
            if envelopes::is_error(envelope) {
                return Err(server_error(envelope));
            }
            if let Some(number) = envelopes::ack_number(envelope) {
                if let Some(answer) = usize::try_from(number).ok().and_then(|number| answers.get_mut(number)) {
                    *answer = envelopes::entry_id(envelope).unwrap_or(0);
                }
                answered += 1;
            }
            Ok(())
        })?;
        if answered > before {
            last_answer = Instant::now();
        } else if last_answer.elapsed() > TIMEOUT {
            return Err(LoadError::TimedOut { what: format!("{what}: {answered} of {total}"), within: TIMEOUT });
        }
        progress.report(|| format!("{what}: {answered} of {total}"));
    }
    Ok(answers)
}

/// Creates a room per owner and returns the room ids.
pub(super) fn create_rooms(
    pool: &mut ClientPool,
    owners: impl ExactSizeIterator<Item = usize>,
    kind: &str,
    progress: &mut Progress,
) -> Result<Vec<u64>, LoadError> {
    let run = envelopes::new_run();
    let requests = owners
        .enumerate()
        .map(|(number, owner)| (owner, "create", format!(r#"{{"kind":"{kind}","name":"load {run:08x} {number}"}}"#)));
    request_all(pool, "creating rooms", requests, progress)
}

/// Adds each client to a public room.
pub(super) fn join_rooms(
    pool: &mut ClientPool,
    pairs: impl ExactSizeIterator<Item = (usize, u64)>,
    progress: &mut Progress,
) -> Result<(), LoadError> {
    let requests = pairs.map(|(index, room)| (index, "join", format!(r#"{{"room":{room}}}"#)));
    request_all(pool, "joining rooms", requests, progress).map(drop)
}

/// Sends `messages` durable messages to each room, all from one client.
pub(super) fn fill_rooms(
    pool: &mut ClientPool,
    sender: usize,
    rooms: &[u64],
    messages: usize,
    chars: usize,
    progress: &mut Progress,
) -> Result<(), LoadError> {
    let run = envelopes::new_run();
    // Rooms take turns, so that a commit of the store spans many rooms, as in production.
    let requests = (0..rooms.len() * messages).map(|number| {
        let stamp = envelopes::Stamp { number: number as u64, due_micros: 0 };
        let (room, content) = (rooms[number % rooms.len()], envelopes::content(run, stamp, chars));
        (sender, "message", format!(r#"{{"room":{room},"client_id":"{run:08x}-{number}","content":"{content}"}}"#))
    });
    request_all(pool, "filling rooms", requests, progress).map(drop)
}
