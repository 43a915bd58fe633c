//! What stories share beyond the testkit: servers in the usual configurations, users, classic tabs, v1 devices, raw
//! sockets, a backend. Nothing here sleeps: a test waits for an event, under one generous deadline.

mod backend;
mod device;
mod raw_socket;
pub(crate) mod schema;
mod server;
mod tab;
mod user;
mod view;

pub(crate) use backend::Backend;
pub(crate) use device::Device;
pub(crate) use raw_socket::{Frame, RawSocket, masked};
pub(crate) use server::{BINARY, Server};
pub(crate) use tab::{Received, Tab, of_type};
pub(crate) use user::User;
pub(crate) use view::View;

pub(crate) use teahouse_testkit::tokens::{SITE_SECRET, claims, now_seconds, sign, site_token};
pub(crate) use teahouse_testkit::ws::request_head;
pub(crate) use teahouse_testkit::{PATIENCE, Random};

/// The password of everybody who registers.
pub(crate) const PASSWORD: &str = "oolong7";

/// Raises all limits, for stories that are not about limits.
pub(crate) const NO_LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "100000"),
    ("TEAHOUSE_LIMITS__CONNECTS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__CONNECTS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__STRANGERS_PER_DAY", "100000"),
    ("TEAHOUSE_LIMITS__READS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__READS_BURST", "100000"),
];

/// Allows many devices of one user.
pub(crate) const DEVICES: &[(&str, &str)] = &[("TEAHOUSE_SESSIONS__PER_USER", "20")];

/// Waits for a future, and panics after [`PATIENCE`].
pub(crate) async fn within_patience<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Polls a condition until it holds. The server notifies nobody when the task of a socket ends.
pub(crate) async fn wait_until(mut is_so: impl AsyncFnMut() -> bool) {
    within_patience("a condition", async { while !is_so().await {} }).await;
}
