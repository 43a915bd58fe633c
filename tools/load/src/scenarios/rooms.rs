//! Many small rooms: what is said is spread over all of them, or stays in a few.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CpuMeter, FIRST_USER, IN_FLIGHT_MAX, LOOK, PATIENCE, Report, STRAGGLERS, content_chars, micros_each, per_second,
    premises, refused, write_cpu,
};
use crate::crowd::{Crowd, Heard};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::Receipts;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Door, Target};

/// What is not counted: caches fill, everybody falls into step.
const WARM_UP: Duration = Duration::from_secs(1);
/// Spreads the next message far from the one before; prime, so that every room has its turn.
const STRIDE: u64 = 7919;

/// What is asked. In v1, the only dialect that knows rooms.
#[derive(Clone, Copy, Debug)]
pub struct Rooms {
    /// How many people there are.
    pub people: usize,
    /// How many rooms there are.
    pub rooms: usize,
    /// How many people are in each.
    pub members: usize,
    /// In how many of the rooms somebody speaks.
    pub busy: usize,
    /// Messages on their way at once, when no rate is asked for.
    pub window: u32,
    /// Messages a second, whether anybody keeps up or not.
    pub rate: Option<u32>,
    /// Characters of a message.
    pub chars: usize,
    /// For how long, after a second that is not counted.
    pub duration: Duration,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RoomsReport {
    /// How many rooms there are.
    pub rooms: usize,
    /// In how many of them somebody spoke.
    pub busy: usize,
    /// How many people are in each.
    pub members: usize,
    /// Messages that were said, those not counted included.
    pub messages: u64,
    /// Messages a second that all in their rooms heard.
    pub messages_per_second: f64,
    /// Receipts a second.
    pub deliveries_per_second: f64,
    /// From the moment at which a message was due, to its receipt by each.
    pub latency: Latency,
    /// What came of all of them.
    pub receipts: Receipts,
    /// The server's processor time for each delivery.
    pub server_cpu_micros_per_delivery: Option<f64>,
}

/// Rooms with people in them. Member `m` of room `r` is person `(r * members + m) % people`.
pub struct Premises {
    crowd: Crowd,
    plan: Plan,
}

struct Plan {
    people: usize,
    members: usize,
    rooms: Vec<u64>,
    /// The lowest of the rooms' ids, which lie close together.
    base: u64,
    /// The number of the room with each id, from the lowest.
    numbers: Vec<u32>,
}

impl Plan {
    fn index_of(&self, room: u64) -> Option<usize> {
        let at = usize::try_from(room.checked_sub(self.base)?).ok()?;
        self.numbers.get(at).map(|&number| number as usize).filter(|&number| self.rooms.get(number) == Some(&room))
    }

    /// Which place a person has in a room.
    fn place(&self, room: usize, person: usize) -> usize {
        let first = room * self.members % self.people;
        (person + self.people - first) % self.people
    }
}

/// Makes the rooms and brings everybody in, then lets them speak.
///
/// # Errors
/// Something was refused; somebody was disconnected.
pub fn run(target: &Target, asked: Rooms, progress: &mut Progress) -> Result<RoomsReport, LoadError> {
    let mut premises = prepare(target, asked, progress)?;
    speak(&mut premises, asked, progress)
}

/// Makes the rooms and brings everybody in.
///
/// # Errors
/// Something was refused; somebody was disconnected.
pub fn prepare(target: &Target, asked: Rooms, progress: &mut Progress) -> Result<Premises, LoadError> {
    let (people, rooms) = (asked.people.max(1), asked.rooms.max(1));
    let members = asked.members.clamp(1, people);
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + people as u64, Door::V1)?;
    crowd.connect_all(IN_FLIGHT_MAX, PATIENCE, progress)?;
    let owners = (0..rooms).map(|room| room * members % people);
    let rooms = premises::create_rooms(&mut crowd, owners, "public", progress)?;
    let others: Vec<(usize, u64)> = rooms
        .iter()
        .enumerate()
        .flat_map(|(number, &room)| (1..members).map(move |m| ((number * members + m) % people, room)))
        .collect();
    premises::join_rooms(&mut crowd, others.into_iter(), progress)?;
    let base = rooms.iter().copied().min().unwrap_or(0);
    let span = rooms.iter().copied().max().unwrap_or(0) - base + 1;
    let mut numbers = vec![u32::MAX; usize::try_from(span).unwrap_or(0)];
    for (number, room) in rooms.iter().enumerate() {
        numbers[usize::try_from(room - base).unwrap_or(0)] = u32::try_from(number).unwrap_or(u32::MAX);
    }
    Ok(Premises { crowd, plan: Plan { people, members, rooms, base, numbers } })
}

/// Lets them speak: in each busy room its first member.
///
/// # Errors
/// A message was refused; somebody was disconnected.
pub fn speak(premises: &mut Premises, asked: Rooms, progress: &mut Progress) -> Result<RoomsReport, LoadError> {
    let chars = content_chars(crate::target::Dialect::V1, asked.chars);
    let run = envelopes::new_run();
    let Premises { crowd, plan } = premises;
    let members = plan.members;
    let busy = asked.busy.clamp(1, plan.rooms.len());
    let mut next = vec![0_u32; plan.rooms.len() * members];
    let mut receipts = Receipts::default();
    let mut stopwatch = Stopwatch::new();
    // How many have not heard each of the messages on their way, the oldest first.
    let mut left: VecDeque<u32> = VecDeque::new();
    let (mut said, mut completed, mut counted) = (0_u64, 0_u64, 0_u64);
    let mut schedule = Schedule::new(f64::from(asked.rate.unwrap_or(0)), WARM_UP + asked.duration);
    let counting = WARM_UP..WARM_UP + asked.duration;
    let mut meter = CpuMeter::new(asked.server_pid, &counting);
    let began = Instant::now();
    loop {
        let now = began.elapsed();
        if meter.look(now)? && (completed == said || now >= counting.end + STRAGGLERS) {
            break;
        }
        loop {
            let due = match asked.rate {
                Some(_) => schedule.take(now).map(|(_, due)| due),
                None => (now < counting.end && said - completed < u64::from(asked.window)).then_some(now),
            };
            let Some(due) = due else { break };
            let room = usize::try_from(said.wrapping_mul(STRIDE) % busy as u64).unwrap_or(0);
            let stamp = Stamp { number: said, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let mut say = Vec::new();
            let content = envelopes::content(run, stamp, chars);
            envelopes::push_message(&mut say, run, said, plan.rooms[room], &content);
            crowd.send(room * members % plan.people, &say);
            left.push_back(u32::try_from(members).unwrap_or(u32::MAX));
            said += 1;
        }
        progress.tell(|| format!("{busy} rooms of {members}: {said} said, heard by all: {completed}"));
        let patience = schedule.patience(began.elapsed(), LOOK);
        let oldest = said - left.len() as u64;
        crowd.turn(patience, &mut |index, heard, _| {
            let Heard::Text(envelope) = heard else { return Ok(()) };
            if envelopes::is_refusal(envelope) {
                return Err(refused(envelope));
            }
            if !envelopes::is_message(envelope) {
                return Ok(());
            }
            let Some(stamp) = envelopes::stamp(envelope, run) else { return Ok(()) };
            let room = envelopes::place(envelope).and_then(|(room, _)| plan.index_of(room));
            let Some(place) = room.map(|room| room * members + plan.place(room, index)) else { return Ok(()) };
            let before = receipts.heard;
            if let Some(next) = next.get_mut(place) {
                receipts.number(next, stamp.number);
            }
            if receipts.heard == before {
                return Ok(());
            }
            if let Some(left) = usize::try_from(stamp.number - oldest).ok().and_then(|at| left.get_mut(at)) {
                *left -= 1;
                completed += u64::from(*left == 0);
            }
            let now = began.elapsed();
            if counting.contains(&now) {
                stopwatch.record(now.saturating_sub(Duration::from_micros(stamp.due_micros)));
                counted += 1;
            }
            Ok(())
        })?;
        while left.front() == Some(&0) {
            left.pop_front();
        }
    }
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    receipts.lost = (said * members as u64).saturating_sub(receipts.heard);
    let deliveries_per_second = per_second(counted, asked.duration);
    Ok(RoomsReport {
        rooms: plan.rooms.len(),
        busy,
        members,
        messages: said,
        messages_per_second: deliveries_per_second / super::per(members as u64, 1),
        deliveries_per_second,
        latency: stopwatch.summary(),
        receipts,
        server_cpu_micros_per_delivery: micros_each(meter.used(), counted),
    })
}

impl Report for RoomsReport {
    fn receipts(&self) -> Option<Receipts> {
        Some(self.receipts)
    }
}

impl fmt::Display for RoomsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rooms, busy, members, messages, .. } = self;
        writeln!(f, "{messages} messages in {busy} of {rooms} rooms of {members}")?;
        writeln!(
            f,
            "{:.0} messages a second, {:.0} deliveries a second",
            self.messages_per_second, self.deliveries_per_second
        )?;
        writeln!(f, "heard after a message was due: {}", self.latency)?;
        writeln!(f, "receipts: {}", self.receipts)?;
        write_cpu(f, "delivery", self.server_cpu_micros_per_delivery)
    }
}
