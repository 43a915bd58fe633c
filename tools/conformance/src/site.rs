//! The site's backend: its API keys, and the users that it keeps.

use teahouse_core::{Change, LOBBY, UserId, ids::OWN_IDS_START};
use teahouse_store::{ApiKeyError, Destination, NewUser, ProfileChange, SiteUser, SiteUserRecord, Subject};

use crate::fixture::*;

pub(crate) async fn an_api_key_is_valid_until_revoked_and_names_are_unique(mut fixture: Fixture) {
    assert_eq!(fixture.store.api_key(key(1)).await.unwrap(), None);
    fixture.store.add_api_key("site", key(1), at(1)).await.unwrap();
    fixture.store.add_api_key("bot", key(2), at(2)).await.unwrap();
    assert_eq!(fixture.store.add_api_key("site", key(3), at(3)).await, Err(ApiKeyError::NameTaken));
    fixture.reopen().await;
    assert_eq!(fixture.store.api_key(key(1)).await.unwrap().as_deref(), Some("site"));
    assert_eq!(fixture.store.api_key(key(3)).await.unwrap(), None);
    let all = [("site".to_owned(), at(1)), ("bot".to_owned(), at(2))];
    assert_eq!(fixture.store.api_keys().await.unwrap(), all);
    assert!(fixture.store.revoke_api_key("site").await.unwrap());
    assert!(!fixture.store.revoke_api_key("site").await.unwrap());
    assert_eq!(fixture.store.api_key(key(1)).await.unwrap(), None);
    assert_eq!(fixture.store.api_keys().await.unwrap(), all[1..]);
    fixture.store.add_api_key("site", key(3), at(4)).await.unwrap();
    assert_eq!(fixture.store.api_key(key(3)).await.unwrap().as_deref(), Some("site"));
}

fn record(subject: Subject, username: &str) -> SiteUserRecord {
    let user = SiteUser { subject, username: username.to_owned(), email: None, now: at(0) };
    SiteUserRecord { user, profile: ProfileChange::default() }
}

fn numbered(number: u64, username: &str) -> SiteUserRecord {
    record(Subject::Id(UserId(number)), username)
}

pub(crate) async fn a_site_creates_its_users_and_they_can_get_messages(fixture: Fixture) {
    let mut seven = numbered(7, "amy");
    seven.user.email = Some("amy@example.org".to_owned());
    seven.profile = ProfileChange { nickname: Some("Amy".into()), avatar: Some("/a".into()), bio: Some("tea".into()) };
    let records = vec![seven, record(Subject::Name("auth0|9".into()), "bob"), numbered(8, "eve")];
    let made = fixture.store.put_site_users(records.clone()).await.unwrap();
    let [amy, bob, eve] = &made[..] else { panic!() };
    assert_eq!((amy.profile.id, bob.profile.id.0, eve.profile.id), (UserId(7), OWN_IDS_START, UserId(8)));
    assert_eq!((amy.profile.username.as_str(), amy.profile.nickname.as_str()), ("amy", "Amy"));
    assert_eq!((amy.profile.avatar.as_str(), amy.bio.as_str()), ("/a", "tea"));
    assert_eq!((amy.email.as_deref(), bob.profile.nickname.as_str()), (Some("amy@example.org"), "bob"));
    assert_eq!(fixture.store.put_site_users(records).await.unwrap(), made, "again changes nothing");
    assert_eq!(fixture.store.put_site_users(Vec::new()).await.unwrap(), []);
    assert_eq!(fixture.sink.commits(), [], "nobody has seen them yet");
    let claims = SiteUser { subject: Subject::Name("auth0|9".into()), username: "x".into(), email: None, now: at(1) };
    assert_eq!(fixture.store.ensure_site_user(claims).await.unwrap(), *bob, "the same who comes with a token");
    fixture.send(UserId(7), Destination::Direct(bob.profile.id), "welcome").await;
    fixture.send(UserId(8), Destination::Room(LOBBY), "they are in the lobby").await;
}

pub(crate) async fn a_site_renames_its_users_but_takes_no_name_from_another(fixture: Fixture) {
    let with_email = NewUser { email: Some("taken@example.org".into()), ..registration("taken") };
    fixture.store.create_user(with_email).await.unwrap();
    let made = fixture.store.put_site_users(vec![numbered(70, "amy"), numbered(80, "Taken")]).await.unwrap();
    assert_eq!(made[1].profile.username, "Taken-80", "a new one gets a suffix");
    // A mention by the old name, so that the writer has cached it.
    fixture.send(UserId(70), Destination::Room(LOBBY), "@amy").await;
    fixture.sink.clear();

    let put = async |record: SiteUserRecord| fixture.store.put_site_users(vec![record]).await.unwrap().remove(0);
    let renamed = put(numbered(70, "Amelie")).await;
    assert_eq!((renamed.profile.username.as_str(), renamed.profile.nickname.as_str()), ("Amelie", "Amelie"));
    let mut chosen = numbered(70, "Amelie");
    chosen.profile.nickname = Some("Queen".into());
    put(chosen).await;
    let renamed = put(numbered(70, "amelie")).await;
    assert_eq!((renamed.profile.username.as_str(), renamed.profile.nickname.as_str()), ("amelie", "Queen"));
    for name in ["TAKEN", "taken-80", ""] {
        assert_eq!(put(numbered(70, name)).await.profile.username, "amelie", "{name:?}");
    }
    assert_eq!(put(numbered(80, "taken")).await.profile.username, "Taken-80", "still taken");
    let published: Vec<_> = fixture.sink.commits().into_iter().map(|commit| commit.change).collect();
    let names = published.iter().map(|change| match change {
        Change::Profile(profile) => (profile.username.as_str(), profile.nickname.as_str()),
        other => panic!("{other:?}"),
    });
    assert!(names.eq([("Amelie", "Amelie"), ("Amelie", "Queen"), ("amelie", "Queen")]), "{published:?}");

    let email = async |number, email: &str| {
        let mut record = numbered(number, "");
        record.user.email = Some(email.to_owned());
        put(record).await.email
    };
    assert_eq!(email(70, "a@example.org").await.as_deref(), Some("a@example.org"));
    assert_eq!(email(70, "A@Example.org").await.as_deref(), Some("A@Example.org"));
    assert_eq!(email(70, "TAKEN@example.org").await.as_deref(), Some("A@Example.org"), "another user's");
    assert_eq!(put(numbered(70, "amelie")).await.email.as_deref(), Some("A@Example.org"), "not given");

    // The old name is free for registration and mentions.
    let amy = fixture.store.create_user(registration("amy")).await.unwrap().profile.id;
    let sent = fixture.send(amy, Destination::Room(LOBBY), "@amy @amelie").await.id;
    assert_eq!(fixture.stored(LOBBY, sent).await.mentions, [amy.min(UserId(70)), amy.max(UserId(70))]);
}
