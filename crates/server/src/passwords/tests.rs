//! Hashes, their queue and their memory.

use argon2::PasswordHasher;

use super::*;
use crate::config;

const ANYBODY: Requester = Requester::User(UserId(1));

fn passwords(parallel: usize, waiting: usize, per_address: usize) -> Passwords {
    let mut config = config::load(config::Sources::default()).unwrap().config.auth;
    config.password_hashes_parallel = parallel;
    (config.passwords_waiting_max, config.passwords_waiting_per_address_max) = (waiting, per_address);
    Passwords::new(&config, Bounds::default())
}

#[tokio::test]
async fn a_password_matches_its_own_hash_only() {
    let passwords = passwords(2, 10, 10);
    let own = passwords.hash(ANYBODY, "correct horse 1".to_owned()).await.unwrap();
    assert!(own.starts_with(CURRENT_PREFIX), "{own}");
    assert_ne!(own, passwords.hash(ANYBODY, "correct horse 1".to_owned()).await.unwrap(), "salted");
    let of = |kib, passes, lanes| {
        let params = Params::new(kib, passes, lanes, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(b"correct horse 1").unwrap().to_string()
    };
    let (weak, strong) = (of(16, 1, 1), of(32 * 1024, 1, 2));
    assert!(weak.starts_with("$argon2id$v=19$m=16,t=1,p=1$"), "{weak}");
    for (password, hash, expect) in [
        ("correct horse 1", Some(&own), Verdict::Right),
        ("correct horse 2", Some(&own), Verdict::Wrong),
        ("", Some(&own), Verdict::Wrong),
        ("correct horse 1", Some(&weak), Verdict::RightButRehash),
        ("correct horse 2", Some(&weak), Verdict::Wrong),
        ("correct horse 1", Some(&strong), Verdict::RightButRehash),
        ("correct horse 1", Some(&own), Verdict::Right),
        ("correct horse 1", None, Verdict::Wrong),
    ] {
        let verdict = passwords.verify(ANYBODY, password.to_owned(), hash.cloned()).await;
        assert_eq!(verdict, Ok(expect), "{password} {hash:?}");
    }
}

#[test]
fn a_hash_of_this_crate_is_one_of_the_argon2_crate() {
    let theirs = Argon2::default().hash_password(b"secret1").unwrap().to_string();
    let mut memory = Memory::new();
    assert_eq!(verify("secret1", &theirs, &mut memory), Ok(Verdict::Right));
    let ours = hash("secret1", &mut memory).unwrap();
    let parsed = PasswordHash::new(&ours).unwrap();
    assert!(argon2::PasswordVerifier::verify_password(&Argon2::default(), b"secret1", &parsed).is_ok());
    assert_eq!(verify("secret1", &dummy_hash(), &mut memory), Ok(Verdict::Wrong));
}

#[test]
fn bcrypt_is_accepted_with_its_three_prefixes_and_rehashed() {
    let hash = bcrypt::hash("secret1", 4).unwrap();
    for kind in ["$2a$", "$2b$", "$2y$"] {
        let hash = format!("{kind}{}", &hash[4..]);
        assert_eq!(verify("secret1", &hash, &mut Memory::new()), Ok(Verdict::RightButRehash), "{kind}");
        assert_eq!(verify("secret2", &hash, &mut Memory::new()), Ok(Verdict::Wrong), "{kind}");
    }
}

#[test]
fn bytes_that_bcrypt_ignores_do_not_become_the_password() {
    let (seen, tail) = ("a".repeat(72), "b".repeat(10));
    let hash = bcrypt::hash(&seen, 4).unwrap();
    assert_eq!(verify(&format!("{seen}{tail}"), &hash, &mut Memory::new()), Ok(Verdict::Right));
    assert_eq!(verify(&seen, &hash, &mut Memory::new()), Ok(Verdict::RightButRehash));
}

#[test]
fn an_invalid_or_too_costly_hash_matches_no_password() {
    let mut memory = Memory::new();
    let current = hash("plain", &mut memory).unwrap();
    let with = |params| current.replace("m=19456,t=2,p=1", params);
    for hash in ["", "plain", "$2b$", "$2b$04$short", "$argon2id$v=19$m=19456,t=2,p=1$", "$unknown$v=1$x$y"] {
        assert!(verify("plain", hash, &mut memory).is_err(), "{hash:?}");
    }
    for params in ["m=4000000,t=2,p=1", "m=19456,t=4000000,p=1", "m=19456,t=2,p=1000"] {
        assert!(verify("plain", &with(params), &mut memory).is_err(), "{params}");
    }
    assert_eq!(memory.len(), Params::default().block_count());
}

#[tokio::test]
async fn too_many_waiting_hashes_are_refused_and_permits_return() {
    const WAITING: usize = 5;
    let passwords = passwords(1, WAITING, WAITING);
    let running = passwords.permits.acquire(ANYBODY, |_, _| ()).await.unwrap();
    let wait = || Box::pin(passwords.run(ANYBODY, |_| Ok(())));
    let mut waiting: Vec<_> = (0..WAITING).map(|_| wait()).collect();
    for waiter in &mut waiting {
        assert!(poll_once(waiter).await.is_none());
    }
    assert_eq!(passwords.run(ANYBODY, |_| Ok(())).await, Err(PasswordError::Overloaded));
    // A caller that leaves makes room for another, whether it waited or was just given the permit.
    drop(waiting.remove(2));
    waiting.push(wait());
    assert!(poll_once(&mut waiting[WAITING - 1]).await.is_none());
    drop(running);
    drop(waiting.remove(0));
    for waiter in waiting {
        assert_eq!(waiter.await, Ok(()));
    }
    assert_eq!(passwords.run(ANYBODY, |_| Ok(())).await, Ok(()));
    assert_eq!(passwords.permits.look_at_free(<[Memory]>::len), 1);
}

#[tokio::test]
async fn a_panic_returns_its_permit_and_the_memory_is_used_again() {
    let passwords = passwords(1, 10, 10);
    passwords.hash(ANYBODY, "secret1".to_owned()).await.unwrap();
    let address = |passwords: &Passwords| passwords.permits.look_at_free(|free| free[0].as_ptr() as usize);
    let before = address(&passwords);
    let panicked = passwords.run::<()>(ANYBODY, |_| panic!("a bug")).await;
    assert!(matches!(panicked, Err(PasswordError::Internal(_))));
    for _ in 0..3 {
        passwords.hash(ANYBODY, "secret1".to_owned()).await.unwrap();
    }
    assert_eq!(address(&passwords), before);
}

async fn poll_once<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
