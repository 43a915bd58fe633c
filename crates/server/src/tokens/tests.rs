use std::path::PathBuf;

use serde_json::{Value, json};
use teahouse_core::{Profile, UserRole};

use super::*;
use crate::config::{Auth, Secret, Sources};

const NOW: i64 = 1_790_000_000;
const SECRET: &str = "the secret that the site and the server share";
const OWN: &str = "the secret that the server made for itself";

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "keys", name].iter().collect()
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn tokens(change: impl FnOnce(&mut Auth)) -> Result<Tokens, KeyError> {
    let mut auth = crate::config::load(Sources::default()).unwrap().config.auth;
    change(&mut auth);
    Tokens::new(&auth, &Secrets { token: Secret::new(OWN.to_owned()) })
}

fn shared() -> Tokens {
    tokens(|auth| auth.jwt_secret = Some(Secret::new(SECRET.to_owned()))).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

/// The claims of the Go backend's tokens.
fn go_claims() -> Value {
    json!({
        "user_id": 7, "username": "amy", "email": "amy@example.org", "iss": "community-api", "sub": "7",
        "aud": ["community-api"], "exp": NOW + 86_400, "nbf": NOW, "iat": NOW, "jti": "7",
    })
}

fn signed(header: Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn by_secret(claims: &Value) -> String {
    signed(Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = go_claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    let mut claims = go_claims();
    claims.as_object_mut().unwrap().remove(key);
    claims
}

fn amy(id: u64) -> User {
    User {
        profile: Profile {
            id: UserId(id),
            username: "amy".to_owned(),
            nickname: "Amy".to_owned(),
            avatar: String::new(),
        },
        email: Some("amy@example.org".to_owned()),
        bio: String::new(),
        role: UserRole::User,
        disabled: false,
        muted_until: None,
        created_at: Timestamp(0),
    }
}

#[test]
fn a_token_of_the_go_backend_is_accepted() {
    let token = by_secret(&go_claims());
    let claims = shared().verify(&token, at(NOW)).unwrap();
    let mark =
        TokenMark { token: fingerprint(token.as_bytes()), login: None, issued_at: NOW, expires_at: NOW + 86_400 };
    let expect = Claims {
        subject: Subject::Id(UserId(7)),
        username: "amy".to_owned(),
        email: Some("amy@example.org".to_owned()),
        mark,
    };
    assert_eq!(claims, expect);
}

#[test]
fn claims_are_validated() {
    let tokens = shared();
    let check = |claims: Value, expect: Result<(), TokenError>| {
        assert_eq!(tokens.verify(&by_secret(&claims), at(NOW)).map(drop), expect, "{claims}");
    };
    check(without("exp"), Err(TokenError::Malformed));
    check(without("iss"), Err(TokenError::Malformed));
    check(without("sub"), Err(TokenError::Malformed));
    check(without("aud"), Ok(()));
    check(without("nbf"), Ok(()));
    check(without("iat"), Ok(()));
    check(without("jti"), Ok(()));
    check(with("iss", json!("somebody-else")), Err(TokenError::Issuer));
    check(with("iss", json!(["community-api"])), Err(TokenError::Malformed));
    check(with("aud", json!("community-api")), Ok(()));
    check(with("aud", json!(["other", "community-api"])), Ok(()));
    check(with("aud", json!("other")), Err(TokenError::Audience));
    check(with("aud", json!([])), Err(TokenError::Audience));
    check(with("aud", json!(7)), Err(TokenError::Malformed));
    check(with("aud", Value::Null), Ok(()));
    check(with("exp", json!(NOW - 30)), Ok(()));
    check(with("exp", json!(NOW - 31)), Err(TokenError::Expired));
    check(with("exp", json!(-1)), Err(TokenError::Expired));
    check(with("exp", json!(1e300)), Ok(()));
    check(with("exp", json!(NOW as f64 + 0.5)), Ok(()));
    check(with("exp", json!("2026")), Err(TokenError::Malformed));
    check(with("exp", Value::Null), Err(TokenError::Malformed));
    check(with("nbf", json!(NOW + 30)), Ok(()));
    check(with("nbf", json!(NOW + 31)), Err(TokenError::NotYetValid));
    check(with("nbf", json!("now")), Err(TokenError::Malformed));
    check(with("sub", json!("")), Err(TokenError::Malformed));
    check(with("sub", json!(" ")), Err(TokenError::Malformed));
    check(with("sub", json!("x".repeat(255))), Ok(()));
    check(with("sub", json!("x".repeat(256))), Err(TokenError::Malformed));
    check(with("sub", json!("teahouse:system")), Err(TokenError::Malformed));
    check(with("sub", json!(-7)), Err(TokenError::Malformed));
    check(with("sub", json!(7.5)), Err(TokenError::Malformed));
    check(with("extra", json!({"deep": [1, 2, {"er": true}]})), Ok(()));
}

#[test]
fn a_sub_is_an_id_or_a_name() {
    let tokens = shared();
    let check = |sub: Value, expect: Subject| {
        assert_eq!(tokens.verify(&by_secret(&with("sub", sub.clone())), at(NOW)).unwrap().subject, expect, "{sub}");
    };
    let name = |name: &str| Subject::Name(name.to_owned());
    check(json!("7"), Subject::Id(UserId(7)));
    check(json!(7), Subject::Id(UserId(7)));
    check(json!("1099511627775"), Subject::Id(UserId(OWN_IDS_START - 1)));
    check(json!("1099511627776"), name("1099511627776"));
    check(json!("18446744073709551616"), name("18446744073709551616"));
    check(json!("0"), name("0"));
    check(json!("07"), name("07"));
    check(json!("+7"), name("+7"));
    check(json!("auth0|abc"), name("auth0|abc"));
}

#[test]
fn names_in_claims_are_cleaned_and_have_a_fallback() {
    let tokens = shared();
    let read = |claims: Value| {
        let claims = tokens.verify(&by_secret(&claims), at(NOW)).unwrap();
        (claims.username, claims.email)
    };
    let email = Some("amy@example.org".to_owned());
    for (claims, expect) in [
        (without("username"), "user-7"),
        (with("username", json!(" \u{202e} ")), "user-7"),
        (with("username", json!(7)), "user-7"),
        (with("username", json!("a\u{202e}b\n")), "ab"),
        (with("username", json!("小".repeat(60))), &*"小".repeat(50)),
    ] {
        assert_eq!(read(claims), (expect.to_owned(), email.clone()));
    }
    assert_eq!(read(with("email", json!(""))).1, None);
    assert_eq!(read(without("email")).1, None);
    assert_eq!(read(with("email", json!("x".repeat(300)))).1, None);
}

#[test]
fn forged_and_broken_tokens_are_refused() {
    let tokens = shared();
    let check = |token: &str, expect: TokenError| {
        assert_eq!(tokens.verify(token, at(NOW)), Err(expect), "{}", token.chars().take(80).collect::<String>());
    };
    let good = by_secret(&go_claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    // {"alg":"none","typ":"JWT"} and {"alg":"NONE"}
    for none in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOT05FIn0"] {
        check(&format!("{none}.{payload}."), TokenError::Malformed);
        check(&format!("{none}.{payload}"), TokenError::Malformed);
    }
    check(&format!("{message}."), TokenError::Signature);
    check("eyJhbGciOiJIUzI1NiJ9..", TokenError::Signature);
    check(&format!("{good}A"), TokenError::Signature);
    check(&format!("{good}AA"), TokenError::Malformed);
    let other = EncodingKey::from_secret(b"another secret");
    check(&signed(Header::new(Algorithm::HS256), &go_claims(), &other), TokenError::Signature);
    let same = EncodingKey::from_secret(SECRET.as_bytes());
    check(&signed(Header::new(Algorithm::HS512), &go_claims(), &same), TokenError::UnknownKey);
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::HS256) };
    check(&signed(critical, &go_claims(), &same), TokenError::Malformed);
    check(&by_secret(&with("pad", json!("x".repeat(8192)))), TokenError::TooLong);
    for broken in ["", ".", "..", "...", "a.b.c", "a.b", "é.é.é", &"a".repeat(8192)] {
        check(broken, TokenError::Malformed);
    }
}

#[test]
fn each_public_key_opens_its_own_algorithm_only() {
    type Reader = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;
    let kinds: [(&str, Algorithm, Reader); 3] = [
        ("rsa", Algorithm::RS256, EncodingKey::from_rsa_pem),
        ("ec", Algorithm::ES256, EncodingKey::from_ec_pem),
        ("ed", Algorithm::EdDSA, EncodingKey::from_ed_pem),
    ];
    for (name, algorithm, _) in kinds {
        let tokens = tokens(|auth| auth.public_key_file = Some(file(&format!("{name}_public.pem")))).unwrap();
        for (signer, by, read) in kinds {
            let token = signed(Header::new(by), &go_claims(), &read(&pem(&format!("{signer}_private.pem"))).unwrap());
            let expect = if by == algorithm { Ok(()) } else { Err(TokenError::UnknownKey) };
            assert_eq!(tokens.verify(&token, at(NOW)).map(drop), expect, "{signer} for {name}");
        }
        // Algorithm confusion: a token signed with the public key as an HMAC secret.
        let public = EncodingKey::from_secret(&pem(&format!("{name}_public.pem")));
        let confused = signed(Header::new(Algorithm::HS256), &go_claims(), &public);
        assert_eq!(tokens.verify(&confused, at(NOW)), Err(TokenError::UnknownKey), "{name}");
        // The server's own kid selects the generated secret, which is not public.
        let ours = Header { kid: Some(OWN_KID.to_owned()), ..Header::new(Algorithm::HS256) };
        let mut claims = go_claims();
        claims["sid"] = json!("0".repeat(32));
        assert_eq!(tokens.verify(&signed(ours.clone(), &claims, &public), at(NOW)), Err(TokenError::Signature));
        assert!(tokens.verify(&signed(ours, &claims, &EncodingKey::from_secret(OWN.as_bytes())), at(NOW)).is_ok());
        let without_kid = signed(Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(OWN.as_bytes()));
        assert_eq!(tokens.verify(&without_kid, at(NOW)), Err(TokenError::UnknownKey));
    }
}

#[test]
fn a_key_set_is_chosen_from_by_kid() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let jwk = |name: &str, kid: &str| {
        let (key, algorithm) = match name {
            "rsa" => (EncodingKey::from_rsa_pem(&pem("rsa_private.pem")), Algorithm::RS256),
            "ec" => (EncodingKey::from_ec_pem(&pem("ec_private.pem")), Algorithm::ES256),
            _ => (EncodingKey::from_ed_pem(&pem("ed_private.pem")), Algorithm::EdDSA),
        };
        let mut jwk =
            serde_json::to_value(jsonwebtoken::jwk::Jwk::from_encoding_key(&key.unwrap(), algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    };
    let load = |keys: Value| {
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        tokens(|auth| auth.jwks_file = Some(path.clone()))
    };
    let unknown = json!({"kty": "XYZ", "kid": "later", "use": "sig"});
    let rsa = EncodingKey::from_rsa_pem(&pem("rsa_private.pem")).unwrap();
    let signed_as = |kid: Option<&str>, algorithm| {
        signed(Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }, &go_claims(), &rsa)
    };
    let mut plain = jwk("ec", "b");
    plain.as_object_mut().unwrap().remove("alg");
    let tokens = load(json!([jwk("rsa", "a"), plain, jwk("ed", "c"), unknown])).unwrap();
    let check = |token: String, expect: Result<(), TokenError>| {
        assert_eq!(tokens.verify(&token, at(NOW)).map(drop), expect);
    };
    check(signed_as(Some("a"), Algorithm::RS256), Ok(()));
    check(signed_as(None, Algorithm::RS256), Ok(()));
    check(signed_as(Some("b"), Algorithm::RS256), Err(TokenError::UnknownKey));
    check(signed_as(Some("z"), Algorithm::RS256), Err(TokenError::UnknownKey));
    check(signed_as(Some("a"), Algorithm::RS512), Err(TokenError::UnknownKey));
    check(signed_as(Some("a"), Algorithm::PS256), Err(TokenError::UnknownKey));

    let two = load(json!([jwk("rsa", "a"), jwk("rsa", "b")])).unwrap();
    assert_eq!(two.verify(&signed_as(None, Algorithm::RS256), at(NOW)), Err(TokenError::UnknownKey), "a choice");

    let mut short = jwk("ed", "c");
    short["x"] = json!("AAAA");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "s"});
    for (keys, expect) in [
        (json!([]), "contains no public key"),
        (json!([secret]), "contains no public key"),
        (json!([short]), "cannot be used (c)"),
        (json!([jwk("rsa", OWN_KID)]), "issued here"),
        (json!(7), "is not a JWKS"),
    ] {
        let error = load(keys.clone()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("auth.jwks_file: ") && error.contains(expect), "{keys}: {error}");
    }
}

#[test]
fn an_invalid_key_file_is_reported_with_its_configuration_key() {
    for (name, expect) in [
        ("rsa_private.pem", "contains a private key"),
        ("README.md", "contains no public key"),
        ("nowhere.pem", "cannot be read"),
    ] {
        let error = tokens(|auth| auth.public_key_file = Some(file(name))).err().unwrap().to_string();
        assert!(error.contains("auth.public_key_file") && error.contains(name) && error.contains(expect), "{error}");
    }
}

#[test]
fn issued_tokens_are_accepted_here_and_readable_by_the_go_backend() {
    // Own accounts only; beside a shared secret; beside a site's public key. There own ids start at 2^40.
    let with_public_key = tokens(|auth| auth.public_key_file = Some(file("ec_public.pem"))).unwrap();
    for (tokens, id) in
        [(tokens(|_| ()).unwrap(), 7), (shared(), OWN_IDS_START + 7), (with_public_key, OWN_IDS_START + 7)]
    {
        let login = LoginId::random();
        let issued = tokens.issue(&amy(id), login, NOW);
        let claims = tokens.verify(&issued.token, at(NOW)).unwrap();
        assert_eq!(claims.subject, Subject::Id(UserId(id)));
        assert_eq!((claims.mark.issued_at, claims.mark.expires_at), (NOW, NOW + 86_400));
        assert_eq!(claims.mark.login, Some(login.key()));
        assert_eq!(issued.expires_at, at(NOW + 86_400));
        assert!(tokens.verify(&issued.token, at(NOW + 86_400 + 30)).is_ok());
        assert_eq!(tokens.verify(&issued.token, at(NOW + 86_400 + 31)), Err(TokenError::Expired));
        assert!(tokens.verify(&issued.token, at(NOW - 3600)).is_ok(), "the clock was set back since");

        let raw: Value = jsonwebtoken::dangerous::insecure_decode(&issued.token).unwrap().claims;
        for (key, value) in go_claims().as_object().unwrap() {
            let expect = match key.as_str() {
                "jti" => continue,
                "sub" => json!(id.to_string()),
                "user_id" => json!(id),
                _ => value.clone(),
            };
            assert_eq!(raw[key], expect, "{key}");
        }
        assert_ne!(issued.token, tokens.issue(&amy(id), login, NOW).token, "no two tokens have the same key");
    }
}

#[test]
fn a_refreshed_token_belongs_to_the_same_login() {
    let tokens = tokens(|_| ()).unwrap();
    let login = LoginId::random();
    let remembered = LoginId::from_key(login.key());
    let mark = |login| tokens.verify(&tokens.issue(&amy(7), login, NOW).token, at(NOW)).unwrap().mark;
    let (first, second) = (mark(login), mark(remembered));
    assert_eq!(first.login, second.login);
    assert_ne!(first.token, second.token);
    assert_ne!(login, LoginId::random());
}

#[test]
fn the_sid_of_a_sites_token_is_not_a_login_here() {
    let token = by_secret(&with("sid", json!("0".repeat(32))));
    assert_eq!(shared().verify(&token, at(NOW)).unwrap().mark.login, None);
}
