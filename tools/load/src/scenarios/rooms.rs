//! Throughput of messages spread over many small rooms, or concentrated in a few. v1 only.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CpuMeter, DRAIN_TIMEOUT, FIRST_USER, IN_FLIGHT_MAX, POLL_INTERVAL, Report, TIMEOUT, content_chars, micros_each,
    per_second, server_error, setup, write_cpu,
};
use crate::client_pool::{ClientPool, Incoming};
use crate::deliveries::Receipts;
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::target::{Dialect, Target, Transport};

/// Time that is not measured, in which caches fill and the pace settles.
const WARM_UP: Duration = Duration::from_secs(1);
/// Distance between the rooms of consecutive messages; prime, so that every room has its turn.
const STRIDE: u64 = 7919;

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Rooms {
    /// Number of clients.
    pub people: usize,
    /// Number of rooms.
    pub rooms: usize,
    /// Members per room.
    pub members: usize,
    /// Number of rooms that receive messages.
    pub busy: usize,
    /// Messages in flight, if there is no rate.
    pub window: u32,
    /// Messages per second, on schedule.
    pub rate: Option<u32>,
    /// Characters per message.
    pub chars: usize,
    /// Measured time, after a second of warm-up.
    pub duration: Duration,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RoomsReport {
    /// Number of rooms.
    pub rooms: usize,
    /// Number of rooms that received messages.
    pub busy: usize,
    /// Members per room.
    pub members: usize,
    /// Messages sent, including warm-up.
    pub messages: u64,
    /// Messages per second that all members received.
    pub messages_per_second: f64,
    /// Deliveries per second.
    pub deliveries_per_second: f64,
    /// From when a message was due until each delivery.
    pub latency: Latency,
    /// All deliveries, including warm-up.
    pub receipts: Receipts,
    /// The server's CPU time per delivery.
    pub server_cpu_micros_per_delivery: Option<f64>,
}

/// Rooms with members. Member `m` of room `r` is client `(r * members + m) % people`.
pub struct RoomsFixture {
    pool: ClientPool,
    plan: Plan,
}

struct Plan {
    people: usize,
    members: usize,
    rooms: Vec<u64>,
    /// The lowest room id. The ids are close together.
    base: u64,
    /// Index of each room by `id - base`; `u32::MAX` for ids of other rooms.
    numbers: Vec<u32>,
}

impl Plan {
    fn new(people: usize, members: usize, rooms: Vec<u64>) -> Self {
        let base = rooms.iter().copied().min().unwrap_or(0);
        let span = rooms.iter().copied().max().unwrap_or(0) - base + 1;
        let mut numbers = vec![u32::MAX; usize::try_from(span).unwrap_or(0)];
        for (number, room) in rooms.iter().enumerate() {
            numbers[usize::try_from(room - base).unwrap_or(0)] = u32::try_from(number).unwrap_or(u32::MAX);
        }
        Self { people, members, rooms, base, numbers }
    }

    fn index_of(&self, room: u64) -> Option<usize> {
        let at = usize::try_from(room.checked_sub(self.base)?).ok()?;
        self.numbers.get(at).map(|&number| number as usize).filter(|&number| self.rooms.get(number) == Some(&room))
    }

    /// The member number of a client in a room.
    fn member_of(&self, room: usize, client: usize) -> usize {
        let first = room * self.members % self.people;
        (client + self.people - first) % self.people
    }
}

/// Creates the rooms, adds their members, and runs the scenario.
///
/// # Errors
/// The server refused a request or ended a connection.
pub fn run(target: &Target, params: Rooms, progress: &mut Progress) -> Result<RoomsReport, LoadError> {
    let mut fixture = prepare(target, params, progress)?;
    measure(&mut fixture, params, progress)
}

/// Creates the rooms and adds their members.
///
/// # Errors
/// The server refused a request or ended a connection.
pub fn prepare(target: &Target, params: Rooms, progress: &mut Progress) -> Result<RoomsFixture, LoadError> {
    let (people, rooms) = (params.people.max(1), params.rooms.max(1));
    let members = params.members.clamp(1, people);
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + people as u64, Transport::V1)?;
    pool.connect_all(IN_FLIGHT_MAX, TIMEOUT, progress)?;
    let owners = (0..rooms).map(|room| room * members % people);
    let rooms = setup::create_rooms(&mut pool, owners, "public", progress)?;
    let others: Vec<(usize, u64)> = rooms
        .iter()
        .enumerate()
        .flat_map(|(number, &room)| (1..members).map(move |m| ((number * members + m) % people, room)))
        .collect();
    setup::join_rooms(&mut pool, others.into_iter(), progress)?;
    Ok(RoomsFixture { pool, plan: Plan::new(people, members, rooms) })
}

/// Sends from the first member of each busy room and measures deliveries.
///
/// # Errors
/// The server refused a message or ended a connection.
pub fn measure(fixture: &mut RoomsFixture, params: Rooms, progress: &mut Progress) -> Result<RoomsReport, LoadError> {
    let RoomsFixture { pool, plan } = fixture;
    let members = plan.members;
    let mut run = Run::new(plan, params);
    let mut meter = CpuMeter::new(params.server_pid, &run.measured);
    loop {
        let now = run.began.elapsed();
        if meter.sample(now)? && (run.completed == run.sent || now >= run.measured.end + DRAIN_TIMEOUT) {
            break;
        }
        run.send_due(pool, now);
        progress.report(|| {
            format!("{} rooms of {members}: {} sent, received by all: {}", run.busy, run.sent, run.completed)
        });
        let wait = run.schedule.wait_time(run.began.elapsed(), POLL_INTERVAL);
        pool.poll(wait, &mut |index, incoming, _| run.receive(index, incoming))?;
        while run.outstanding.front() == Some(&0) {
            run.outstanding.pop_front();
        }
    }
    let lost = pool.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    run.receipts.lost = (run.sent * members as u64).saturating_sub(run.receipts.received);
    let deliveries_per_second = per_second(run.deliveries, params.duration);
    Ok(RoomsReport {
        rooms: plan.rooms.len(),
        busy: run.busy,
        members,
        messages: run.sent,
        messages_per_second: deliveries_per_second / super::per(members as u64, 1),
        deliveries_per_second,
        latency: run.stopwatch.summary(),
        receipts: run.receipts,
        server_cpu_micros_per_delivery: micros_each(meter.used(), run.deliveries),
    })
}

struct Run<'a> {
    plan: &'a Plan,
    params: Rooms,
    id: u32,
    chars: usize,
    busy: usize,
    schedule: Schedule,
    /// The next message number of each member of each room.
    next: Vec<u32>,
    receipts: Receipts,
    stopwatch: Stopwatch,
    /// Missing deliveries of each message in flight, oldest first.
    outstanding: VecDeque<u32>,
    sent: u64,
    completed: u64,
    /// Deliveries in the measured time.
    deliveries: u64,
    measured: Range<Duration>,
    began: Instant,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, params: Rooms) -> Self {
        Self {
            plan,
            params,
            id: envelopes::new_run(),
            chars: content_chars(Dialect::V1, params.chars),
            busy: params.busy.clamp(1, plan.rooms.len()),
            schedule: Schedule::new(f64::from(params.rate.unwrap_or(0)), WARM_UP + params.duration),
            next: vec![0_u32; plan.rooms.len() * plan.members],
            receipts: Receipts::default(),
            stopwatch: Stopwatch::new(),
            outstanding: VecDeque::new(),
            sent: 0,
            completed: 0,
            deliveries: 0,
            measured: WARM_UP..WARM_UP + params.duration,
            began: Instant::now(),
        }
    }

    fn send_due(&mut self, pool: &mut ClientPool, now: Duration) {
        let members = self.plan.members;
        loop {
            let has_room = || now < self.measured.end && self.sent - self.completed < u64::from(self.params.window);
            let due = match self.params.rate {
                Some(_) => self.schedule.take(now).map(|(_, due)| due),
                None => has_room().then_some(now),
            };
            let Some(due) = due else { break };
            let room = usize::try_from(self.sent.wrapping_mul(STRIDE) % self.busy as u64).unwrap_or(0);
            let stamp = Stamp { number: self.sent, due_micros: u64::try_from(due.as_micros()).unwrap_or(u64::MAX) };
            let mut bytes = Vec::new();
            let content = envelopes::content(self.id, stamp, self.chars);
            envelopes::push_message(&mut bytes, self.id, self.sent, self.plan.rooms[room], &content);
            pool.send(room * members % self.plan.people, &bytes);
            self.outstanding.push_back(u32::try_from(members).unwrap_or(u32::MAX));
            self.sent += 1;
        }
    }

    fn receive(&mut self, index: usize, incoming: Incoming<'_>) -> Result<(), LoadError> {
        let Incoming::Envelope(envelope) = incoming else { return Ok(()) };
        if envelopes::is_error(envelope) {
            return Err(server_error(envelope));
        }
        if !envelopes::is_message(envelope) {
            return Ok(());
        }
        let Some(stamp) = envelopes::stamp(envelope, self.id) else { return Ok(()) };
        let room = envelopes::room_and_version(envelope).and_then(|(room, _)| self.plan.index_of(room));
        let Some(room) = room else { return Ok(()) };
        let before = self.receipts.received;
        if let Some(next) = self.next.get_mut(room * self.plan.members + self.plan.member_of(room, index)) {
            self.receipts.record_number(next, stamp.number);
        }
        if self.receipts.received == before {
            return Ok(());
        }
        let oldest = self.sent - self.outstanding.len() as u64;
        let position = usize::try_from(stamp.number - oldest).ok();
        if let Some(outstanding) = position.and_then(|position| self.outstanding.get_mut(position)) {
            *outstanding -= 1;
            self.completed += u64::from(*outstanding == 0);
        }
        let now = self.began.elapsed();
        if self.measured.contains(&now) {
            self.stopwatch.record(now.saturating_sub(Duration::from_micros(stamp.due_micros)));
            self.deliveries += 1;
        }
        Ok(())
    }
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
        writeln!(f, "{:.0} messages/s, {:.0} deliveries/s", self.messages_per_second, self.deliveries_per_second)?;
        writeln!(f, "latency from due to received: {}", self.latency)?;
        writeln!(f, "deliveries: {}", self.receipts)?;
        write_cpu(f, "delivery", self.server_cpu_micros_per_delivery)
    }
}
