//! Accounts, and the status of tokens.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use teahouse_core::limits::LOGINS_PER_USER_MAX;
use teahouse_core::{LOBBY, Timestamp, UserId, UserRole, ids::OWN_IDS_START};
use teahouse_store::{
    CreateUserError, Destination, LOGIN_PREFIXES_KEPT, LOGIN_PREFIXES_PER_USER_MAX, NewUser, ProfileChange,
    RefreshToken, SiteUser, Subject, TokenStatus,
};

use crate::fixture::*;

fn site(subject: Subject, username: &str) -> SiteUser {
    SiteUser { subject, username: username.to_owned(), email: None, now: at(0) }
}

fn with_email(username: &str, email: &str) -> NewUser {
    NewUser { email: Some(email.to_owned()), ..registration(username) }
}

pub(crate) async fn usernames_and_addresses_are_unique_regardless_of_case(fixture: Fixture) {
    let made = fixture.store.create_user(with_email("Amy", "Amy@Example.org")).await.unwrap();
    assert_eq!((made.profile.username.as_str(), made.profile.nickname.as_str()), ("Amy", "Amy"));
    assert_eq!((made.email.as_deref(), made.role, made.disabled), (Some("Amy@Example.org"), UserRole::User, false));
    let taken = fixture.store.create_user(registration("aMY")).await;
    assert_eq!(taken, Err(CreateUserError::UsernameTaken));
    let taken = fixture.store.create_user(with_email("other", "amy@example.ORG")).await;
    assert_eq!(taken, Err(CreateUserError::EmailTaken));
    fixture.store.create_user(registration("ÄRA")).await.unwrap();
    assert_eq!(fixture.store.create_user(registration("ära")).await, Err(CreateUserError::UsernameTaken));

    for login in ["amy", "AMY", "amy@example.org"] {
        let (found, hash) = fixture.store.user_by_login(login).await.unwrap().unwrap();
        assert_eq!((found, hash.as_deref()), (made.clone(), Some("hash")), "{login}");
    }
    for login in ["nobody", "nobody@example.org", "", "am_", "%"] {
        assert_eq!(fixture.store.user_by_login(login).await.unwrap(), None, "{login}");
    }
}

pub(crate) async fn concurrent_registrations_of_one_name_make_one_account(fixture: Fixture) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(async move { store.create_user(registration("amy")).await });
    }
    let made = tasks.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    assert!(made.iter().all(|made| made.is_ok() || *made == Err(CreateUserError::UsernameTaken)));
}

pub(crate) async fn ids_of_registered_users_start_where_the_caller_says(fixture: Fixture) {
    let own = |name: &str| NewUser { ids_start: OWN_IDS_START, ..registration(name) };
    fixture.store.ensure_site_user(site(Subject::Id(UserId(900)), "site")).await.unwrap();
    assert_eq!(fixture.store.create_user(own("a")).await.unwrap().profile.id.0, OWN_IDS_START);
    assert_eq!(fixture.store.create_user(own("b")).await.unwrap().profile.id.0, OWN_IDS_START + 1);
    let named = fixture.store.ensure_site_user(site(Subject::Name("x".into()), "c")).await.unwrap();
    assert_eq!(named.profile.id.0, OWN_IDS_START + 2);
}

pub(crate) async fn ids_of_registered_users_stay_below_those_of_a_sites_users(fixture: Fixture) {
    let amy = fixture.store.create_user(registration("amy")).await.unwrap().profile.id;
    let notices = Subject::Name("notices".to_owned());
    let site_user = fixture.store.ensure_site_user(site(notices, "notices")).await.unwrap().profile.id;
    assert_eq!((amy, site_user), (UserId(1), UserId(OWN_IDS_START)));
    let bob = fixture.store.create_user(registration("bob")).await.unwrap().profile.id;
    assert_eq!(bob, UserId(2));
    let others = Subject::Name("others".to_owned());
    let other = fixture.store.ensure_site_user(site(others, "others")).await.unwrap().profile.id;
    assert_eq!(other, UserId(OWN_IDS_START + 1));
}

pub(crate) async fn concurrent_requests_for_a_site_user_make_one_user(fixture: Fixture) {
    for subject in [Subject::Id(UserId(42)), Subject::Name("auth0|42".into())] {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (store, user) = (Arc::clone(&fixture.store), site(subject.clone(), "amy"));
            tasks.spawn(async move { store.ensure_site_user(user).await.unwrap() });
        }
        let mut users = tasks.join_all().await;
        users.dedup();
        assert_eq!(users.len(), 1, "{subject:?}");
    }
    let named = fixture.store.user_by_subject("auth0|42").await.unwrap().unwrap();
    assert_eq!(fixture.store.user(named).await.unwrap().unwrap().profile.username, format!("amy-{named}"));
    assert_eq!(fixture.store.user_by_subject("42").await.unwrap(), None);
}

pub(crate) async fn a_taken_site_name_gets_a_suffix_and_a_taken_address_is_left_out(fixture: Fixture) {
    fixture.store.create_user(with_email("amy", "amy@example.org")).await.unwrap();
    fixture.store.create_user(registration("amy-7")).await.unwrap();
    let mut claims = site(Subject::Id(UserId(7)), "Amy");
    claims.email = Some("AMY@example.org".into());
    let seven = fixture.store.ensure_site_user(claims).await.unwrap();
    assert_eq!((seven.profile.username.as_str(), seven.email), ("Amy-7-2", None));
    let eight = fixture.store.ensure_site_user(site(Subject::Id(UserId(8)), "AMY")).await.unwrap();
    assert_eq!(eight.profile.username, "AMY-8");
    // No rule applies to names in claims.
    for (number, name) in [(50, ""), (51, "a b"), (52, "x'; --"), (53, "界")] {
        let made = fixture.store.ensure_site_user(site(Subject::Id(UserId(number)), name)).await.unwrap();
        assert_eq!(made.profile.username, if name.is_empty() { "user" } else { name });
    }
    let sent = fixture.store.append(text(UserId(7), Destination::Room(LOBBY), "hi")).await;
    assert_eq!(sent.unwrap().seq.0, 1, "a site's user is in the lobby too");
}

pub(crate) async fn a_profile_change_leaves_other_fields_alone(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let change = ProfileChange { nickname: Some("Amy".into()), avatar: None, bio: Some("tea".into()) };
    let changed = fixture.store.update_profile(amy, change).await.unwrap().unwrap();
    assert_eq!((changed.profile.nickname.as_str(), changed.bio.as_str()), ("Amy", "tea"));
    let change = ProfileChange { avatar: Some("/a.png".into()), ..Default::default() };
    let changed = fixture.store.update_profile(amy, change).await.unwrap().unwrap();
    assert_eq!((changed.profile.nickname.as_str(), changed.profile.avatar.as_str()), ("Amy", "/a.png"));
    assert_eq!(fixture.store.user(amy).await.unwrap(), Some(changed));
    assert_eq!(fixture.store.update_profile(UserId(99), ProfileChange::default()).await.unwrap(), None);
    assert_eq!(fixture.store.user(UserId(99)).await.unwrap(), None);
}

pub(crate) async fn profiles_are_ordered_by_id_without_unknown_users(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let found = fixture.store.profiles(&[bob, UserId(99), amy, bob, UserId(u64::MAX)]).await.unwrap();
    assert_eq!(found.iter().map(|p| p.id).collect::<Vec<_>>(), [amy, bob]);
    assert!(fixture.store.profiles(&[]).await.unwrap().is_empty());
}

pub(crate) async fn roles_sanctions_and_disabling_are_kept(mut fixture: Fixture) {
    let amy = fixture.new_user().await;
    fixture.store.set_role("PERSON0", UserRole::Admin).await.unwrap().unwrap();
    fixture.store.set_muted("person0", Some(at(5)), at(0)).await.unwrap().unwrap();
    fixture.store.set_disabled("person0", true).await.unwrap().unwrap();
    fixture.reopen().await;
    let user = fixture.store.user(amy).await.unwrap().unwrap();
    assert_eq!((user.role, user.muted_until, user.disabled), (UserRole::Admin, Some(at(5)), true));
    for nobody in ["nobody", "", "person_"] {
        assert_eq!(fixture.store.set_role(nobody, UserRole::Admin).await.unwrap(), None);
        assert_eq!(fixture.store.set_disabled(nobody, true).await.unwrap(), None);
        assert_eq!(fixture.store.set_muted(nobody, None, at(0)).await.unwrap(), None);
    }
}

pub(crate) async fn renewing_a_hash_does_not_undo_a_password_that_was_changed_meanwhile(fixture: Fixture) {
    let amy = fixture.new_user().await;
    assert!(fixture.store.renew_password_hash(amy, "hash", "newer hash").await.unwrap());
    fixture.store.change_password(amy, "other password", at(0), None).await.unwrap();
    assert!(!fixture.store.renew_password_hash(amy, "newer hash", "newest hash").await.unwrap());
    assert_eq!(fixture.store.password_hash(amy).await.unwrap().as_deref(), Some("other password"));
    assert_eq!(fixture.store.password_hash(UserId(99)).await.unwrap(), None);
    let site = fixture.store.ensure_site_user(site(Subject::Id(UserId(70)), "x")).await.unwrap();
    assert_eq!(fixture.store.password_hash(site.profile.id).await.unwrap(), None);
}

pub(crate) async fn a_token_status_survives_an_earlier_caller_who_gave_up(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let (first_mark, second_mark) = (mark(1, None, 5), mark(2, None, 5));
    let mut first = Box::pin(fixture.store.token_status(amy, &first_mark));
    let mut second = Box::pin(fixture.store.token_status(amy, &second_mark));
    let mut context = Context::from_waker(Waker::noop());
    for status in [&mut first, &mut second] {
        // A store that answers at once has no caller who can give up.
        if status.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
    drop(first);
    assert!(matches!(second.await.unwrap(), TokenStatus::Good(_)));
}

pub(crate) async fn p19_the_status_of_a_token_follows_revocations(mut fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let good = async |fixture: &Fixture, user, mark| match fixture.store.token_status(user, &mark).await.unwrap() {
        TokenStatus::Good(found) => found.profile.id == user,
        TokenStatus::Revoked => false,
        other => panic!("{other:?}"),
    };
    fixture.store.revoke(amy, key(1), at(0)).await.unwrap();
    fixture.store.revoke(amy, key(9), at(0)).await.unwrap();
    fixture.store.revoke(amy, key(9), at(0)).await.unwrap();
    fixture.reopen().await;
    for (user, mark, expect) in [
        (amy, mark(1, None, 5), false),
        (amy, mark(1, Some(8), 5), false),
        (amy, mark(2, None, 5), true),
        (amy, mark(2, Some(9), 5), false),
        (amy, mark(2, Some(1), 5), false),
        (bob, mark(1, Some(9), 5), true),
    ] {
        assert_eq!(good(&fixture, user, mark).await, expect, "{user} {mark:?}");
    }
    assert_eq!(fixture.store.token_status(UserId(99), &mark(1, None, 5)).await.unwrap(), TokenStatus::Unknown);
    fixture.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(fixture.store.token_status(amy, &mark(1, None, 5)).await.unwrap(), TokenStatus::Disabled);
    fixture.store.revoke(UserId(99), key(1), at(0)).await.unwrap();
}

pub(crate) async fn p19_a_password_change_revokes_every_other_token(fixture: Fixture) {
    let amy = fixture.new_user().await;
    assert_eq!(fixture.store.issue_not_before(amy).await.unwrap(), 0);
    for (token, login) in [(1, 11), (2, 12)] {
        let refresh = RefreshToken { key: key(token), user: amy, login: key(login), expires_at: at(1000) };
        fixture.store.add_refresh_token(refresh).await.unwrap();
    }
    let now = Timestamp(5_999);
    fixture.store.change_password(amy, "new", now, Some(key(12))).await.unwrap();

    let good = async |mark| matches!(fixture.store.token_status(amy, &mark).await.unwrap(), TokenStatus::Good(_));
    assert!(!good(mark(7, None, 5)).await, "issued in the same second");
    assert!(!good(mark(7, Some(11), 0)).await);
    assert!(good(mark(7, None, 6)).await);
    assert!(good(mark(7, Some(12), 3)).await, "the login that asked stays");
    assert!(good(mark(12, None, 3)).await, "or the token");
    assert_eq!(fixture.store.issue_not_before(amy).await.unwrap(), 6);
    assert_eq!(fixture.store.refresh_token(key(1), at(0)).await.unwrap(), None);
    assert!(fixture.store.refresh_token(key(2), at(0)).await.unwrap().is_some());

    fixture.store.change_password(amy, "newer", Timestamp(2_000), None).await.unwrap();
    assert!(!good(mark(7, None, 5)).await, "a clock that jumped back revives nothing");
    assert!(!good(mark(7, Some(12), 3)).await);
    assert_eq!(fixture.store.refresh_token(key(2), at(0)).await.unwrap(), None);
}

pub(crate) async fn a_refresh_token_rotates_once(fixture: Fixture) {
    let amy = fixture.new_user().await;
    fixture
        .store
        .add_refresh_token(RefreshToken { key: key(1), user: amy, login: key(9), expires_at: at(1000) })
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(
            async move { store.rotate_refresh_token(key(1), key(100 + number), at(2000), at(999)).await.unwrap() },
        );
    }
    let won: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!((won[0].user, won[0].login, won[0].expires_at), (amy, key(9), at(2000)));
    assert_eq!(fixture.store.refresh_token(won[0].key, at(1999)).await.unwrap(), Some(won[0]));
    assert_eq!(fixture.store.refresh_token(won[0].key, at(2000)).await.unwrap(), None, "expired");
    assert_eq!(
        fixture.store.rotate_refresh_token(won[0].key, key(2), at(3000), at(2000)).await.unwrap(),
        None,
        "expired"
    );
    assert!(fixture.store.refresh_token(won[0].key, at(0)).await.unwrap().is_some(), "and nothing changed");
    assert_eq!(fixture.store.refresh_token(key(1), at(0)).await.unwrap(), None);
}

pub(crate) async fn the_logins_of_a_user_are_bounded_and_the_oldest_end(fixture: Fixture) {
    let (amy, bob) = (fixture.new_user().await, fixture.new_user().await);
    let login = async |number: u32, user, expires_at| {
        let number = u8::try_from(number).unwrap();
        let token = RefreshToken { key: key(number), user, login: key(number), expires_at: at(expires_at) };
        fixture.store.add_refresh_token(token).await.unwrap();
    };
    let is_kept = async |number: u32| {
        fixture.store.refresh_token(key(u8::try_from(number).unwrap()), at(0)).await.unwrap().is_some()
    };
    login(0, bob, 1).await;
    for number in 1..=LOGINS_PER_USER_MAX {
        login(number, amy, 1000 + i64::from(number)).await;
    }
    // The first one is continued, so that the second one is the oldest.
    let (old, new) = (key(1), key(201));
    assert!(fixture.store.rotate_refresh_token(old, new, at(9000), at(0)).await.unwrap().is_some());
    assert!(is_kept(2).await);
    login(202, amy, 500).await;
    for (number, expect) in [(0, true), (2, false), (3, true), (LOGINS_PER_USER_MAX, true), (201, true), (202, true)] {
        assert_eq!(is_kept(number).await, expect, "{number}");
    }
}

pub(crate) async fn a_logout_or_disabling_removes_refresh_tokens(fixture: Fixture) {
    let amy = fixture.new_user().await;
    for (token, login) in [(1, 11), (2, 11), (3, 12)] {
        let refresh = RefreshToken { key: key(token), user: amy, login: key(login), expires_at: at(1000) };
        fixture.store.add_refresh_token(refresh).await.unwrap();
    }
    fixture.store.revoke(amy, key(11), at(1000)).await.unwrap();
    let exists = async |token| fixture.store.refresh_token(key(token), at(0)).await.unwrap().is_some();
    assert!(!exists(1).await && !exists(2).await && exists(3).await);
    fixture.store.set_disabled("person0", true).await.unwrap();
    assert_eq!(fixture.store.rotate_refresh_token(key(3), key(4), at(2000), at(0)).await.unwrap(), None);
    fixture.store.set_disabled("person0", false).await.unwrap();
    assert!(!exists(3).await && !exists(4).await);
}

pub(crate) async fn revocations_are_deleted_only_long_after_they_expired(fixture: Fixture) {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let amy = fixture.new_user().await;
    fixture.store.revoke(amy, key(1), at(0)).await.unwrap();
    fixture
        .store
        .add_refresh_token(RefreshToken { key: key(2), user: amy, login: key(9), expires_at: at(0) })
        .await
        .unwrap();
    let revoked = async || fixture.store.token_status(amy, &mark(1, None, 5)).await.unwrap() == TokenStatus::Revoked;
    let refreshable = async || fixture.store.refresh_token(key(2), at(-1)).await.unwrap().is_some();
    fixture.store.forget_expired(at(DAY_MS)).await.unwrap();
    assert!(revoked().await && refreshable().await, "a clock that jumped ahead for an hour revives nothing");
    fixture.store.forget_expired(at(DAY_MS + 1)).await.unwrap();
    assert!(!revoked().await && !refreshable().await);
}

pub(crate) async fn the_newest_addresses_of_a_users_logins_are_remembered(fixture: Fixture) {
    let (amy, bea) = (fixture.new_user().await, fixture.new_user().await);
    let seen = async |user, prefix| fixture.store.login_prefix_seen(user, key(prefix)).await.unwrap();
    let remember =
        async |user, prefix, now| fixture.store.remember_login_prefix(user, key(prefix), at(now)).await.unwrap();
    assert_eq!(seen(amy, 1).await, None);
    remember(amy, 1, 1).await;
    remember(bea, 1, 2).await;
    remember(UserId(1_000_000), 1, 2).await;
    assert_eq!((seen(amy, 1).await, seen(bea, 1).await), (Some(at(1)), Some(at(2))));
    assert_eq!(seen(UserId(1_000_000), 1).await, None, "there is no such user");

    let most = u8::try_from(LOGIN_PREFIXES_PER_USER_MAX).unwrap();
    for prefix in 2..=most {
        remember(amy, prefix, i64::from(prefix)).await;
    }
    remember(amy, 1, 100).await;
    remember(amy, most + 1, 101).await;
    assert_eq!((seen(amy, 1).await, seen(amy, 2).await), (Some(at(100)), None), "the oldest is forgotten");
    assert_eq!((seen(amy, 3).await, seen(amy, most + 1).await), (Some(at(3)), Some(at(101))));

    let kept = i64::try_from(LOGIN_PREFIXES_KEPT.as_millis()).unwrap();
    fixture.store.forget_expired(at(100 + kept)).await.unwrap();
    assert_eq!((seen(amy, 1).await, seen(amy, 3).await, seen(bea, 1).await), (Some(at(100)), None, None));
}
