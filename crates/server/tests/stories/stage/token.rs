//! Tokens as a site's backend signs them, with the secret that it shares with the server.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

/// The secret that the site and the server share.
pub const SITE_SECRET: &str = "the secret of the site";

/// Seconds since 1970.
pub fn now_seconds() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// What the Go backend puts into its tokens.
pub fn claims(id: u64, name: &str) -> Value {
    let now = now_seconds();
    json!({
        "user_id": id, "username": name, "email": format!("{name}@example.org"), "iss": "community-api",
        "sub": id.to_string(), "aud": ["community-api"], "exp": now + 86_400, "nbf": now - 5, "iat": now,
        "jti": id.to_string(),
    })
}

/// These claims, signed by the site.
pub fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SITE_SECRET.as_bytes())).unwrap()
}

/// A token of one of the site's users.
pub fn site_token(id: u64, name: &str) -> String {
    signed(&claims(id, name))
}
