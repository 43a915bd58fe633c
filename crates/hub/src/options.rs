//! The hub's options: every bound with its name, default and reason.

use std::time::Duration;

use teahouse_core::limits;

use crate::tail::TailMax;

const MIB: usize = 1 << 20;

/// The hub's options.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Shards, one thread each. One per core: a shard never waits for another.
    pub shards: usize,
    /// Devices of one user with a live session; one more displaces the oldest.
    pub devices_per_user: usize,
    /// How long a user counts as online after the last session was lost.
    pub presence_linger: Duration,
    /// How often a socket is pinged.
    pub ping_interval: Duration,
    /// How long after a ping a silent peer times out.
    pub pong_timeout: Duration,
    /// How long a socket's send queue may make no progress while data waits.
    pub stall_timeout: Duration,
    /// How long a session outlives its token's `exp`.
    pub token_grace: Duration,
    /// Payload bytes of one message from a client; a longer one closes with 1009.
    pub frame_bytes_max: usize,
    /// The lobby's tail. Sessions further behind read the store. 1,024 changes of 300 bytes are 300 KB; 4 MiB are 256 of
    /// the longest messages.
    pub tail_max: TailMax,
    /// The tail of every other room, which has fewer readers: 128 changes of 400 bytes are 50 KB; 512 KiB are 32 of the
    /// longest messages.
    pub room_tail_max: TailMax,
    /// Bytes of all tails of a shard, so that a user who writes long messages in many rooms costs no more than this.
    /// Beyond it the changes that were appended first are dropped, down to three quarters. Each shard counts the frames
    /// that it shares with the others.
    pub tails_bytes_max: usize,
    /// Published events that are kept for slow sessions. A session that is slower is sent `events_missed`. These are
    /// more events than one request of a site's backend may publish; the shards share the bytes.
    pub ring_events_max: usize,
    /// Bytes of these events: 256 of the longest ones.
    pub ring_bytes_max: usize,
    /// How long a v1 client may take to say hello.
    pub hello_timeout: Duration,
    /// After how long without other traffic a v1 client sends a heartbeat.
    pub heartbeat_interval: Duration,
    /// Deliveries that wait for one shard. Beyond them the shard reads the store.
    pub inbox_commits_max: usize,
    /// Bytes of these deliveries: a thousand of the longest messages, which the shards share.
    pub inbox_bytes_max: usize,
    /// Envelopes that wait for one session outside of rooms. Beyond this many notifications the session is sent
    /// `events_missed`; beyond this many replies its requests are not read.
    pub waiting_envelopes_max: usize,
    /// Bytes of the replies that wait for one session; beyond them its requests are not read. They hold several pages of
    /// history, so that a session that reads never waits.
    pub reply_bytes_max: usize,
    /// Bytes of the notifications that wait for one session; beyond them it is sent `events_missed`. These are eight of
    /// the longest published events; 256 of all others take far less.
    pub notification_bytes_max: usize,
    /// Members for whom a shard reads changed room entries in one tick; other rooms wait for a later tick. Each read
    /// takes the store some tenths of a millisecond, and a user may change several rooms of 500 members a second.
    pub entries_per_tick_max: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            devices_per_user: limits::DEVICES_PER_USER,
            presence_linger: limits::PRESENCE_LINGER,
            ping_interval: limits::PING_INTERVAL,
            pong_timeout: limits::PONG_TIMEOUT,
            stall_timeout: limits::STALL_TIMEOUT,
            token_grace: limits::TOKEN_GRACE,
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            tail_max: TailMax { changes: 1024, bytes: 4 * MIB },
            room_tail_max: TailMax { changes: 128, bytes: MIB / 2 },
            tails_bytes_max: 32 * MIB,
            ring_events_max: 4096,
            ring_bytes_max: 16 * MIB,
            hello_timeout: limits::HELLO_TIMEOUT,
            heartbeat_interval: limits::HEARTBEAT_INTERVAL,
            inbox_commits_max: 16 * 1024,
            inbox_bytes_max: 16 * MIB,
            waiting_envelopes_max: 256,
            reply_bytes_max: MIB / 2,
            notification_bytes_max: MIB / 2,
            entries_per_tick_max: 200,
        }
    }
}
