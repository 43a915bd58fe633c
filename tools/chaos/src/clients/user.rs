//! A user of the site: an id, a name, and the token that all of their clients use. The site signs a new token after the
//! old one was revoked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use teahouse_testkit::tokens::{claims, now_seconds, sign};

/// A user. Clones share the token and the numbers.
#[derive(Clone)]
pub struct User {
    /// The id.
    pub id: u64,
    /// The name.
    pub name: String,
    token: Arc<Mutex<String>>,
    numbers: Arc<AtomicU64>,
}

impl User {
    /// A user of the site.
    #[must_use]
    pub fn new(id: u64, name: &str) -> Self {
        let token = Arc::new(Mutex::new(token(id, name, 0)));
        Self { id, name: name.to_owned(), token, numbers: Arc::default() }
    }

    /// The current token.
    #[must_use]
    pub fn token(&self) -> String {
        self.token.lock().unwrap().clone()
    }

    /// Replaces a token that is void, unless another client has replaced it already.
    pub fn replace_token(&self, void: &str) {
        let mut held = self.token.lock().unwrap();
        if *held == void {
            *held = token(self.id, &self.name, self.next_number());
        }
    }

    /// A number that no client of this user has used: it makes contents and keys unique.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A token is valid since two hours, because the clock of the server jumps back in a run.
const VALID_SINCE_SECONDS: i64 = 2 * 3600;

/// A token of the site; the number makes it unique.
fn token(id: u64, name: &str, number: u64) -> String {
    let mut claims = claims(id, name);
    claims["nbf"] = json!(now_seconds() - VALID_SINCE_SECONDS);
    claims["number"] = json!(number);
    sign(&claims)
}
