//! The keys that verify tokens. Each is bound to one algorithm, so that no token's header can make a public key serve
//! as an HMAC secret. The server reads and checks all keys once, at the start.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::Result as JwtResult;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header};
use serde::de::DeserializeOwned;

use super::{OWN_KID, TokenError};
use crate::config;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The file cannot be read.
    #[error("{key}: {path} cannot be read: {error}")]
    Unreadable {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The file has the wrong content.
    #[error("{key}: {path} {sentence}")]
    Unusable {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The mistake in it, to print after the path.
        sentence: String,
    },
}

/// A key and its only algorithm.
pub(super) struct BoundKey {
    key: DecodingKey,
    algorithm: Algorithm,
}

impl BoundKey {
    /// A shared secret for HS256.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self { key: DecodingKey::from_secret(secret), algorithm: Algorithm::HS256 }
    }

    /// A public key, if it works with this algorithm.
    fn public(key: DecodingKey, algorithm: Algorithm) -> Option<Self> {
        // jsonwebtoken slices the first 32 bytes of an Ed25519 key without checking its length.
        let complete =
            key.family() != AlgorithmFamily::Ed || key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32);
        let works = complete && jsonwebtoken::crypto::verify("AAAA", b"", &key, algorithm).is_ok();
        works.then_some(Self { key, algorithm })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The claims of a token that this key signed. jsonwebtoken only verifies the signature: its `decode` reads the
    /// system's clock, accepts a missing `iss`, and parses the header three times and the claims twice.
    pub(super) fn verified_claims<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm) {
            Ok(true) => {}
            Ok(false) => return Err(TokenError::Signature),
            Err(_) => return Err(TokenError::Malformed),
        }
        let (_, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Malformed)?;
        serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)
    }
}

/// The keys with which a site signs its tokens.
pub(super) enum SiteKeys {
    /// No public key: the server's HS256 secret, shared with the site or generated, verifies all tokens.
    None,
    /// One public key, for any `kid`.
    One(Box<BoundKey>),
    /// Several public keys, each with its `kid`.
    Set(Vec<(Option<String>, BoundKey)>),
}

impl SiteKeys {
    /// Loads the keys that the configuration names.
    pub(super) fn load(auth: &config::Auth) -> Result<Self, KeyError> {
        if let Some(path) = &auth.public_key_file {
            let unusable = unusable("auth.public_key_file", path);
            let pem = read("auth.public_key_file", path)?;
            return public_key(&pem).map(|key| Self::One(Box::new(key))).map_err(unusable);
        }
        if let Some(path) = &auth.jwks_file {
            let unusable = unusable("auth.jwks_file", path);
            let json = read("auth.jwks_file", path)?;
            return key_set(&json).map(Self::Set).map_err(unusable);
        }
        Ok(Self::None)
    }

    /// The key for a token that this server did not issue.
    pub(super) fn select<'a>(&'a self, header: &Header, shared: &'a BoundKey) -> Option<&'a BoundKey> {
        match self {
            Self::None => Some(shared),
            Self::One(key) => Some(key),
            Self::Set(keys) => match &header.kid {
                Some(kid) => keys.iter().find(|(of, _)| of.as_ref() == Some(kid)).map(|(_, key)| key),
                // Without a `kid`, exactly one key may fit.
                None => {
                    let mut fitting = keys.iter().filter(|(_, key)| key.algorithm() == header.alg);
                    fitting.next().filter(|_| fitting.next().is_none()).map(|(_, key)| key)
                }
            },
        }
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, KeyError> {
    fs::read(path).map_err(|error| KeyError::Unreadable { key, path: path.to_owned(), error })
}

fn unusable(key: &'static str, path: &Path) -> impl Fn(String) -> KeyError {
    let path = path.to_owned();
    move |sentence| KeyError::Unusable { key, path: path.clone(), sentence }
}

fn public_key(pem: &[u8]) -> Result<BoundKey, String> {
    if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
        return Err("contains a private key; put the public key here".to_owned());
    }
    type Reader = fn(&[u8]) -> JwtResult<DecodingKey>;
    let kinds: [(Reader, Algorithm); 3] = [
        (DecodingKey::from_rsa_pem, Algorithm::RS256),
        (DecodingKey::from_ec_pem, Algorithm::ES256),
        (DecodingKey::from_ed_pem, Algorithm::EdDSA),
    ];
    kinds
        .into_iter()
        .find_map(|(read, algorithm)| BoundKey::public(read(pem).ok()?, algorithm))
        .ok_or_else(|| "contains no public key in PEM for RS256, ES256 (P-256) or EdDSA (Ed25519)".to_owned())
}

fn key_set(json: &[u8]) -> Result<Vec<(Option<String>, BoundKey)>, String> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|error| format!("is not a JWKS: {error}"))?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let name = jwk.common.key_id.as_deref().unwrap_or("without a kid");
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            continue;
        }
        if name == OWN_KID {
            return Err(format!(
                "has a key with the kid {OWN_KID:?}, which is reserved for tokens that are issued here"
            ));
        }
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => Algorithm::try_from(named).ok().filter(|named| Some(named.family()) == family(jwk)),
            None => family(jwk).and_then(|family| default_algorithm(family, jwk)),
        };
        // A key set may contain keys of kinds that this server does not support.
        let Some(algorithm) = algorithm.filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac) else {
            tracing::warn!(kid = name, "unsupported key in auth.jwks_file ignored");
            continue;
        };
        let key = DecodingKey::from_jwk(jwk).ok().and_then(|key| BoundKey::public(key, algorithm));
        let key = key.ok_or_else(|| format!("has a key that cannot be used ({name})"))?;
        keys.push((jwk.common.key_id.clone(), key));
    }
    if keys.is_empty() { Err("contains no public key for signatures".to_owned()) } else { Ok(keys) }
}

fn family(jwk: &Jwk) -> Option<AlgorithmFamily> {
    match jwk.algorithm {
        AlgorithmParameters::RSA(_) => Some(AlgorithmFamily::Rsa),
        AlgorithmParameters::EllipticCurve(_) => Some(AlgorithmFamily::Ec),
        AlgorithmParameters::OctetKeyPair(_) => Some(AlgorithmFamily::Ed),
        _ => None,
    }
}

/// The algorithm of a key without `alg`.
fn default_algorithm(family: AlgorithmFamily, jwk: &Jwk) -> Option<Algorithm> {
    match (family, &jwk.algorithm) {
        (AlgorithmFamily::Rsa, _) => Some(Algorithm::RS256),
        (AlgorithmFamily::Ed, _) => Some(Algorithm::EdDSA),
        (AlgorithmFamily::Ec, AlgorithmParameters::EllipticCurve(curve)) => match curve.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        _ => None,
    }
}
