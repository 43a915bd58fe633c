//! Somebody: an id, a name, and the token that the site signed for them, which all of their devices show. The site
//! signs another one after it was revoked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

/// The secret that the site and the server share.
pub const SITE_SECRET: &str = "the secret of the site";

/// Somebody.
#[derive(Clone)]
pub struct Person {
    /// Who.
    pub id: u64,
    /// The name.
    pub name: String,
    token: Arc<Mutex<String>>,
    /// Tells apart what is said, over all devices.
    said: Arc<AtomicU64>,
}

impl Person {
    /// A user of the site.
    #[must_use]
    pub fn new(id: u64, name: &str) -> Self {
        let token = Arc::new(Mutex::new(token(id, name, 0)));
        Self { id, name: name.to_owned(), token, said: Arc::default() }
    }

    /// The token that their devices show.
    #[must_use]
    pub fn token(&self) -> String {
        self.token.lock().unwrap().clone()
    }

    /// This one is not good any more: the site signs another one, unless another device asked for one already.
    pub fn needs_another_than(&self, old: &str) {
        let mut held = self.token.lock().unwrap();
        if *held == old {
            *held = token(self.id, &self.name, self.number());
        }
    }

    /// A number that they did not use yet.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.said.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// So far before its making a token is good, since the server's clock jumps back in a run.
const NBF_SECONDS: i64 = 2 * 3600;

/// What the Go backend puts into its tokens; the number makes each another one.
fn token(id: u64, name: &str, number: u64) -> String {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let claims = json!({
        "user_id": id, "username": name, "email": format!("{name}@example.org"), "iss": "community-api",
        "sub": id.to_string(), "aud": ["community-api"], "exp": now + 86_400, "nbf": now - NBF_SECONDS, "iat": now,
        "jti": id.to_string(), "number": number,
    });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SITE_SECRET.as_bytes())).unwrap()
}
