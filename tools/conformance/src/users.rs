//! Users as others see them, and the search for them.

use teahouse_core::{Audience, Change, Commit, LOBBY, Profile, UserId};
use teahouse_store::{PageLimit, ProfileChange, SiteUser, SiteUserRecord, Subject};

use crate::fixture::*;

pub(crate) async fn a_new_nickname_or_avatar_is_published_to_all(fixture: Fixture) {
    let amy = fixture.new_user().await;
    let update = async |nickname: Option<&str>, avatar: Option<&str>, bio: Option<&str>| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let change = ProfileChange { nickname: owned(nickname), avatar: owned(avatar), bio: owned(bio) };
        fixture.store.update_profile(amy, change).await.unwrap().unwrap().profile
    };
    let named = update(Some("Amy"), None, Some("tea")).await;
    let pictured = update(None, Some("/a.png"), None).await;
    update(Some("Amy"), Some("/a.png"), Some("more tea")).await;
    update(None, None, None).await;
    let published =
        |profile: Profile| Commit { room: LOBBY, audience: Audience::Room, change: Change::Profile(profile) };
    assert_eq!(fixture.sink.commits(), [published(named), published(pictured)], "only what shows");
}

pub(crate) async fn users_are_found_by_a_prefix_of_their_names(fixture: Fixture) {
    let mut ids = Vec::new();
    for (username, nickname) in [
        ("Amy", "Queen"),
        ("bob", "Amadeus"),
        ("amy2", "amy2"),
        ("eve", "ÄPFEL"),
        ("a_x", "100%"),
        ("amz", "\u{10ffff}"),
        ("小明", "明"),
    ] {
        let made = fixture.store.create_user(registration(username)).await.unwrap().profile.id;
        let change = ProfileChange { nickname: Some(nickname.to_owned()), ..Default::default() };
        fixture.store.update_profile(made, change).await.unwrap();
        ids.push(made);
    }
    let search = async |prefix: &str, after, limit| {
        let (found, more) = fixture.store.search_users(prefix, after, PageLimit::of_entries(limit)).await.unwrap();
        (found.iter().map(|profile| profile.id).collect::<Vec<_>>(), more)
    };
    let at_positions = |positions: &[usize]| positions.iter().map(|n| ids[*n]).collect::<Vec<_>>();
    for (prefix, expect) in [
        ("AM", &[0, 1, 2, 5][..]),
        ("amy", &[0, 2]),
        ("queen", &[0]),
        ("ueen", &[]),
        ("äpf", &[3]),
        ("a_", &[4]),
        ("%", &[]),
        ("1", &[4]),
        ("小", &[6]),
        ("明", &[6]),
        ("\u{10ffff}", &[5]),
        ("'", &[]),
        ("", &[0, 1, 2, 3, 4, 5, 6]),
    ] {
        assert_eq!(search(prefix, UserId(0), 50).await, (at_positions(expect), false), "{prefix:?}");
    }
    assert_eq!(search("am", UserId(0), 3).await, (at_positions(&[0, 1, 2]), true));
    assert_eq!(search("am", ids[2], 3).await, (at_positions(&[5]), false));
    assert_eq!(search("", ids[2], 2).await, (at_positions(&[3, 4]), true));
    fixture.store.set_disabled("amy", true).await.unwrap();
    assert_eq!(search("am", UserId(0), 50).await, (at_positions(&[1, 2, 5]), false), "disabled ones are left out");
    assert_eq!(search("", UserId(0), 50).await.0.len(), 6);
    let change = ProfileChange { nickname: Some("Robert".to_owned()), ..Default::default() };
    fixture.store.update_profile(ids[1], change).await.unwrap();
    assert_eq!(search("ama", UserId(0), 50).await, (vec![], false), "an old nickname finds nobody");
    assert_eq!(search("ROB", UserId(0), 50).await, (at_positions(&[1]), false));
}

pub(crate) async fn a_prefix_of_thousands_finds_the_first_by_name(fixture: Fixture) {
    let site = |number: u64| {
        let username = format!("u{number:04}");
        let user = SiteUser { subject: Subject::Id(UserId(9000 - number)), username, email: None, now: at(0) };
        SiteUserRecord { user, profile: ProfileChange::default() }
    };
    fixture.store.put_site_users((0..2100).map(site).collect()).await.unwrap();
    let (mut found, mut after) = (0, UserId(0));
    loop {
        let (page, more) = fixture.store.search_users("u", after, PageLimit::of_entries(100)).await.unwrap();
        assert!(page.iter().all(|profile| profile.id > after && profile.username.as_str() < "u2000"));
        found += page.len();
        after = page.last().unwrap().id;
        if !more {
            break;
        }
    }
    assert_eq!(found, 2000);
    let (found, _) = fixture.store.search_users("u2099", UserId(0), PageLimit::of_entries(5)).await.unwrap();
    assert_eq!(found[0].id, UserId(9000 - 2099), "a longer one finds anybody");
}

pub(crate) async fn an_operator_lists_all_users_page_by_page(fixture: Fixture) {
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(fixture.new_user().await);
    }
    fixture.store.set_disabled("person1", true).await.unwrap();
    let list = async |after, limit| {
        let found = fixture.store.list_users(after, limit).await.unwrap();
        found.into_iter().map(|user| user.profile.id).collect::<Vec<_>>()
    };
    assert_eq!(list(UserId(0), 3).await, users[..3]);
    assert_eq!(list(users[2], 3).await, users[3..]);
    assert_eq!(list(UserId(u64::MAX), 3).await, []);
    let user = fixture.store.list_users(users[0], 1).await.unwrap().remove(0);
    assert_eq!(Some(user), fixture.store.user(users[1]).await.unwrap());
}
