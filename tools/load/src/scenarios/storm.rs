//! Everybody is cut off at once and comes back at once, while one session asks without pause, another only
//! listens, and, in v1, a third one speaks: whoever comes back is to hear exactly what they missed.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::{
    FIRST_USER, IN_FLIGHT_MAX, LOBBY, ONLOOKER_USER, PATIENCE, PROBE_USER, Report, SPEAKER_USER, Watch, micros_each,
    per,
};
use crate::crowd::{Crowd, Heard, Held};
use crate::envelopes;
use crate::error::LoadError;
use crate::ledger::Receipts;
use crate::progress::Progress;
use crate::solo::{Onlooker, OnlookerReport, Probe, ProbeReport};
use crate::speaker::{Speaker, SpeakerReport, Where};
use crate::target::{Dialect, Target};

/// Where a client stands that was not welcomed yet; zero is where a room stands in which nothing was said.
const UNWELCOMED: u32 = u32::MAX;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many connections are reset.
    pub connections: usize,
    /// How often.
    pub rounds: u32,
    /// What is spoken. In v1 everybody resumes the lobby.
    pub dialect: Dialect,
    /// Lobby messages a second meanwhile, in v1: what those who are cut off miss.
    pub rate: u32,
    /// The server's process, when it runs on this machine and is to be looked at.
    pub server_pid: Option<u32>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct StormReport {
    /// How many connections are reset in a round.
    pub connections: usize,
    /// How long it took to open them the first time, when the server made their accounts.
    pub first_connect_seconds: f64,
    /// How long each round took, from the first reset until all were live again and had been caught up.
    pub back_seconds: Vec<f64>,
    /// Connections that were opened again, over all rounds.
    pub reconnects: u64,
    /// Handshakes that broke and were tried again.
    pub retried: u64,
    /// What the probe found, over all rounds.
    pub probe: ProbeReport,
    /// What the onlooker heard, over all rounds.
    pub onlooker: OnlookerReport,
    /// What was said meanwhile, and how soon it came back to its speaker.
    pub speaker: Option<SpeakerReport>,
    /// What everybody heard of it, over all rounds, as live messages and in catching up.
    pub receipts: Option<Receipts>,
    /// What the server's process told.
    pub server: Option<ServerReport>,
}

/// What the server's process told.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// Processor time for each connect, without what the probe costs: measured in a round without one.
    pub cpu_micros_per_connect: f64,
    /// User memory for each connection when all were open for the first time.
    pub user_bytes_per_connection: f64,
    /// And after each round.
    pub user_bytes_per_connection_after: Vec<f64>,
}

/// Where each client stands in the lobby.
struct Followers {
    at: Vec<u32>,
    receipts: Receipts,
}

impl Followers {
    fn hear(&mut self, index: usize, envelope: &[u8]) {
        let at = &mut self.at[index];
        if envelopes::is_message(envelope) {
            if let Some((LOBBY, version)) = envelopes::place(envelope) {
                self.receipts.version(at, version);
            }
        } else if envelopes::is_caught_up(envelope) {
            // Every version is a message here, since nothing is edited: what the bracket passed over is lost.
            if let Some((LOBBY, version)) = envelopes::place(envelope) {
                let version = u32::try_from(version).unwrap_or(u32::MAX);
                self.receipts.lost += u64::from(version.saturating_sub(*at));
                *at = version.max(*at);
            }
        } else if envelopes::is_welcome(envelope) && *at == UNWELCOMED {
            let version = envelopes::entry_version(envelope, LOBBY).unwrap_or(0);
            *at = u32::try_from(version).unwrap_or(u32::MAX);
        }
    }
}

/// Lets it storm.
///
/// # Errors
/// Not all came back, or somebody was disconnected who was not to be.
pub fn run(target: &Target, asked: Storm, progress: &mut Progress) -> Result<StormReport, LoadError> {
    let size = asked.connections;
    let is_v1 = asked.dialect == Dialect::V1;
    let server = Watch(asked.server_pid);
    let mut crowd = Crowd::new(target, FIRST_USER..FIRST_USER + size as u64, asked.dialect.door())?;
    let mut followers = Followers { at: vec![UNWELCOMED; if is_v1 { size } else { 0 }], receipts: Receipts::default() };
    let memory_before = server.memory()?;
    let grown = || -> Result<Option<f64>, LoadError> {
        Ok(server.memory()?.zip(memory_before).map(|(now, before)| per(now.saturating_sub(before), size)))
    };
    let first = connect(&mut crowd, &mut followers, progress)?;
    crowd.wait_for_count(size as u64, PATIENCE, progress)?;
    let first_bytes = grown()?;

    let mut cpu_micros_per_connect = None;
    if asked.server_pid.is_some() {
        let before = server.cpu()?;
        cut_off(&mut crowd, &followers);
        connect(&mut crowd, &mut followers, progress)?;
        cpu_micros_per_connect = micros_each(server.cpu_since(before)?, size as u64);
    }

    let onlooker = Onlooker::start(target, ONLOOKER_USER)?;
    let probe = Probe::start(target, PROBE_USER)?;
    let speaks = is_v1 && asked.rate > 0;
    let speaker =
        speaks.then(|| Speaker::start(target, SPEAKER_USER, f64::from(asked.rate), Where::Lobby)).transpose()?;
    let others = 2 + u64::from(speaks);
    let counters_before = crowd.counters();
    let (mut back_seconds, mut bytes_after) = (Vec::new(), Vec::new());
    for _ in 0..asked.rounds {
        let began = Instant::now();
        cut_off(&mut crowd, &followers);
        connect(&mut crowd, &mut followers, progress)?;
        back_seconds.push(began.elapsed().as_secs_f64());
        crowd.until(
            PATIENCE,
            progress,
            |crowd| crowd.all_told(size as u64 + others),
            |_| "all are back, and wait to be told so".to_owned(),
            &mut listener(&mut followers),
        )?;
        bytes_after.extend(grown()?);
    }
    let (probe, onlooker) = (probe.finish()?, onlooker.finish()?);
    let speaker = speaker.map(Speaker::finish).transpose()?;
    if let Some(speaker) = &speaker {
        catch_up_with(&mut crowd, &mut followers, speaker.version, progress)?;
    }
    let counters = crowd.counters();
    if counters.lost > 0 {
        return Err(LoadError::Lost(counters.lost));
    }
    let server = cpu_micros_per_connect.zip(first_bytes).map(|(cpu_micros_per_connect, first)| ServerReport {
        cpu_micros_per_connect,
        user_bytes_per_connection: first,
        user_bytes_per_connection_after: bytes_after,
    });
    Ok(StormReport {
        connections: size,
        first_connect_seconds: first,
        back_seconds,
        reconnects: counters.opened - counters_before.opened,
        retried: counters.retried - counters_before.retried,
        probe,
        onlooker,
        speaker,
        receipts: speaks.then_some(followers.receipts),
        server,
    })
}

fn listener(
    followers: &mut Followers,
) -> impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError> + use<'_> {
    let listens = !followers.at.is_empty();
    move |index, heard, _| {
        if let Heard::Text(envelope) = heard
            && listens
        {
            followers.hear(index, envelope);
        }
        Ok(())
    }
}

fn connect(crowd: &mut Crowd, followers: &mut Followers, progress: &mut Progress) -> Result<f64, LoadError> {
    let took = crowd.connect_all_listening(IN_FLIGHT_MAX, PATIENCE, progress, &mut listener(followers))?;
    Ok(took.as_secs_f64())
}

/// Resets everybody, who will say where they stand when they come back.
fn cut_off(crowd: &mut Crowd, followers: &Followers) {
    for (index, &version) in followers.at.iter().enumerate() {
        crowd.hold(index, Held { room: LOBBY as u32, version });
    }
    crowd.reset_all();
}

/// Waits until everybody has heard this version; who has not in the end has lost what is missing.
fn catch_up_with(
    crowd: &mut Crowd,
    followers: &mut Followers,
    version: u64,
    progress: &mut Progress,
) -> Result<(), LoadError> {
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    let began = Instant::now();
    while followers.at.iter().any(|&at| at < version) && began.elapsed() < super::STRAGGLERS {
        progress.tell(|| "waiting for the last words to be heard by all".to_owned());
        crowd.turn(super::LOOK, &mut listener(followers))?;
    }
    followers.receipts.lost += followers.at.iter().map(|&at| u64::from(version.saturating_sub(at))).sum::<u64>();
    Ok(())
}

impl Report for StormReport {
    fn receipts(&self) -> Option<Receipts> {
        self.receipts
    }
}

impl fmt::Display for StormReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections, opened in {:.2} s", self.connections, self.first_connect_seconds)?;
        writeln!(f, "reset, and all back after: {:.2?} s ({} tried again)", self.back_seconds, self.retried)?;
        let ProbeReport { latency, slowest_at_seconds } = self.probe;
        writeln!(
            f,
            "probe: slowest {:.1} ms (asked {slowest_at_seconds:.2} s after the start), p50 {:.3} ms, p99 {:.2} ms, {} answers",
            latency.max_ms, latency.p50_ms, latency.p99_ms, latency.count
        )?;
        let OnlookerReport { seconds, bytes, counts, .. } = self.onlooker;
        writeln!(f, "onlooker: {bytes} bytes in {seconds:.2} s, {counts} times told who is online")?;
        if let Some(speaker) = &self.speaker {
            writeln!(f, "speaker: {} said, each back after: {}", speaker.said, speaker.latency)?;
        }
        if let Some(receipts) = &self.receipts {
            writeln!(f, "receipts: {receipts}")?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "the server's processor time for each connect: {:.0} µs", server.cpu_micros_per_connect)?;
            writeln!(
                f,
                "user memory for each connection: {:.0} bytes, after each storm {:.0?}",
                server.user_bytes_per_connection, server.user_bytes_per_connection_after
            )?;
        }
        Ok(())
    }
}
