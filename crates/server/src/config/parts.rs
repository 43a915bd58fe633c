//! Every key, in one table: its type, its default, its bounds, its reason. The structs, the reference,
//! `teahouse config` and the names in the environment all come from here. What values look like as
//! text is `value`'s business.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use teahouse_core::limits;

use super::value::{ByteCount, DefaultText, LogFilter, LogFormat, Secret, WebOrigin};
use super::{Key, Mistake};
use crate::config::raw::Raw;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

macro_rules! parts {
    ($(
        $(#[doc = $part_doc:literal])+
        $section:ident: $Part:ident {
            $( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr $(, in $bounds:expr)?; )+
        }
    )+) => {
        $(
            $(#[doc = $part_doc])+
            #[derive(Clone, Debug)]
            pub struct $Part {
                $( $(#[doc = $doc])+ pub $name: $type, )+
            }
        )+

        /// What the operator wants, checked.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $part_doc])+ pub $section: $Part, )+
        }

        /// The names of the sections, in order.
        pub(super) const SECTIONS: &[&str] = &[$( stringify!($section) ),+];

        /// Every key, in order.
        pub static KEYS: &[Key] = &[$($( Key {
            section: stringify!($section),
            name: stringify!($name),
            doc: concat!($($doc),+),
            default: || DefaultText::from($default).0,
        } ),+),+];

        impl Config {
            /// Reads every key, so that every mistake is found, before it gives up on any.
            pub(super) fn read(raw: &mut Raw) -> Option<Self> {
                let mut keys = KEYS.iter();
                $( let $section = {
                    $( let $name: Option<$type> = {
                        let key = keys.next()?;
                        let value = raw.read(key);
                        $( let value = raw.within(key, value, $bounds); )?
                        value
                    }; )+
                    (|| Some($Part { $( $name: $name? ),+ }))()
                }; )+
                Some(Self { $( $section: $section? ),+ })
            }
        }
    };
}

parts! {
    /// The door: where it listens, whom it believes, how much it takes.
    server: Server {
        /// Where to listen. Loopback, since TLS is the reverse proxy's work.
        listen: SocketAddr = "127.0.0.1:8080";
        /// The address of the site as browsers see it; pages from there may connect. Not set: the
        /// request's own Host decides.
        public_url: Option<WebOrigin> = "";
        /// Origins of other pages that may connect and call the API.
        allowed_origins: Vec<WebOrigin> = "";
        /// Addresses or networks of reverse proxies whose X-Forwarded headers are believed.
        trusted_proxies: Vec<IpNet> = "";
        /// The directory of the database, the secrets and the control socket.
        data: PathBuf = "./teahouse-data";
        /// Threads that own sessions; one for each core.
        shards: usize = cores(), in 1..=1024;
        /// How long a stopping server gives its sessions; within the ten seconds before Docker kills.
        drain_timeout: Duration = "10s", in Duration::ZERO..=HOUR;
        /// Connections in all; the descriptor limit less a thousand for everything else.
        connections_max: usize = connections_from_descriptors(), in 1..=10_000_000;
        /// Handshakes at once; more wait, they are not refused.
        handshakes_max: usize = 64, in 1..=65_536;
        /// For how long a request's head may take to arrive; one byte a second is not a client.
        header_timeout: Duration = "10s", in Duration::from_millis(1)..=HOUR;
        /// The largest head of a request: a token of 8 KiB, twice over.
        header_bytes_max: ByteCount = "16KiB", in ByteCount(8192)..=ByteCount(1 << 20);
        /// The largest body of a request, as for a frame.
        body_bytes_max: ByteCount = "64KiB", in ByteCount(1024)..=ByteCount(16 << 20);
    }
    /// Who may come in.
    auth: Auth {
        /// The secret (HS256) that a site's backend signs its tokens with. Not set: a generated one,
        /// and only tokens of our own accounts are accepted.
        jwt_secret: Option<Secret> = "";
        /// A PEM file with the public key (RS256, ES256 or EdDSA) of a site that signs the tokens.
        public_key_file: Option<PathBuf> = "";
        /// A JWKS file with the public keys of a site that signs the tokens; a token's kid chooses.
        jwks_file: Option<PathBuf> = "";
        /// What a token's iss must be.
        issuer: String = "community-api";
        /// What a token's aud must contain, where it has one.
        audience: String = "community-api";
        /// How long our own tokens live; a day, since the classic front end never refreshes.
        token_ttl: Duration = "24h", in SECOND..=YEAR;
        /// How long one stays logged in without coming by.
        refresh_ttl: Duration = "30d", in SECOND..=YEAR;
        /// Password hashes computed at once (19 MiB each); at most half of the cores, so that a flood
        /// of logins leaves the others to the chat.
        password_hashes_parallel: usize = (cores() / 2).clamp(1, 2), in 1..=64;
        /// Whether one can register here. Not set: yes, unless a site's tokens are in use.
        registration: Option<bool> = "";
    }
    /// How sessions live and end.
    sessions: Sessions {
        /// Live sessions of one user; one too many displaces the oldest.
        per_user: usize = limits::SESSIONS_PER_USER, in 1..=100;
        /// For how long a user still counts as online after the last session went without a goodbye.
        presence_linger: Duration = limits::PRESENCE_LINGER, in Duration::ZERO..=HOUR;
        /// How often a socket is pinged.
        ping_interval: Duration = limits::PING_INTERVAL, in SECOND..=HOUR;
        /// How long after a ping a silent peer is given up.
        pong_timeout: Duration = limits::PONG_TIMEOUT, in SECOND..=HOUR;
        /// How long a socket's queue may stand still while data waits in it.
        stall_timeout: Duration = limits::STALL_TIMEOUT, in SECOND..=HOUR;
        /// For how long a socket outlives its token.
        token_grace: Duration = limits::TOKEN_GRACE, in Duration::ZERO..=HOUR;
        /// How long a v1 client may take to say hello.
        hello_timeout: Duration = limits::HELLO_TIMEOUT, in SECOND..=HOUR;
        /// After how long without other traffic v1 clients are asked to send a heartbeat; below the idle
        /// timeout of any proxy on the way.
        heartbeat_interval: Duration = limits::HEARTBEAT_INTERVAL, in SECOND..=HOUR;
    }
    /// How fast is too fast: per user where the user is known, per address only before that. A rate or
    /// a burst of zero lets nothing through.
    limits: Limits {
        /// Messages a user sends, by whatever door.
        sends_per_second: u32 = 3;
        /// Messages a user may send at once.
        sends_burst: u32 = 5;
        /// Other envelopes of a user.
        envelopes_per_second: u32 = 20;
        /// Other envelopes of a user at once.
        envelopes_burst: u32 = 60;
        /// Connections that a user opens.
        connects_per_second: u32 = 50;
        /// Connections that a user may open at once.
        connects_burst: u32 = 200;
        /// What a user reads over HTTP.
        reads_per_second: u32 = 50;
        /// What a user may read over HTTP at once.
        reads_burst: u32 = 200;
        /// Logins from one address: a campus behind one address comes back from a break.
        logins_per_second: u32 = 50;
        /// Logins from one address at once.
        logins_burst: u32 = 1000;
        /// Registrations from one address: a lecture hall that is told to register now.
        registrations_per_second: u32 = 20;
        /// Registrations from one address at once.
        registrations_burst: u32 = 1000;
        /// Tokens from one address that turn out to be bad: every page of a campus whose tokens
        /// expired over night comes with one, and again after a few seconds.
        bad_tokens_per_second: u32 = 100;
        /// Bad tokens from one address at once.
        bad_tokens_burst: u32 = 2000;
        /// Wrong passwords for one account from one address; faster ones wait for their turn.
        wrong_passwords_per_minute: u32 = 30;
        /// Wrong passwords for one account from one address before waiting begins.
        wrong_passwords_burst: u32 = 10;
    }
    /// The bounds of the store's queue.
    store: StoreBounds {
        /// Writes that may wait; more are refused as overloaded. A tenth of a second of work.
        queue_max: usize = 4096, in 1..=1_000_000;
        /// Writes in one transaction, which share its fsync: at 15 microseconds each, the first one
        /// waits no more than 15 ms for the last.
        group_max: usize = 1024, in 1..=100_000;
    }
    /// What operators look at.
    metrics: Metrics {
        /// Where metrics are served, on a listener of their own. Not set: nowhere.
        listen: Option<SocketAddr> = "";
    }
    /// What is written to standard error.
    log: Log {
        /// Which lines: a level, or a list such as warn,teahouse_hub=debug.
        filter: LogFilter = "info";
        /// text for people, json for collectors.
        format: LogFormat = "text";
    }
}

impl Auth {
    /// Whether a site's tokens are accepted beside our own. Ids of our own then start at 2^40.
    #[must_use]
    pub fn site_tokens(&self) -> bool {
        self.jwt_secret.is_some() || self.public_key_file.is_some() || self.jwks_file.is_some()
    }

    /// Whether one can register here.
    #[must_use]
    pub fn registration_open(&self) -> bool {
        self.registration.unwrap_or(!self.site_tokens())
    }
}

impl Config {
    /// What is wrong although each value by itself is right.
    pub(super) fn contradictions(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut contradiction = |key: &str, sentence: &str| {
            found.push(Mistake { key: Some(key.to_owned()), place: None, sentence: sentence.to_owned() });
        };
        let auth = &self.auth;
        let keys = [auth.jwt_secret.is_some(), auth.public_key_file.is_some(), auth.jwks_file.is_some()];
        if keys.iter().filter(|set| **set).count() > 1 {
            contradiction("auth", "only one of jwt_secret, public_key_file and jwks_file can be set");
        }
        if self.metrics.listen.is_some_and(|listen| listen == self.server.listen && listen.port() != 0) {
            contradiction("metrics.listen", "is the same as server.listen");
        }
        if self.sessions.pong_timeout > self.sessions.ping_interval {
            contradiction("sessions.pong_timeout", "is longer than sessions.ping_interval");
        }
        found
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Files, the database and HTTP get a thousand descriptors; where there are few, half of them. The hard
/// limit counts, since the server raises its own to it. 100,000 is what two cores have been seen to carry.
fn connections_from_descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = usize::try_from(limit.maximum.or(limit.current).unwrap_or(1_000_000)).unwrap_or(usize::MAX);
    (most - (most / 2).min(1000)).clamp(1, 100_000)
}
