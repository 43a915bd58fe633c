//! Whom the crowd visits, and how its members prove who they are.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::error::LoadError;
use crate::wire;

/// How long tokens live: longer than any run.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// By which door clients come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// A WebSocket of the classic dialect.
    Classic,
    /// A WebSocket of the v1 dialect.
    V1,
    /// An HTTP connection that is kept alive.
    Http,
}

/// What is spoken over a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// What the old Vue front end speaks, and any server that it works with
    Classic,
    /// Teahouse's own: acknowledgements, versions, resume
    V1,
}

impl Dialect {
    pub(crate) fn door(self) -> Door {
        match self {
            Self::Classic => Door::Classic,
            Self::V1 => Door::V1,
        }
    }
}

/// A server, and the secret that lets everybody in.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    key: String,
    /// Whether a crowd that visits it never sleeps, see [`Target::visited_awake`].
    pub(crate) visited_awake: bool,
}

impl Target {
    /// The server at `http://host:port`, which accepts tokens signed with this secret (HS256).
    ///
    /// # Errors
    /// That is no such address.
    pub fn new(url: &str, jwt_secret: &str) -> Result<Self, LoadError> {
        let wrong = || LoadError::Address(url.to_owned());
        let host = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let address = host.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)?;
        Ok(Self { address, key: jwt_secret.to_owned(), visited_awake: false })
    }

    /// The same, for a crowd that never sleeps while it waits for something to read. On one machine, whoever sends
    /// to a client that sleeps pays for waking its thread: some microseconds in a virtual machine, which no server
    /// pays for a client across a network. It takes a core for itself.
    #[must_use]
    pub fn visited_awake(self, awake: bool) -> Self {
        Self { visited_awake: awake, ..self }
    }

    /// The token of a user, as a site's backend would sign it.
    ///
    /// # Errors
    /// It cannot be signed.
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

    /// The request that opens a user's WebSocket.
    pub(crate) fn handshake(&self, user: u64, door: Door) -> Result<Vec<u8>, LoadError> {
        Ok(wire::handshake(self.address, &self.token(user)?, door))
    }

    /// A request to post this, with a token.
    pub(crate) fn post(&self, token: &str, path: &str, body: &str) -> Vec<u8> {
        wire::post(self.address, path, token, body)
    }
}
