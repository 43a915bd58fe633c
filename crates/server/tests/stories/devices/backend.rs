//! A site's backend speaks: what it publishes, posts and ends is felt in both dialects.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{house, private_room, public_room};
use crate::stage::{Backend, Device, Person, Server, Wire, of_type};

const ARTICLE: &[&str] = &["new_article", "article_comment", "last"];

#[tokio::test]
async fn h20_a_publish_reaches_only_its_audience_once_in_both_dialects() {
    let (server, [amy, bea, cid]) = house(["amy", "bea", "cid"]);
    let backend = Backend::of(&server);
    let mut hers = Device::of(&amy).expecting(ARTICLE);
    let mut tablet = Device::of(&amy).expecting(ARTICLE);
    let mut his = Device::of(&bea).expecting(ARTICLE);
    for device in [&mut hers, &mut tablet, &mut his] {
        device.comes().await;
    }
    let mut tab = cid.opens_tab().await;
    let room = private_room(&mut hers, "tea", &[&cid]).await;

    let data = json!({"id": 7, "title": "茶\nand more", "deep": {"list": [1, 2.5, null, "x"]}});
    for (to, by_his, by_tab) in [
        (json!({"all": true}), true, true),
        (json!({"users": [amy.id, amy.id, bea.id, 999_999]}), true, false),
        (json!({"room": room}), false, true),
        (json!({"room": 1}), true, true),
        (json!({"users": []}), false, false),
    ] {
        let is_for_nobody = to == json!({"users": []});
        backend.publishes(to.clone(), "new_article", data.clone()).await.expect(200);
        backend.publishes(json!({"all": true}), "last", json!({})).await.expect(200);
        for (device, expect) in [(&mut hers, !is_for_nobody), (&mut tablet, !is_for_nobody), (&mut his, by_his)] {
            let heard = device.until(|one| one["type"] == "last").await;
            let told = of_type(&heard, "new_article");
            assert_eq!(told, if expect { vec![data.clone()] } else { vec![] }, "{to} to {}", device.person.name);
        }
        let heard = tab.until(|one| one["type"] == "last").await;
        assert_eq!(of_type(&heard, "new_article").len(), usize::from(by_tab), "{to}");
    }
    // It is not stored: whoever comes later hears nothing of it.
    let mut late = Device::of(&bea);
    late.comes().await;
    late.is_alive().await;
    let log = server.log();
    assert!(!log.contains("and more"), "what is published is the site's business, and not in the log");
}

#[tokio::test]
async fn an_invalid_publish_is_refused_with_the_field() {
    let (server, [amy]) = house(["amy"]);
    let backend = Backend::of(&server);
    let mut device = amy.device().await;
    let mut own = vec!["welcome", "catch_up", "caught_up", "message", "read", "typing", "presence", "online_count"];
    own.extend(["room", "removed", "user", "system", "ack", "error", "goodbye", "hello", "heartbeat", "sync"]);
    own.extend(["private_message", "message_read", "message_deleted", "notification", "edit", "join", "auth"]);
    for kind in own.into_iter().chain(["", "two words", "a\nb", "茶"]) {
        let refused = backend.publishes(json!({"all": true}), kind, json!({})).await.refused(422, "bad_request");
        assert_eq!(refused["data"]["field"], "type", "{kind}");
    }
    for to in [json!({}), json!({"all": false}), json!({"all": true, "room": 1}), json!({"users": "all"}), json!(null)]
    {
        let answer = backend.publishes(to.clone(), "fine", json!({})).await;
        assert_eq!(answer.status, 422, "{to}: {}", answer.text);
    }
    backend.publishes(json!({"room": 999}), "fine", json!({})).await.refused(404, "not_found");
    backend.publishes(json!({"all": true}), "fine", json!({"x": "y".repeat(70_000)})).await.refused(422, "too_long");
    for data in [json!([1]), json!("text"), json!({"x": 9_007_199_254_740_993_u64})] {
        backend.publishes(json!({"all": true}), "fine", data).await.refused(422, "bad_request");
    }
    // Whoever has no key is nobody here, whatever else they are.
    for path in ["publish", "rooms/1/messages", "users", "disconnect"] {
        amy.post(&format!("/api/server/{path}"), json!({})).await.refused(401, "unauthorized");
    }
    amy.get("/api/server/presence?user_ids=7").await.refused(401, "unauthorized");
    server.command(&["key", "revoke", "a-story"]);
    backend.publishes(json!({"all": true}), "fine", json!({})).await.refused(401, "unauthorized");
    let heard = device.until_heartbeat().await;
    assert!(heard.iter().all(|one| one["type"] == "online_count"), "nothing of it was published: {heard:?}");
}

#[tokio::test]
async fn a_message_posted_by_the_backend_is_stored_once_per_key() {
    let (server, [amy, bea]) = house(["amy", "bea"]);
    let backend = Backend::of(&server);
    let mut hers = amy.device().await;
    let mut tab = amy.opens_tab().await;
    bea.get("/api/auth/me").await.expect(200);
    let room = public_room(&mut hers, "tea", &[]).await;
    let path = format!("/api/server/rooms/{room}/messages");
    let notice = json!({"content": " the kettle is on ", "client_id": "n-1"});
    let posted = backend.post(&path, notice.clone()).await.expect(201).data();
    hers.until_version(room, 1).await;
    let held = hers.view.message(posted["message_id"].as_u64().unwrap()).unwrap().clone();
    assert_eq!(
        (&held["kind"], &held["content"], &held["seq"]),
        (&json!("system"), &json!("the kettle is on"), &json!(1))
    );
    let again = backend.post(&path, notice).await.expect(201).data();
    assert_eq!((&again["message_id"], &again["duplicate"]), (&posted["message_id"], &json!(true)));
    backend.post(&path, json!({"content": "else", "client_id": "n-1"})).await.refused(409, "conflict");
    backend.post(&path, json!({"content": "", "client_id": "n-2"})).await.refused(422, "empty");
    backend
        .post("/api/server/rooms/999/messages", json!({"content": "x", "client_id": "n-2"}))
        .await
        .refused(404, "not_found");

    // As a user, who comes into a public room by it and never into a private one.
    let said =
        backend.post(&path, json!({"content": "beep", "client_id": "b-1", "as": bea.id})).await.expect(201).data();
    hers.until_version(room, 2).await;
    let held = hers.view.message(said["id"].as_u64().unwrap()).unwrap().clone();
    assert_eq!((&held["sender"]["id"], &held["kind"]), (&json!(bea.id), &json!("text")));
    let hidden = private_room(&mut hers, "hidden", &[]).await;
    let path = format!("/api/server/rooms/{hidden}/messages");
    backend.post(&path, json!({"content": "x", "client_id": "b-2", "as": bea.id})).await.refused(403, "forbidden");
    backend.post(&path, json!({"content": "a notice", "client_id": "n-3"})).await.expect(201);
    hers.until_version(hidden, 1).await;
    // In the lobby the classic dialect hears it as well.
    backend.post("/api/server/rooms/1/messages", json!({"content": "for all", "client_id": "n-4"})).await.expect(201);
    assert_eq!(tab.next_of("message").await["content"], "for all");
    hers.until_version(1, 1).await;
    hers.shows_the_same_as_a_fresh_load().await;
}

#[tokio::test]
async fn a_disconnect_by_the_backend_gives_its_reason_and_updates_presence() {
    let (server, [amy, bea]) = house(["amy", "bea"]);
    let backend = Backend::of(&server);
    let (mut phone, mut laptop) = (amy.device().await, amy.device().await);
    let mut tab = amy.opens_tab().await;
    let mut his = bea.device().await;
    let presence = async || {
        let path = format!("/api/server/presence?user_ids={},{},999", amy.id, bea.id);
        backend.get(&path).await.expect(200).data()["online"].take()
    };
    assert_eq!(presence().await, json!([amy.id, bea.id]));

    let asked = Instant::now();
    let body = json!({"user_id": amy.id, "reason": "be kind, 请友善"});
    backend.post("/api/server/disconnect", body).await.expect(200);
    for device in [&mut phone, &mut laptop] {
        let goodbye = device.is_closed(4502).await;
        assert_eq!((&goodbye["reason"], &goodbye["reconnect"]), (&json!("be kind, 请友善"), &json!(false)));
    }
    let (_, code, reason) = tab.until_closed().await;
    assert_eq!((code, reason.as_str()), (1008, "be kind, 请友善"));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    his.until_view("one", |view| view.online == 1).await;
    assert_eq!(presence().await, json!([bea.id]));
    his.is_alive().await;
    // It keeps nobody out.
    phone.comes_back().await;
    assert_eq!(presence().await, json!([amy.id, bea.id]));
    for (body, status) in [
        (json!({"user_id": 999_999}), 404),
        (json!({"user_id": amy.id, "reason": "x".repeat(101)}), 422),
        (json!({}), 422),
    ] {
        backend.post("/api/server/disconnect", body).await.expect(status);
    }
    phone.is_alive().await;
}

/// Fills what the network holds for somebody who does not read, and what the server keeps for them; then says so.
async fn publishes_too_much(backend: &Backend, to: Value, count: usize) {
    let data = json!({"filler": "tea ".repeat(100)});
    for _ in 0..count / 100 {
        let some = (0..100).map(|_| backend.publishes(to.clone(), "new_article", data.clone()));
        join_all(some).await.into_iter().for_each(|answer| drop(answer.expect(200)));
    }
}

#[tokio::test]
async fn a_session_too_slow_for_published_events_receives_events_missed() {
    for (all, count) in [(false, 2000), (true, 6000)] {
        let (server, [amy, bea]) = house(["amy", "bea"]);
        let backend = Backend::of(&server);
        let mut stalled = Device::of(&amy).expecting(ARTICLE).with_little_room();
        stalled.comes().await;
        let mut wire = Wire::connect_with_little_room(server.address()).await;
        wire.shake(&amy.token).await;
        let mut others = Device::of(&bea).expecting(ARTICLE);
        others.comes().await;
        let to = if all { json!({"all": true}) } else { json!({"users": [amy.id]}) };
        let heard_by_others = async {
            if all {
                for _ in 0..count {
                    others.next_of("new_article").await;
                }
            }
        };
        tokio::join!(publishes_too_much(&backend, to, count), heard_by_others);
        backend.publishes(json!({"all": true}), "last", json!({})).await.expect(200);
        let said = others.says(1, "and rooms are never missed").await["version"].as_u64().unwrap();

        stalled.has_room_again();
        let (mut told, mut missed) = (0, 0);
        while stalled.view.room(1).version < said || missed == 0 {
            match stalled.next_envelope().await["type"].as_str().unwrap() {
                "new_article" => told += 1,
                "system" => missed += 1,
                _ => {}
            }
        }
        assert!(told > 0 && told < count && missed == 1, "{told} of {count} were told, {missed} times missed");
        // In the classic dialect a notification says so.
        let mut tab = wire.into_tab().await;
        let heard = tab.until(|one| one["data"]["code"] == "events_missed").await;
        assert!(of_type(&heard, "new_article").len() < count);
        server.assert_no_panic();
    }
}

#[tokio::test]
async fn users_named_by_the_site_can_be_written_to_before_their_first_visit() {
    let server = Server::of_a_site(crate::stage::DEVICES);
    let backend = Backend::of(&server);
    let amy = Person::of_site(&server, 7, "amy");
    let mut hers = amy.device().await;
    hers.is_refused("open", json!({"user": 8}), "not_found").await;
    let users = json!([{"id": 8, "username": "bea", "nickname": "Bea"}, {"id": "9", "username": "cid"}]);
    let made = backend.post("/api/server/users", users).await.expect(200).data();
    assert_eq!(made["users"][0]["nickname"], "Bea");
    let direct = hers.does("open", json!({"user": 8})).await;
    assert_eq!(direct["peer"]["nickname"], "Bea");
    hers.says(direct["id"].as_u64().unwrap(), "welcome").await;
    // A new name shows at once.
    backend.post("/api/server/users", json!({"id": 8, "username": "bea", "nickname": "Beatrice"})).await.expect(200);
    hers.until_view("the name", |view| view.users.get(&8).is_some_and(|user| user["nickname"] == "Beatrice")).await;
    let mut his = Person::of_site(&server, 8, "bea").device().await;
    let room = direct["id"].as_u64().unwrap();
    assert_eq!(his.view.room(room).entry["unread"], 1);
    his.loads_all_of(room).await;
    his.shows_the_same_as_a_fresh_load().await;
}
