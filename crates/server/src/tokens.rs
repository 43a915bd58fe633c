//! Tokens: verified, whoever signed them, and issued for accounts of our own. Each key is bound to one
//! algorithm. Pure but for chance: the time is an argument, keys are read once at the start. It does
//! not know which tokens were revoked; the store does.

mod keys;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use teahouse_core::ids::OWN_IDS_START;
use teahouse_core::limits::{EMAIL_CHARS_MAX, NICKNAME_CHARS_MAX, SUBJECT_CHARS_MAX};
use teahouse_core::{Timestamp, TokenKey, TokenMark, User, UserId, text};
use teahouse_store::Subject;

use crate::config;
use crate::secrets::{Secrets, hex, random_bytes, random_hex};
pub use keys::KeyError;
use keys::{BoundKey, SiteKeys};

/// A longer one is refused before any work is done for it (FAULTS.md, "At the door").
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// By how much clocks may differ, in seconds.
const LEEWAY: i64 = 30;
/// Names that begin so are those of accounts that the server keeps for itself; no token speaks of one.
pub const OWN_SUBJECTS: &str = "teahouse:";
/// The last second of the year 9999: no token lives longer, and moments in milliseconds do not overflow.
const SECONDS_MAX: i64 = 253_402_300_799;
/// The `kid` of tokens that we issue ourselves.
const OWN_KID: &str = "teahouse";

/// What a token says, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// Who.
    pub subject: Subject,
    /// The name for an account that is new here; made inert, held to no other rule.
    pub username: String,
    /// The e-mail address for an account that is new here.
    pub email: Option<String>,
    /// What is remembered of the token.
    pub mark: TokenMark,
}

/// Why a token is worth nothing. All of them are the same 401 to its bearer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Over 8 KiB.
    #[error("the token is too long")]
    TooLong,
    /// Not a token, or a claim that must be there is not, or is of another type.
    #[error("the token is malformed or lacks a claim")]
    Malformed,
    /// No key is known under which it could have been signed, or it names another algorithm than its key's.
    #[error("no key of ours fits the token's key and algorithm")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// Issued by somebody else.
    #[error("the token's issuer is another")]
    Issuer,
    /// Issued for somebody else.
    #[error("the token's audience is another")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// One login: all tokens that were refreshed from its first one belong to it. It is no secret; knowing
/// it opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginId(TokenKey);

impl LoginId {
    /// A new login.
    #[must_use]
    pub fn random() -> Self {
        Self(TokenKey(random_bytes()))
    }

    /// The login that the store remembers under this key.
    #[must_use]
    pub fn from_key(key: TokenKey) -> Self {
        Self(key)
    }

    /// The key under which the store remembers it.
    #[must_use]
    pub fn key(self) -> TokenKey {
        self.0
    }

    /// As it stands in the claim `sid`.
    fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
        (hex(&bytes) == text).then_some(Self(TokenKey(bytes)))
    }
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token itself, for its bearer alone.
    pub token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// What the server remembers of a token or of any other secret of a client's.
#[must_use]
pub fn key_of(secret: &[u8]) -> TokenKey {
    let digest: [u8; 32] = Sha256::digest(secret).into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    TokenKey(key)
}

/// Verifies and issues.
pub struct Tokens {
    own: BoundKey,
    signing: EncodingKey,
    site: SiteKeys,
    issuer: String,
    audience: String,
    seconds_to_live: i64,
}

impl Tokens {
    /// With the keys that the configuration names, and the secret that the server made for itself.
    ///
    /// # Errors
    /// A key file cannot be read or holds no usable key; the configuration is wrong.
    pub fn new(auth: &config::Auth, secrets: &Secrets) -> Result<Self, KeyError> {
        let secret = auth.jwt_secret.as_ref().unwrap_or(&secrets.token).expose().as_bytes();
        Ok(Self {
            own: BoundKey::secret(secret),
            signing: EncodingKey::from_secret(secret),
            site: SiteKeys::load(auth)?,
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            seconds_to_live: i64::try_from(auth.token_ttl.as_secs()).unwrap_or(i64::MAX),
        })
    }

    /// What a token says, if it may be believed at `now`.
    ///
    /// # Errors
    /// It may not.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        // Extensions that must be understood are none that we understand (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let issued_here = header.kid.as_deref() == Some(OWN_KID);
        let key = if issued_here { Some(&self.own) } else { self.site.choose(&header, &self.own) };
        let key = key.filter(|key| key.algorithm() == header.alg).ok_or(TokenError::UnknownKey)?;
        let raw: RawClaims = key.open(token)?;
        self.check(&raw, now)?;
        // One of ours is good from its making on: the clock that it was made by may have been set back since.
        if !issued_here && raw.nbf.is_some_and(|nbf| seconds(nbf) > now.seconds() + LEEWAY) {
            return Err(TokenError::NotYetValid);
        }
        raw.understood(token, issued_here)
    }

    fn check(&self, raw: &RawClaims, now: Timestamp) -> Result<(), TokenError> {
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

    /// A token for an account of our own, in the shape that the Go backend gave it, so that the old
    /// front end and a site's backend can read it.
    ///
    /// # Panics
    /// When HMAC fails, which it cannot.
    #[must_use]
    pub fn issue(&self, user: &User, login: LoginId, issued_at: i64) -> Issued {
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
        let token = jsonwebtoken::encode(&header, &claims, &self.signing).expect("a secret signs anything");
        Issued { token, expires_at: Timestamp(expires_at * 1000) }
    }
}

/// Claims as they were written. Numbers may have fractions (RFC 7519, section 2).
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
    fn understood(self, token: &str, issued_here: bool) -> Result<Claims, TokenError> {
        let sub = match self.sub {
            RawSubject::Text(text) => text,
            RawSubject::Number(number) => number.to_string(),
        };
        let subject = checked_subject(&sub, issued_here).ok_or(TokenError::Malformed)?;
        let login = match self.sid.as_ref().and_then(|sid| LoginId::parse(sid.as_str()?)) {
            // A site's tokens may have a `sid` of their own, which means something else.
            _ if !issued_here => None,
            None => return Err(TokenError::Malformed),
            login => login,
        };
        let word = |claim: Option<serde_json::Value>, chars_max| {
            let inert = text::inert(claim.as_ref()?.as_str()?);
            Some(inert.chars().take(chars_max).collect::<String>()).filter(|text| !text.is_empty())
        };
        let username = word(self.username, NICKNAME_CHARS_MAX)
            .unwrap_or_else(|| text::inert(&format!("user-{sub}")).chars().take(NICKNAME_CHARS_MAX).collect());
        let email = word(self.email, EMAIL_CHARS_MAX + 1).filter(|email| !text::longer_than(email, EMAIL_CHARS_MAX));
        let mark = TokenMark {
            token: key_of(token.as_bytes()),
            login: login.map(LoginId::key),
            issued_at: self.iat.map_or(0, seconds),
            expires_at: seconds(self.exp),
        };
        Ok(Claims { subject, username, email, mark })
    }
}

/// What a site's own name for a user means here, as its tokens' `sub` spells it; `None` when it cannot be one.
#[must_use]
pub fn site_subject(sub: &str) -> Option<Subject> {
    checked_subject(sub, false)
}

fn checked_subject(sub: &str, issued_here: bool) -> Option<Subject> {
    let is_name =
        !sub.trim().is_empty() && !text::longer_than(sub, SUBJECT_CHARS_MAX) && !sub.starts_with(OWN_SUBJECTS);
    is_name.then(|| subject(sub, issued_here))
}

/// A site's decimal id is the id here; ids from 2^40 on are ours to give, so a site's number up there
/// is a name like any other. Only the usual spelling is a number: `07` is not the user 7.
fn subject(sub: &str, issued_here: bool) -> Subject {
    let ids_end = if issued_here { teahouse_core::ids::ID_MAX + 1 } else { OWN_IDS_START };
    match sub.parse::<u64>() {
        Ok(id) if (1..ids_end).contains(&id) && id.to_string() == sub => Subject::Id(UserId(id)),
        _ => Subject::Name(sub.to_owned()),
    }
}

/// Whole seconds, within the years that a calendar has.
fn seconds(date: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and the rest is clamped")]
    let whole = date.floor() as i64;
    whole.clamp(-SECONDS_MAX, SECONDS_MAX)
}

#[cfg(test)]
mod tests;
