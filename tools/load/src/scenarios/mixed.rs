//! A day on a site, in small: people come and go, talk in bursts, type, read, write to each other, in both
//! dialects at once. Everything is drawn from a seed, so that the same seed is the same day.

use std::cmp::Ordering;
use std::fmt;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use super::{
    FIRST_USER, IN_FLIGHT_MAX, LOBBY, LOOK, PATIENCE, Report, STRAGGLERS, Watch, content_chars, micros_each, premises,
    write_cpu,
};
use crate::crowd::{Crowd, Heard, Held};
use crate::envelopes::{self, Stamp};
use crate::error::LoadError;
use crate::latency::{Latency, Stopwatch};
use crate::ledger::Receipts;
use crate::progress::Progress;
use crate::target::{Dialect, Door, Target};

/// Where a client stands that was not welcomed yet; zero is where a room stands in which nothing was said.
const UNWELCOMED: u32 = u32::MAX;
/// One in so many people speaks the classic dialect.
const CLASSIC_ONE_IN: usize = 4;
/// How many are in a group, which has a room of its own: small enough that typing and read marks are told.
const GROUP: usize = 10;
/// One in so many people comes or goes in a second.
const COMINGS_AND_GOINGS_ONE_IN: f64 = 20.0;
/// Messages that one person says at once, at most.
const BURST_MAX: u64 = 4;
/// Of a hundred deeds, so many are bursts in the lobby, bursts in the group, typing; the rest are read marks.
const DEEDS: [u8; 3] = [10, 40, 70];

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Mixed {
    /// How many people there are; about four in five are there at a time.
    pub people: usize,
    /// Deeds a second, of all together, whether the server keeps up or not.
    pub rate: u32,
    /// Characters of a message.
    pub chars: usize,
    /// For how long.
    pub duration: Duration,
    /// What the day is drawn from.
    pub seed: u64,
    /// The server's process, when it runs on this machine and its processor time is asked for.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MixedReport {
    /// How many people there were.
    pub people: usize,
    /// What the day was drawn from.
    pub seed: u64,
    /// Messages that were said.
    pub messages: u64,
    /// Of how many of them a v1 client knows that they are durable; a classic one is not told.
    pub acknowledged: u64,
    /// How often somebody typed or read.
    pub signs: u64,
    /// How often somebody was cut off, and came back.
    pub absences: u64,
    /// From the moment at which a message was due until each v1 client heard it that was there.
    pub latency: Latency,
    /// What the v1 clients heard of the lobby, as live messages and in catching up.
    pub receipts: Receipts,
    /// Messages that came to classic clients, whose numbers only grow.
    pub classic_receipts: Receipts,
    /// The server's processor time for each message said.
    pub server_cpu_micros_per_message: Option<f64>,
}

struct Day {
    rng: Rng,
    run: u32,
    chars: usize,
    rooms: Vec<u64>,
    v1: usize,
    said: u64,
    acknowledged: u64,
    signs: u64,
    absences: u64,
    /// Where each v1 client stands in the lobby.
    at: Vec<u32>,
    receipts: Receipts,
    /// The last id that each classic client heard.
    ids: Vec<u64>,
    classic: Receipts,
    stopwatch: Stopwatch,
    /// The newest version of the lobby that anybody heard of.
    newest: u32,
    began: Instant,
}

impl Day {
    fn hear(&mut self, index: usize, envelope: &[u8]) -> Result<(), LoadError> {
        if envelopes::is_refusal(envelope) {
            return Err(super::refused(envelope));
        }
        if let Some(index) = index.checked_sub(self.v1) {
            if envelopes::is_message(envelope)
                && let Some(id) = envelopes::message_id(envelope)
            {
                match id.cmp(&self.ids[index]) {
                    Ordering::Greater => self.classic.heard += 1,
                    Ordering::Equal => self.classic.doubled += 1,
                    Ordering::Less => self.classic.out_of_order += 1,
                }
                self.ids[index] = self.ids[index].max(id);
            }
            return Ok(());
        }
        let at = &mut self.at[index];
        if envelopes::acknowledged(envelope).is_some_and(|number| number < u64::from(u32::MAX)) {
            self.acknowledged += 1;
        } else if envelopes::is_message(envelope) {
            if let Some((LOBBY, version)) = envelopes::place(envelope) {
                self.receipts.version(at, version);
                self.newest = self.newest.max(*at);
            }
            // What is caught up was due before its hearer was there.
            if let Some(stamp) = envelopes::stamp(envelope, self.run)
                && memchr::memmem::find(envelope, br#""change":"#).is_some()
            {
                let due = Duration::from_micros(stamp.due_micros);
                self.stopwatch.record(self.began.elapsed().saturating_sub(due));
            }
        } else if envelopes::is_caught_up(envelope) {
            if let Some((LOBBY, version)) = envelopes::place(envelope) {
                let version = u32::try_from(version).unwrap_or(u32::MAX);
                self.receipts.lost += u64::from(version.saturating_sub(*at));
                *at = version.max(*at);
            }
        } else if envelopes::is_welcome(envelope) && *at == UNWELCOMED {
            let version = envelopes::entry_version(envelope, LOBBY).unwrap_or(0);
            *at = u32::try_from(version).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// Somebody who is there does something.
    fn act(&mut self, crowd: &mut Crowd, due: Duration) {
        let index = self.rng.usize(0..crowd.size());
        if !crowd.is_live(index) {
            return;
        }
        let mut say = Vec::new();
        let deed = self.rng.u8(0..100);
        if index >= self.v1 {
            // A classic client only talks, in the lobby, and seldom.
            if deed < DEEDS[0] {
                let content = self.content(due);
                envelopes::push_classic_message(&mut say, &content);
                self.said += 1;
            }
        } else if deed < DEEDS[1] {
            let room = if deed < DEEDS[0] { LOBBY } else { self.rooms[index / GROUP] };
            for _ in 0..self.rng.u64(1..=BURST_MAX) {
                let content = self.content(due);
                envelopes::push_message(&mut say, self.run, self.said, room, &content);
                self.said += 1;
            }
        } else {
            self.signs += 1;
            let room = self.rooms[index / GROUP];
            let (kind, data) = if deed < DEEDS[2] {
                ("typing", format!(r#"{{"room":{room},"on":{}}}"#, self.rng.bool()))
            } else {
                ("read", format!(r#"{{"room":{LOBBY},"seq":{}}}"#, self.at[index]))
            };
            envelopes::push_request(&mut say, kind, u64::from(u32::MAX) + self.signs, &data);
        }
        crowd.send(index, &say);
    }

    fn content(&self, due: Duration) -> String {
        let due_micros = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        envelopes::content(self.run, Stamp { number: self.said, due_micros }, self.chars)
    }

    /// Somebody comes back, or is cut off.
    fn come_or_go(&mut self, crowd: &mut Crowd) -> Result<(), LoadError> {
        let index = self.rng.usize(0..crowd.size());
        if crowd.is_live(index) {
            // Four in five are there.
            if self.rng.u8(0..5) == 0 {
                if let Some(&version) = self.at.get(index) {
                    crowd.hold(index, Held { room: LOBBY as u32, version });
                }
                crowd.reset(index);
                self.absences += 1;
            }
            Ok(())
        } else {
            crowd.begin_connecting(index, IN_FLIGHT_MAX)
        }
    }
}

/// Lives through it.
///
/// # Errors
/// Something was refused; somebody was disconnected who was not to be.
pub fn run(target: &Target, asked: Mixed, progress: &mut Progress) -> Result<MixedReport, LoadError> {
    let people = asked.people.max(CLASSIC_ONE_IN * 2);
    let classic = people / CLASSIC_ONE_IN;
    let v1 = people - classic;
    let server = Watch(asked.server_pid);
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + v1 as u64, Door::V1)?;
    let mut day = Day {
        rng: Rng::with_seed(asked.seed),
        run: envelopes::new_run(),
        chars: content_chars(Dialect::Classic, asked.chars),
        rooms: Vec::new(),
        v1,
        said: 0,
        acknowledged: 0,
        signs: 0,
        absences: 0,
        at: vec![UNWELCOMED; v1],
        receipts: Receipts::default(),
        ids: vec![0; classic],
        classic: Receipts::default(),
        stopwatch: Stopwatch::new(),
        newest: 0,
        began: Instant::now(),
    };
    crowd.connect_all_listening(IN_FLIGHT_MAX, PATIENCE, progress, &mut listener(&mut day))?;
    let owners: Vec<usize> = (0..v1).step_by(GROUP).collect();
    day.rooms = premises::create_rooms(&mut crowd, owners.into_iter(), "public", progress)?;
    let others: Vec<(usize, u64)> =
        (0..v1).filter(|index| index % GROUP > 0).map(|index| (index, day.rooms[index / GROUP])).collect();
    premises::join_rooms(&mut crowd, others.into_iter(), progress)?;
    crowd.add(target, FIRST_USER + v1 as u64..FIRST_USER + people as u64, Door::Classic)?;
    crowd.connect_all_listening(IN_FLIGHT_MAX, PATIENCE, progress, &mut listener(&mut day))?;

    let cpu = server.cpu()?;
    live(&mut crowd, &mut day, asked, progress)?;
    let used = server.cpu_since(cpu)?;
    settle(&mut crowd, &mut day, progress)?;
    let lost = crowd.counters().lost;
    if lost > 0 {
        return Err(LoadError::Lost(lost));
    }
    Ok(MixedReport {
        people,
        seed: asked.seed,
        messages: day.said,
        acknowledged: day.acknowledged,
        signs: day.signs,
        absences: day.absences,
        latency: day.stopwatch.summary(),
        receipts: day.receipts,
        classic_receipts: day.classic,
        server_cpu_micros_per_message: micros_each(used, day.said),
    })
}

fn listener(day: &mut Day) -> impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError> + use<'_> {
    move |index, heard, _| match heard {
        Heard::Text(envelope) => day.hear(index, envelope),
        Heard::Answer(..) => Ok(()),
    }
}

/// The day itself: what happens next, and when, is drawn. Bursts come by themselves, since the times between
/// deeds are as those of a crowd of strangers (exponential).
fn live(crowd: &mut Crowd, day: &mut Day, asked: Mixed, progress: &mut Progress) -> Result<(), LoadError> {
    #[expect(clippy::cast_precision_loss, reason = "people of one machine")]
    let comings_rate = crowd.size() as f64 / COMINGS_AND_GOINGS_ONE_IN;
    let pause = |rng: &mut Rng, rate: f64| Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate.max(1e-3));
    let (mut next_deed, mut next_coming) = (Duration::ZERO, Duration::ZERO);
    day.began = Instant::now();
    while day.began.elapsed() < asked.duration {
        let now = day.began.elapsed();
        while next_deed <= now {
            day.act(crowd, next_deed);
            next_deed += pause(&mut day.rng, f64::from(asked.rate));
        }
        while next_coming <= now {
            day.come_or_go(crowd)?;
            next_coming += pause(&mut day.rng, comings_rate);
        }
        progress.tell(|| {
            format!("{} of {} are there, {} said, {} absences", crowd.live(), crowd.size(), day.said, day.absences)
        });
        let patience = next_deed.min(next_coming).saturating_sub(day.began.elapsed()).min(LOOK);
        crowd.turn(patience, &mut listener(day))?;
    }
    Ok(())
}

/// In the end everybody comes back, and hears what there is to hear.
fn settle(crowd: &mut Crowd, day: &mut Day, progress: &mut Progress) -> Result<(), LoadError> {
    crowd.connect_all_listening(IN_FLIGHT_MAX, PATIENCE, progress, &mut listener(day))?;
    let began = Instant::now();
    while began.elapsed() < STRAGGLERS && day.at.iter().any(|&at| at < day.newest) {
        progress.tell(|| "waiting for the last words to be heard by all".to_owned());
        crowd.turn(LOOK, &mut listener(day))?;
    }
    day.receipts.lost += day.at.iter().map(|&at| u64::from(day.newest.saturating_sub(at))).sum::<u64>();
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
            "{people} people, {absences} absences, {messages} messages, typing and read marks {signs} (seed {seed})"
        )?;
        writeln!(f, "acknowledged: {acknowledged}")?;
        writeln!(f, "heard after a message was due: {}", self.latency)?;
        writeln!(f, "receipts in the lobby, v1: {}", self.receipts)?;
        writeln!(f, "receipts in the lobby, classic: {}", self.classic_receipts)?;
        write_cpu(f, "message said", self.server_cpu_micros_per_message)
    }
}
