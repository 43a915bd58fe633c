//! What every story needs: a server, people, their tabs, raw sockets, tokens, chance from a seed. Nothing here
//! sleeps: whoever waits, waits for an event, under one generous deadline.

mod backend;
mod device;
mod person;
mod room_view;
pub mod schema;
mod server;
mod tab;
mod token;
mod view;
mod wire;

pub use backend::Backend;
pub use device::Device;
pub use person::Person;
pub use server::{BINARY, Server};
pub use tab::{Heard, Tab, of_type};
pub use token::{SITE_SECRET, claims, now_seconds, signed, site_token};
pub use view::View;
pub use wire::{Frame, Wire, handshake, masked};

pub use teahouse_chaos::server::PATIENCE;

/// The password of everybody who registers.
pub const PASSWORD: &str = "oolong7";

/// The limits out of the way, for stories that are about something else.
pub const NO_LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "100000"),
    ("TEAHOUSE_LIMITS__CONNECTS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__CONNECTS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "100000"),
];

/// The limits out of the way, and room for many devices.
pub const DEVICES: &[(&str, &str)] = &[("TEAHOUSE_SESSIONS__PER_USER", "20")];

/// Waits for something, not for ever.
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks until it is so. What a socket leaves behind goes when its task ends, which nobody is told.
pub async fn settles(mut is_so: impl AsyncFnMut() -> bool) {
    patiently("it to settle", async { while !is_so().await {} }).await;
}

/// Chance that can be repeated (SplitMix64).
pub struct Chance(u64);

impl Chance {
    /// From the clock, or from TEAHOUSE_STORY_SEED to play a failure again; it is printed.
    pub fn printed(story: &str) -> Self {
        let given = std::env::var("TEAHOUSE_STORY_SEED").ok().and_then(|seed| seed.parse().ok());
        let nanos = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
        let seed = given.unwrap_or_else(nanos);
        println!("{story}: TEAHOUSE_STORY_SEED={seed}");
        Self(seed)
    }

    /// Another one, that depends on this number alone.
    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = usize::try_from(self.below(end as u64 + 1)).unwrap();
            items.swap(end, other);
        }
    }
}
