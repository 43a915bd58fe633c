//! Verifies tokens of the site and of local accounts, and issues those of local accounts. Each key is bound to one
//! algorithm. The time is an argument and keys are read once at the start, so that only randomness makes it impure. It
//! does not know which tokens are revoked; the store does.

mod keys;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::limits::{EMAIL_CHARS_MAX, NICKNAME_CHARS_MAX, SUBJECT_CHARS_MAX};
use teahouse_core::{Timestamp, TokenKey, TokenMark, User, UserId, text};
use teahouse_store::Subject;

use crate::config;
use crate::crypto::{fingerprint, hex, random_bytes, random_hex};
use crate::known_clients::KnownClients;
use crate::secrets::Secrets;
pub(crate) use keys::KeyError;
use keys::{BoundKey, SiteKeys};

/// A longer token is refused before any work is done for it.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Allowed difference between the clocks of issuer and server, in seconds.
const LEEWAY: i64 = 30;
/// Subjects with this prefix belong to the server's own accounts; no token may name one.
pub(crate) const RESERVED_SUBJECT_PREFIX: &str = "teahouse:";
/// The last second of the year 9999. Later dates are clamped to it, so that times in milliseconds do not overflow.
const SECONDS_MAX: i64 = 253_402_300_799;
/// The `kid` of the tokens that this server issues.
const OWN_KID: &str = "teahouse";

/// The verified claims of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claims {
    /// The token's subject.
    pub subject: Subject,
    /// The username for a new account: without control and formatting characters, held to no other rule.
    pub username: String,
    /// The e-mail address for a new account.
    pub email: Option<String>,
    /// The part of the token that the server keeps, for revocation.
    pub mark: TokenMark,
}

/// Why a token is refused. Its bearer gets the same 401 for all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Over 8 KiB.
    #[error("the token is too long")]
    TooLong,
    /// Not a token, or a required claim is missing or of the wrong type.
    #[error("the token is malformed or a required claim is missing")]
    Malformed,
    /// No key matches its `kid`, or it names another algorithm than that of the key.
    #[error("no key matches the token's kid and algorithm")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Another issuer than `auth.issuer`.
    #[error("the token has the wrong issuer")]
    Issuer,
    /// An audience without `auth.audience`.
    #[error("the token has the wrong audience")]
    Audience,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// One login: all tokens that were refreshed from its first token carry it. It is not a secret; knowing it grants
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LoginId(TokenKey);

impl LoginId {
    /// A new login.
    #[must_use]
    pub(crate) fn random() -> Self {
        Self(TokenKey(random_bytes()))
    }

    /// The login that the store keeps under this key.
    #[must_use]
    pub(crate) fn from_key(key: TokenKey) -> Self {
        Self(key)
    }

    /// The key under which the store keeps it.
    #[must_use]
    pub(crate) fn key(self) -> TokenKey {
        self.0
    }

    /// Parses the claim `sid`.
    fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
        (hex(&bytes) == text).then_some(Self(TokenKey(bytes)))
    }
}

/// An issued token.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// The token itself, for its bearer only.
    pub token: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Verifies and issues tokens.
pub(crate) struct Tokens {
    own_key: BoundKey,
    signing_key: EncodingKey,
    site_keys: SiteKeys,
    issuer: String,
    audience: String,
    seconds_to_live: i64,
    /// Recognizes clients that logged in before.
    pub known_clients: KnownClients,
}

impl Tokens {
    /// Loads the keys that the configuration names. Without `auth.jwt_secret`, the generated secret signs.
    ///
    /// # Errors
    /// A key file cannot be read or contains no usable key.
    pub(crate) fn new(auth: &config::Auth, secrets: &Secrets) -> Result<Self, KeyError> {
        let secret = auth.jwt_secret.as_ref().unwrap_or(&secrets.token).expose().as_bytes();
        Ok(Self {
            own_key: BoundKey::secret(secret),
            signing_key: EncodingKey::from_secret(secret),
            site_keys: SiteKeys::load(auth)?,
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            seconds_to_live: i64::try_from(auth.token_ttl.as_secs()).unwrap_or(i64::MAX),
            known_clients: KnownClients::new(secrets),
        })
    }

    /// The claims of a token that is valid at `now`.
    ///
    /// # Errors
    /// The token is not valid.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        // This server supports no critical extension (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let issued_here = header.kid.as_deref() == Some(OWN_KID);
        let key = if issued_here { Some(&self.own_key) } else { self.site_keys.select(&header, &self.own_key) };
        let key = key.filter(|key| key.algorithm() == header.alg).ok_or(TokenError::UnknownKey)?;
        let raw: RawClaims = key.verified_claims(token)?;
        self.check_issuer_audience_expiry(&raw, now)?;
        // The server's own clock may have been set back after it issued a token, so `nbf` of its own tokens is ignored.
        if !issued_here && raw.nbf.is_some_and(|nbf| seconds(nbf) > now.seconds() + LEEWAY) {
            return Err(TokenError::NotYetValid);
        }
        raw.into_claims(token, issued_here)
    }

    fn check_issuer_audience_expiry(&self, raw: &RawClaims, now: Timestamp) -> Result<(), TokenError> {
        if raw.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if raw.aud.as_ref().is_some_and(|aud| !aud.contains(&self.audience)) {
            return Err(TokenError::Audience);
        }
        if now.seconds() > seconds(raw.exp) + LEEWAY {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// Issues a token for a local account. It has the claims of the Go backend's tokens, which the old front end and a
    /// site's backend read.
    ///
    /// # Panics
    /// Never: HMAC signs with any key.
    #[must_use]
    pub(crate) fn issue(&self, user: &User, login: LoginId, issued_at: i64) -> Issued {
        let expires_at = issued_at.saturating_add(self.seconds_to_live).min(SECONDS_MAX);
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(OWN_KID.to_owned());
        let claims = serde_json::json!({
            "sub": user.profile.id.to_string(),
            "user_id": user.profile.id.0,
            "username": user.profile.username,
            "email": user.email.as_deref().unwrap_or_default(),
            "iss": self.issuer,
            "aud": [self.audience],
            "iat": issued_at,
            "nbf": issued_at,
            "exp": expires_at,
            "sid": hex(&login.key().0),
            "jti": random_hex::<16>(),
        });
        let token = jsonwebtoken::encode(&header, &claims, &self.signing_key).expect("HMAC signs with any key");
        Issued { token, expires_at: Timestamp(expires_at * 1000) }
    }
}

/// Claims as the issuer wrote them. Dates may have fractions (RFC 7519, section 2).
#[derive(Deserialize)]
struct RawClaims {
    sub: RawSubject,
    iss: String,
    aud: Option<OneOrMore>,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    sid: Option<serde_json::Value>,
    username: Option<serde_json::Value>,
    email: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSubject {
    Text(String),
    Number(u64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::More(more) => more.iter().any(|one| one == wanted),
        }
    }
}

impl RawClaims {
    fn into_claims(self, token: &str, issued_here: bool) -> Result<Claims, TokenError> {
        let sub = match self.sub {
            RawSubject::Text(text) => text,
            RawSubject::Number(number) => number.to_string(),
        };
        let subject = checked_subject(&sub, issued_here).ok_or(TokenError::Malformed)?;
        let login = match self.sid.as_ref().and_then(|sid| LoginId::parse(sid.as_str()?)) {
            // The `sid` of a site's token means something else.
            _ if !issued_here => None,
            None => return Err(TokenError::Malformed),
            login => login,
        };
        let clean = |claim: Option<serde_json::Value>, chars_max| {
            let inert = text::inert(claim.as_ref()?.as_str()?);
            Some(inert.chars().take(chars_max).collect::<String>()).filter(|text| !text.is_empty())
        };
        let username = clean(self.username, NICKNAME_CHARS_MAX)
            .unwrap_or_else(|| text::inert(&format!("user-{sub}")).chars().take(NICKNAME_CHARS_MAX).collect());
        let email = clean(self.email, EMAIL_CHARS_MAX + 1).filter(|email| !text::longer_than(email, EMAIL_CHARS_MAX));
        let mark = TokenMark {
            token: fingerprint(token.as_bytes()),
            login: login.map(LoginId::key),
            issued_at: self.iat.map_or(0, seconds),
            expires_at: seconds(self.exp),
        };
        Ok(Claims { subject, username, email, mark })
    }
}

/// The subject that a site's `sub` names; `None` when it is not a valid `sub`.
#[must_use]
pub(crate) fn site_subject(sub: &str) -> Option<Subject> {
    checked_subject(sub, false)
}

fn checked_subject(sub: &str, issued_here: bool) -> Option<Subject> {
    let is_valid = !sub.trim().is_empty()
        && !text::longer_than(sub, SUBJECT_CHARS_MAX)
        && !sub.starts_with(RESERVED_SUBJECT_PREFIX);
    is_valid.then(|| subject(sub, issued_here))
}

/// A site's decimal id is the user's id here. Ids from 2^40 belong to local accounts, so a larger number of a site is a
/// name. Only the canonical spelling is a number: `07` is not the user 7.
fn subject(sub: &str, issued_here: bool) -> Subject {
    let ids_end = if issued_here { teahouse_core::ids::ID_MAX + 1 } else { OWN_IDS_START };
    match sub.parse::<u64>() {
        Ok(id) if (1..ids_end).contains(&id) && id.to_string() == sub => Subject::Id(UserId(id)),
        _ => Subject::Name(sub.to_owned()),
    }
}

/// Whole seconds, clamped to years that a calendar has.
fn seconds(date: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and the rest is clamped")]
    let whole = date.floor() as i64;
    whole.clamp(-SECONDS_MAX, SECONDS_MAX)
}

#[cfg(test)]
mod tests;
