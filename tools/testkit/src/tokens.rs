//! Tokens as the backend of a site signs them, with the secret that it shares with the server.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

/// The secret that the site and the server share.
pub const SITE_SECRET: &str = "a secret of the site that nobody else knows";

/// How long a token is valid.
const LIFETIME_SECONDS: i64 = 86_400;

/// Seconds since 1970.
#[must_use]
pub fn now_seconds() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// The claims of the old server's tokens.
#[must_use]
pub fn claims(id: u64, name: &str) -> Value {
    let now = now_seconds();
    json!({
        "user_id": id, "username": name, "email": format!("{name}@example.org"), "iss": "community-api",
        "sub": id.to_string(), "aud": ["community-api"], "exp": now + LIFETIME_SECONDS, "nbf": now - 5, "iat": now,
        "jti": id.to_string(),
    })
}

/// Signs claims with the secret of the site.
#[must_use]
pub fn sign(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SITE_SECRET.as_bytes())).unwrap()
}

/// A token of a user of the site.
#[must_use]
pub fn site_token(id: u64, name: &str) -> String {
    sign(&claims(id, name))
}
