//! The table of all keys: type, default, bounds and documentation. The structs, the environment variables, `teahouse
//! config` and docs/configuration.md (`make docs`) are generated from it. `value.rs` parses and prints the types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use teahouse_core::limits;

use super::raw::RawConfig;
use super::value::{ByteCount, DefaultText, LogFilter, LogFormat, TrustedProxies, WebOrigin};
use super::{ConfigError, Key, Secret, Section};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// `key: type = default => "the default in words", in bounds;`
macro_rules! schema {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty = $default:expr $(=> $words:literal)? $(, in $bounds:expr)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug)]
            pub(crate) struct $Section {
                $( $(#[doc = $doc])+ pub $name: $type, )+
            }
        )+

        /// A valid configuration.
        #[derive(Clone, Debug)]
        pub(crate) struct Config {
            $( $(#[doc = $section_doc])+ pub $section: $Section, )+
        }

        /// Every section, in order.
        pub(super) const SECTIONS: &[Section] = &[$(
            Section { name: stringify!($section), doc: concat!($($section_doc),+) }
        ),+];

        /// Every key, in order.
        pub(crate) static KEYS: &[Key] = &[$($( Key {
            section: stringify!($section),
            name: stringify!($name),
            doc: concat!($($doc),+),
            default: || DefaultText::from($default).0,
            default_in_words: first(&[$($words)?]),
        } ),+),+];

        impl Config {
            /// Reads all keys, also after an error, so that all errors are found.
            pub(super) fn read(raw: &mut RawConfig) -> Option<Self> {
                let mut keys = KEYS.iter();
                $( let $section = {
                    $( let $name: Option<$type> = {
                        let key = keys.next()?;
                        let value = raw.read(key);
                        $( let value = raw.check_bounds(key, value, $bounds); )?
                        value
                    }; )+
                    (|| Some($Section { $( $name: $name? ),+ }))()
                }; )+
                Some(Self { $( $section: $section? ),+ })
            }
        }
    };
}

const fn first(words: &[&'static str]) -> Option<&'static str> {
    match words {
        [words, ..] => Some(*words),
        [] => None,
    }
}

schema! {
    /// Network, proxies, data directory and size limits.
    server: Server {
        /// Address and port to listen on. Loopback by default, since a reverse proxy terminates TLS.
        listen: SocketAddr = "127.0.0.1:8080";
        /// URL of the site as browsers see it; pages of this origin may connect. If not set, the `Host` of the request
        /// decides.
        public_url: Option<WebOrigin> = "";
        /// Other origins whose pages may connect and call the API.
        allowed_origins: Vec<WebOrigin> = "";
        /// Addresses or networks of reverse proxies. Their `X-Forwarded-*` headers are trusted, and their connections
        /// count against no address. `loopback` means proxies on this machine, and only while `server.listen` is a
        /// loopback address, so that nobody else can connect; an empty list means none.
        trusted_proxies: TrustedProxies = "loopback";
        /// Directory of the database, the secrets and the control socket. The server creates it.
        data: PathBuf = "./teahouse-data";
        /// Number of threads that own sessions.
        shards: usize = cores() => "one per core", in 1..=1024;
        /// Maximum duration of a shutdown: sessions are closed gradually and accepted requests finish. Docker kills
        /// after 10 seconds.
        drain_timeout: Duration = "10s", in Duration::ZERO..=HOUR;
        /// Maximum number of open connections. Beyond it the oldest idle one gives way to a new one; if none is idle, the
        /// new one gets 503, except for `/live` and `/ready`. The default leaves 1,000 descriptors for everything else.
        connections_max: usize = connections_from_descriptors() => "from the descriptor limit, at most 100000",
            in 1..=10_000_000;
        /// Maximum number of open connections that are not authenticated; beyond it the oldest idle one of them gives
        /// way. The default keeps an eighth of all connections for authenticated ones.
        connections_unauthenticated_max: Option<usize> = "" => "seven eighths of `server.connections_max`";
        /// The same for one client address (IPv4 address, IPv6 /64). It applies only while three quarters of
        /// `server.connections_max` are taken, so that a campus behind one address has room.
        connections_per_address_max: Option<usize> = "" => "a quarter of `server.connections_max`";
        /// Maximum number of WebSocket handshakes in progress; more wait.
        handshakes_max: usize = 64, in 1..=65_536;
        /// Maximum time to receive the request head (slowloris protection).
        header_timeout: Duration = "10s", in Duration::from_millis(1)..=HOUR;
        /// Maximum size of a request head. The default has room for two tokens of 8 KiB.
        header_bytes_max: ByteCount = "16KiB", in ByteCount(8192)..=ByteCount(1 << 20);
        /// Maximum size of a request body; the same as that of a WebSocket frame.
        body_bytes_max: ByteCount = "64KiB", in ByteCount(1024)..=ByteCount(16 << 20);
    }
    /// Tokens, logins and registration.
    auth: Auth {
        /// Secret (HS256) with which the site's backend signs its tokens. If not set, the server generates one and
        /// accepts only tokens of local accounts.
        jwt_secret: Option<Secret> = "";
        /// PEM file with the public key (RS256, ES256 or EdDSA) of a site that signs its tokens.
        public_key_file: Option<PathBuf> = "";
        /// JWKS file with the public keys of a site that signs its tokens; the token's `kid` selects the key.
        jwks_file: Option<PathBuf> = "";
        /// Required `iss` of a token.
        issuer: String = "community-api";
        /// Required value in the `aud` of a token that has one.
        audience: String = "community-api";
        /// Lifetime of tokens for local accounts. A day, since the classic front end never refreshes its token.
        token_ttl: Duration = "24h", in SECOND..=YEAR;
        /// Lifetime of a login without a visit; each refresh extends it.
        refresh_ttl: Duration = "30d", in SECOND..=YEAR;
        /// Number of password hashes computed in parallel (19 MiB each). At most half of the cores, so that a flood of
        /// logins leaves the other half to the chat.
        password_hashes_parallel: usize = (cores() / 2).clamp(1, 2) => "half of the cores, 1 or 2", in 1..=64;
        /// Maximum number of logins and registrations that wait for a password hash; beyond it one of the address with
        /// most gives way to one of an address with fewer. At 30 milliseconds each, two at a time,
        /// the last one waits six seconds.
        passwords_waiting_max: usize = 400, in 1..=100_000;
        /// The same from one client address. Addresses take turns, so that a lecture hall that logs in delays itself
        /// only.
        passwords_waiting_per_address_max: usize = 200, in 1..=100_000;
        /// Whether visitors can register an account. If not set: yes, unless a site's tokens are accepted.
        registration: Option<bool> = "";
    }
    /// Lifetime of sessions: displacement, presence, pings and timeouts.
    sessions: Sessions {
        /// Maximum number of devices of a user with a live session; a further one displaces the oldest. A device has one
        /// session, and all sockets of the classic front end are one device. With 1, a new connection displaces the one
        /// before.
        per_user: usize = limits::DEVICES_PER_USER, in 1..=100;
        /// Time for which a user stays online after the last session was lost without a close frame. Hides page
        /// refreshes, also repeated ones of a slow page.
        presence_linger: Duration = limits::PRESENCE_LINGER, in Duration::ZERO..=HOUR;
        /// Interval between pings on a socket.
        ping_interval: Duration = limits::PING_INTERVAL, in SECOND..=HOUR;
        /// Maximum time to answer a ping before the socket is closed. Not longer than `sessions.ping_interval`.
        pong_timeout: Duration = limits::PONG_TIMEOUT, in SECOND..=HOUR;
        /// Maximum time without progress while a socket's send queue holds data; then the socket is closed.
        stall_timeout: Duration = limits::STALL_TIMEOUT, in SECOND..=HOUR;
        /// Time for which a socket stays open after its token has expired, so that the client can renew it.
        token_grace: Duration = limits::TOKEN_GRACE, in Duration::ZERO..=HOUR;
        /// Maximum time for a v1 client to send `hello`.
        hello_timeout: Duration = limits::HELLO_TIMEOUT, in SECOND..=HOUR;
        /// Idle time after which a v1 client is asked to send a heartbeat. Keep it below the idle timeout of every
        /// proxy between client and server.
        heartbeat_interval: Duration = limits::HEARTBEAT_INTERVAL, in SECOND..=HOUR;
    }
    /// Rate limits (token buckets): per user once the user is known, per client address before that. A burst is the
    /// number allowed at once. A rate or burst of zero lets nothing pass.
    limits: Limits {
        /// Messages per second that a user sends, over HTTP and WebSocket together. Edits, and changes of the profile
        /// or of a room's name, count as messages.
        sends_per_second: u32 = 3;
        /// Burst of messages of a user.
        sends_burst: u32 = 5;
        /// Other WebSocket requests per second of a user.
        envelopes_per_second: u32 = 20;
        /// Burst of other WebSocket requests of a user.
        envelopes_burst: u32 = 60;
        /// WebSocket connections per second that a user opens.
        connects_per_second: u32 = 50;
        /// Burst of WebSocket connections of a user.
        connects_burst: u32 = 200;
        /// HTTP reads per second of a user.
        reads_per_second: u32 = 50;
        /// Burst of HTTP reads of a user.
        reads_burst: u32 = 200;
        /// New strangers whom a user may invite or write to in a day. A stranger shares no private room with the user and
        /// has never written to them.
        strangers_per_day: usize = limits::STRANGERS_PER_DAY;
        /// Logins per second from one client address. A campus behind one address logs in together after a break.
        logins_per_second: u32 = 50;
        /// Burst of logins from one client address.
        logins_burst: u32 = 1000;
        /// Registrations per second from one client address. A lecture hall registers together.
        registrations_per_second: u32 = 20;
        /// Burst of registrations from one client address.
        registrations_burst: u32 = 1000;
        /// Invalid tokens per second from one client address. All pages of a campus may hold a token that expired over
        /// night, and present it again after a few seconds.
        bad_tokens_per_second: u32 = 100;
        /// Burst of invalid tokens from one client address.
        bad_tokens_burst: u32 = 2000;
        /// Wrong passwords per minute for one account; faster attempts are delayed by up to 5 seconds. A browser or a
        /// client address that logged in to the account within 90 days is counted on its own, all others together.
        wrong_passwords_per_minute: u32 = 30;
        /// Wrong passwords for one account before the delay begins. Enough for a few typing errors and a forgotten
        /// password.
        wrong_passwords_burst: u32 = 10;
    }
    /// Memory for large answers (pages of messages, lists, welcomes), from before they are read until they are written.
    answers: Answers {
        /// Maximum bytes of the large answers of all users together; further requests are refused as `overloaded`.
        bytes_max: ByteCount = "128MiB", in ByteCount(1 << 20)..=ByteCount(64 << 30);
        /// Maximum bytes of one user's large answers; further requests wait for their turn. A quarter of it is reserved
        /// while a page is read and encoded, so four are made at a time; all of it for a welcome or a list of rooms.
        bytes_per_user: ByteCount = "4MiB", in ByteCount(64 << 10)..=ByteCount(1 << 30);
        /// Maximum bytes of replies that wait for one WebSocket; beyond them the server does not read its requests. The
        /// same bound holds for its notifications; beyond it the session receives `events_missed`.
        bytes_per_session: ByteCount = "512KiB", in ByteCount(4096)..=ByteCount(1 << 30);
    }
    /// Bounds of the store's queues.
    store: StoreBounds {
        /// Maximum number of waiting writes; more are refused as `overloaded`. The default is about a tenth of a second
        /// of work.
        queue_max: usize = 4096, in 1..=1_000_000;
        /// Maximum number of writes in one transaction, which share its fsync. At 15 microseconds each, the first waits
        /// at most 15 ms for the last.
        group_max: usize = 1024, in 1..=100_000;
        /// Maximum number of waiting reads; more are refused as `overloaded`.
        reads_max: usize = 4096, in 1..=1_000_000;
    }
    /// Metrics for Prometheus.
    metrics: Metrics {
        /// Address and port of the metrics listener (`/metrics`). If not set, metrics are not served.
        listen: Option<SocketAddr> = "";
    }
    /// Log lines, written to standard error.
    log: Log {
        /// Filter of log lines: a level, or a list such as `warn,teahouse_hub=debug`.
        filter: LogFilter = "info";
        /// Format of log lines: `text`, or `json` for log collectors.
        format: LogFormat = "text";
    }
}

impl Server {
    /// The reverse proxies that are trusted.
    #[must_use]
    pub(crate) fn trusted_proxies(&self) -> &[IpNet] {
        const LOOPBACK: &[IpNet] = &[
            IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ];
        match &self.trusted_proxies {
            TrustedProxies::Listed(networks) => networks,
            TrustedProxies::Loopback if self.listen.ip().to_canonical().is_loopback() => LOOPBACK,
            TrustedProxies::Loopback => &[],
        }
    }
}

impl Auth {
    /// Whether a site's tokens are accepted beside those of local accounts, whose ids then start at 2^40.
    #[must_use]
    pub(crate) fn site_tokens(&self) -> bool {
        self.jwt_secret.is_some() || self.public_key_file.is_some() || self.jwks_file.is_some()
    }

    /// Whether visitors can register an account.
    #[must_use]
    pub(crate) fn registration_open(&self) -> bool {
        self.registration.unwrap_or(!self.site_tokens())
    }
}

impl Config {
    /// The contradictions between values that are valid one by one.
    pub(super) fn validate(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut add = |key: &str, message: &str| {
            errors.push(ConfigError { key: Some(key.to_owned()), source: None, message: message.to_owned() });
        };
        let auth = &self.auth;
        let keys = [auth.jwt_secret.is_some(), auth.public_key_file.is_some(), auth.jwks_file.is_some()];
        if keys.iter().filter(|set| **set).count() > 1 {
            add("auth", "only one of jwt_secret, public_key_file and jwks_file can be set");
        }
        if self.metrics.listen.is_some_and(|listen| listen == self.server.listen && listen.port() != 0) {
            add("metrics.listen", "is the same as server.listen");
        }
        if self.sessions.pong_timeout > self.sessions.ping_interval {
            add("sessions.pong_timeout", "is longer than sessions.ping_interval");
        }
        errors
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reserves 1,000 descriptors, or half of them where there are few, for files, the database and HTTP. The hard limit
/// counts, since the server raises the soft limit to it. Two cores carried 100,000 connections in measurements.
fn connections_from_descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let descriptors = usize::try_from(limit.maximum.or(limit.current).unwrap_or(1_000_000)).unwrap_or(usize::MAX);
    (descriptors - (descriptors / 2).min(1000)).clamp(1, 100_000)
}
