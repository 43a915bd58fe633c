//! What tests of a running server share: the server process, faults of its machine, tokens of the site, an HTTP
//! client, a WebSocket client, random numbers from a seed. It knows the wire and nothing of the server's insides.
//! It panics where a test cannot continue.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot continue fails")]

pub mod faults;
pub mod http;
pub mod random;
pub mod server;
pub mod tokens;
pub mod ws;

pub use faults::{Disk, Faults};
pub use http::{HttpClient, Response};
pub use random::Random;
pub use server::{PATIENCE, Server};
pub use ws::{Handshake, HandshakeError, WsClient, WsEvent};
