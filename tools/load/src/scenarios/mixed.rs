//! A mixed workload in both dialects: clients connect and disconnect, send in bursts, type and read. Everything is
//! drawn from a seed, so the same seed gives the same workload.

use std::cmp::Ordering;
use std::fmt;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use super::{
    DRAIN_TIMEOUT, FIRST_USER, IN_FLIGHT_MAX, LOBBY, POLL_INTERVAL, Report, ServerProcess, TIMEOUT, content_chars,
    micros_each, setup, write_cpu,
};
use crate::client_pool::{ClientPool, Held, Incoming};
use crate::deliveries::Receipts;
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::progress::Progress;
use crate::target::{Dialect, Target, Transport};

/// Version of a client before its first welcome. Zero is the version of an empty room.
const NOT_WELCOMED: u32 = u32::MAX;
/// One in this many clients is classic.
const CLASSIC_ONE_IN: usize = 4;
/// Members of a group room: few enough that typing and read marks are delivered.
const GROUP: usize = 10;
/// One in this many clients connects or disconnects per second.
const CHURN_ONE_IN: f64 = 20.0;
/// Messages per burst.
const BURST_MAX: u64 = 4;
/// Upper bounds, of 100 actions: lobby bursts, group bursts, typing; the rest are read marks.
const ACTION_BOUNDS: [u8; 3] = [10, 40, 70];

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub struct Mixed {
    /// Number of clients, of whom about four in five are connected.
    pub people: usize,
    /// Actions per second in total, on schedule.
    pub rate: u32,
    /// Characters per message.
    pub chars: usize,
    /// Duration of the workload.
    pub duration: Duration,
    /// Seed of the workload.
    pub seed: u64,
    /// The server's process on this machine, to measure its CPU time.
    pub server_pid: Option<u32>,
}

/// Results.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MixedReport {
    /// Number of clients.
    pub people: usize,
    /// Seed of the workload.
    pub seed: u64,
    /// Messages sent.
    pub messages: u64,
    /// Acknowledged messages of v1 clients; classic has no acknowledgements.
    pub acknowledged: u64,
    /// Typing and read requests sent.
    pub signs: u64,
    /// Connections that were reset and came back.
    pub absences: u64,
    /// From when a message was due until each connected v1 client received it.
    pub latency: Latency,
    /// Lobby deliveries to v1 clients, live and in catch-up.
    pub receipts: Receipts,
    /// Lobby deliveries to classic clients.
    pub classic_receipts: Receipts,
    /// The server's CPU time per message.
    pub server_cpu_micros_per_message: Option<f64>,
}

struct Workload {
    rng: Rng,
    run: u32,
    chars: usize,
    rooms: Vec<u64>,
    v1: usize,
    sent: u64,
    acknowledged: u64,
    signs: u64,
    absences: u64,
    /// The lobby version of each v1 client.
    at: Vec<u32>,
    receipts: Receipts,
    /// The last message id of each classic client.
    ids: Vec<u64>,
    classic: Receipts,
    stopwatch: Stopwatch,
    /// The newest lobby version that any client received.
    newest: u32,
    began: Instant,
}

impl Workload {
    fn receive(&mut self, index: usize, envelope: &[u8]) -> Result<(), LoadError> {
        if envelopes::is_error(envelope) {
            return Err(super::server_error(envelope));
        }
        if let Some(index) = index.checked_sub(self.v1) {
            if envelopes::is_message(envelope)
                && let Some(id) = envelopes::message_id(envelope)
            {
                match id.cmp(&self.ids[index]) {
                    Ordering::Greater => self.classic.received += 1,
                    Ordering::Equal => self.classic.duplicated += 1,
                    Ordering::Less => self.classic.out_of_order += 1,
                }
                self.ids[index] = self.ids[index].max(id);
            }
            return Ok(());
        }
        let at = &mut self.at[index];
        if envelopes::ack_number(envelope).is_some_and(|number| number < u64::from(u32::MAX)) {
            self.acknowledged += 1;
        } else if envelopes::is_message(envelope) {
            if let Some((LOBBY, version)) = envelopes::room_and_version(envelope) {
                self.receipts.record_version(at, version);
                self.newest = self.newest.max(*at);
            }
            // Messages of a catch-up have no change; they were due before the client was connected.
            if let Some(stamp) = envelopes::stamp(envelope, self.run)
                && memchr::memmem::find(envelope, br#""change":"#).is_some()
            {
                let due = Duration::from_micros(stamp.due_micros);
                self.stopwatch.record(self.began.elapsed().saturating_sub(due));
            }
        } else if envelopes::is_change(envelope) {
            if let Some((LOBBY, version)) = envelopes::room_and_version(envelope) {
                self.receipts.record_version(at, version);
            }
        } else if envelopes::is_caught_up(envelope) {
            if let Some((LOBBY, version)) = envelopes::room_and_version(envelope) {
                let version = u32::try_from(version).unwrap_or(u32::MAX);
                self.receipts.lost += u64::from(version.saturating_sub(*at));
                *at = version.max(*at);
            }
        } else if envelopes::is_welcome(envelope) && *at == NOT_WELCOMED {
            let version = envelopes::entry_version(envelope, LOBBY).unwrap_or(0);
            *at = u32::try_from(version).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// Performs an action of a random client, if it is connected.
    fn perform_action(&mut self, pool: &mut ClientPool, due: Duration) {
        let index = self.rng.usize(0..pool.size());
        if !pool.is_live(index) {
            return;
        }
        let mut bytes = Vec::new();
        let action = self.rng.u8(0..100);
        if index >= self.v1 {
            // Classic clients only send to the lobby.
            if action < ACTION_BOUNDS[0] {
                let content = self.content(due);
                envelopes::push_classic_message(&mut bytes, &content);
                self.sent += 1;
            }
        } else if action < ACTION_BOUNDS[1] {
            let room = if action < ACTION_BOUNDS[0] { LOBBY } else { self.rooms[index / GROUP] };
            for _ in 0..self.rng.u64(1..=BURST_MAX) {
                let content = self.content(due);
                envelopes::push_message(&mut bytes, self.run, self.sent, room, &content);
                self.sent += 1;
            }
        } else {
            self.signs += 1;
            let room = self.rooms[index / GROUP];
            let (kind, data) = if action < ACTION_BOUNDS[2] {
                ("typing", format!(r#"{{"room":{room},"on":{}}}"#, self.rng.bool()))
            } else {
                ("read", format!(r#"{{"room":{LOBBY},"seq":{}}}"#, self.at[index]))
            };
            envelopes::push_request(&mut bytes, kind, u64::from(u32::MAX) + self.signs, &data);
        }
        pool.send(index, &bytes);
    }

    fn content(&self, due: Duration) -> String {
        let due_micros = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        envelopes::content(self.run, Stamp { number: self.sent, due_micros }, self.chars)
    }

    /// Connects a random client, or resets it with a chance of one in five.
    fn toggle_connection(&mut self, pool: &mut ClientPool) -> Result<(), LoadError> {
        let index = self.rng.usize(0..pool.size());
        if pool.is_live(index) {
            if self.rng.u8(0..5) == 0 {
                if let Some(&version) = self.at.get(index) {
                    pool.set_held(index, Held { room: LOBBY as u32, version });
                }
                pool.reset(index);
                self.absences += 1;
            }
            Ok(())
        } else {
            pool.start_connecting(index, IN_FLIGHT_MAX)
        }
    }
}

/// Runs the scenario.
///
/// # Errors
/// The server refused a request or ended a connection that was to stay.
pub fn run(target: &Target, params: Mixed, progress: &mut Progress) -> Result<MixedReport, LoadError> {
    let people = params.people.max(CLASSIC_ONE_IN * 2);
    let classic = people / CLASSIC_ONE_IN;
    let v1 = people - classic;
    let server = ServerProcess(params.server_pid);
    let mut pool = ClientPool::new(target, FIRST_USER..FIRST_USER + v1 as u64, Transport::V1)?;
    let mut workload = Workload {
        rng: Rng::with_seed(params.seed),
        run: envelopes::new_run(),
        chars: content_chars(Dialect::Classic, params.chars),
        rooms: Vec::new(),
        v1,
        sent: 0,
        acknowledged: 0,
        signs: 0,
        absences: 0,
        at: vec![NOT_WELCOMED; v1],
        receipts: Receipts::default(),
        ids: vec![0; classic],
        classic: Receipts::default(),
        stopwatch: Stopwatch::new(),
        newest: 0,
        began: Instant::now(),
    };
    pool.connect_all_with(IN_FLIGHT_MAX, TIMEOUT, progress, &mut listener(&mut workload))?;
    let owners: Vec<usize> = (0..v1).step_by(GROUP).collect();
    workload.rooms = setup::create_rooms(&mut pool, owners.into_iter(), "public", progress)?;
    let others: Vec<(usize, u64)> =
        (0..v1).filter(|index| index % GROUP > 0).map(|index| (index, workload.rooms[index / GROUP])).collect();
    setup::join_rooms(&mut pool, others.into_iter(), progress)?;
    pool.add(target, FIRST_USER + v1 as u64..FIRST_USER + people as u64, Transport::Classic)?;
    pool.connect_all_with(IN_FLIGHT_MAX, TIMEOUT, progress, &mut listener(&mut workload))?;

    let cpu = server.cpu()?;
    run_workload(&mut pool, &mut workload, params, progress)?;
    let used = server.cpu_since(cpu)?;
    quiesce(&mut pool, &mut workload, progress)?;
    let lost = pool.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    Ok(MixedReport {
        people,
        seed: params.seed,
        messages: workload.sent,
        acknowledged: workload.acknowledged,
        signs: workload.signs,
        absences: workload.absences,
        latency: workload.stopwatch.summary(),
        receipts: workload.receipts,
        classic_receipts: workload.classic,
        server_cpu_micros_per_message: micros_each(used, workload.sent),
    })
}

fn listener(
    workload: &mut Workload,
) -> impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError> + use<'_> {
    move |index, incoming, _| match incoming {
        Incoming::Envelope(envelope) => workload.receive(index, envelope),
        Incoming::Response(..) => Ok(()),
    }
}

/// Performs actions and connection changes at random times. Exponential pauses, as of independent users, give bursts.
fn run_workload(
    pool: &mut ClientPool,
    workload: &mut Workload,
    params: Mixed,
    progress: &mut Progress,
) -> Result<(), LoadError> {
    #[expect(clippy::cast_precision_loss, reason = "people of one machine")]
    let churn_rate = pool.size() as f64 / CHURN_ONE_IN;
    let pause = |rng: &mut Rng, rate: f64| Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate.max(1e-3));
    let (mut next_action, mut next_churn) = (Duration::ZERO, Duration::ZERO);
    workload.began = Instant::now();
    while workload.began.elapsed() < params.duration {
        let now = workload.began.elapsed();
        while next_action <= now {
            workload.perform_action(pool, next_action);
            next_action += pause(&mut workload.rng, f64::from(params.rate));
        }
        while next_churn <= now {
            workload.toggle_connection(pool)?;
            next_churn += pause(&mut workload.rng, churn_rate);
        }
        progress.report(|| {
            format!(
                "{} of {} connected, {} sent, {} absences",
                pool.live(),
                pool.size(),
                workload.sent,
                workload.absences
            )
        });
        let wait = next_action.min(next_churn).saturating_sub(workload.began.elapsed()).min(POLL_INTERVAL);
        pool.poll(wait, &mut listener(workload))?;
    }
    Ok(())
}

/// Reconnects all clients and waits until each has received everything.
fn quiesce(pool: &mut ClientPool, workload: &mut Workload, progress: &mut Progress) -> Result<(), LoadError> {
    pool.connect_all_with(IN_FLIGHT_MAX, TIMEOUT, progress, &mut listener(workload))?;
    let began = Instant::now();
    while began.elapsed() < DRAIN_TIMEOUT && workload.at.iter().any(|&at| at < workload.newest) {
        progress.report(|| "waiting for the last deliveries".to_owned());
        pool.poll(POLL_INTERVAL, &mut listener(workload))?;
    }
    workload.receipts.lost += workload.at.iter().map(|&at| u64::from(workload.newest.saturating_sub(at))).sum::<u64>();
    Ok(())
}

impl Report for MixedReport {
    fn receipts(&self) -> Option<Receipts> {
        let mut all = self.receipts;
        all.add(self.classic_receipts);
        Some(all)
    }
}

impl fmt::Display for MixedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, seed, messages, acknowledged, signs, absences, .. } = self;
        writeln!(
            f,
            "{people} clients, {absences} absences, {messages} messages, {signs} typing and read requests (seed {seed})"
        )?;
        writeln!(f, "acknowledged: {acknowledged}")?;
        writeln!(f, "latency from due to received: {}", self.latency)?;
        writeln!(f, "lobby deliveries, v1: {}", self.receipts)?;
        writeln!(f, "lobby deliveries, classic: {}", self.classic_receipts)?;
        write_cpu(f, "message", self.server_cpu_micros_per_message)
    }
}
