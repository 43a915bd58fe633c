//! The server under load, and the tokens and requests that clients send to it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::error::LoadError;
use crate::wire;

/// Lifetime of tokens: longer than any run.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// How a client connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// WebSocket, classic dialect.
    Classic,
    /// WebSocket, v1 dialect.
    V1,
    /// HTTP with keep-alive.
    Http,
}

/// The protocol dialect of a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Spoken by the old Vue front end and every server it works with
    Classic,
    /// Teahouse's own: acknowledgements, versions, resume
    V1,
}

impl Dialect {
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Classic => Transport::Classic,
            Self::V1 => Transport::V1,
        }
    }
}

/// A server, and the secret that signs its tokens.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server's address.
    pub address: SocketAddr,
    key: String,
    /// See [`Target::with_busy_poll`].
    pub(crate) busy_poll: bool,
}

impl Target {
    /// The server at `http://host:port`, which accepts tokens signed with this secret (HS256).
    ///
    /// # Errors
    /// The address is invalid or does not resolve.
    pub fn new(url: &str, jwt_secret: &str) -> Result<Self, LoadError> {
        let wrong = || LoadError::Address(url.to_owned());
        let host = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let address = host.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)?;
        Ok(Self { address, key: jwt_secret.to_owned(), busy_poll: false })
    }

    /// Lets client pools poll without sleeping. On one machine, a server that sends to a sleeping client pays for
    /// waking the client's thread (some microseconds in a virtual machine), which it does not pay across a network.
    /// Busy polling needs a core of its own.
    #[must_use]
    pub fn with_busy_poll(self, busy_poll: bool) -> Self {
        Self { busy_poll, ..self }
    }

    /// A token of a user, signed as a site's backend would sign it.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn token(&self, user: u64) -> Result<String, LoadError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = serde_json::json!({
            "sub": user.to_string(),
            "username": format!("load{user}"),
            "iss": "community-api",
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        });
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &EncodingKey::from_secret(self.key.as_bytes()),
        )?)
    }

    pub(crate) fn handshake(&self, user: u64, transport: Transport) -> Result<Vec<u8>, LoadError> {
        Ok(wire::handshake(self.address, &self.token(user)?, transport))
    }

    pub(crate) fn post(&self, token: &str, path: &str, body: &str) -> Vec<u8> {
        wire::post(self.address, path, token, body)
    }
}
