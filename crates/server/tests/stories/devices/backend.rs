//! The server API: a backend publishes, posts messages and ends sessions, in both dialects.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{private_room, public_room, server_and_users};
use crate::fixture::{Backend, Device, RawSocket, Server, User, of_type};

const ARTICLE: &[&str] = &["new_article", "article_comment", "last"];

#[tokio::test]
async fn h20_a_publish_reaches_only_its_audience_once_in_both_dialects() {
    let (server, [amy, bea, cid]) = server_and_users(["amy", "bea", "cid"]);
    let backend = Backend::new(&server);
    let mut hers = Device::new(&amy).expecting(ARTICLE);
    let mut tablet = Device::new(&amy).expecting(ARTICLE);
    let mut his = Device::new(&bea).expecting(ARTICLE);
    for device in [&mut hers, &mut tablet, &mut his] {
        device.connect().await;
    }
    let mut tab = cid.open_tab().await;
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
        backend.publish(to.clone(), "new_article", data.clone()).await.expect(200);
        backend.publish(json!({"all": true}), "last", json!({})).await.expect(200);
        for (device, expect) in [(&mut hers, !is_for_nobody), (&mut tablet, !is_for_nobody), (&mut his, by_his)] {
            let received = device.read_until(|one| one["type"] == "last").await;
            let events = of_type(&received, "new_article");
            assert_eq!(events, if expect { vec![data.clone()] } else { vec![] }, "{to} to {}", device.user.name);
        }
        let received = tab.read_until(|one| one["type"] == "last").await;
        assert_eq!(of_type(&received, "new_article").len(), usize::from(by_tab), "{to}");
    }
    // A publish is not stored: later sessions do not receive it.
    let mut late = Device::new(&bea);
    late.connect().await;
    late.assert_alive().await;
    let log = server.log();
    assert!(!log.contains("and more"), "published bodies are not in the log");
}

#[tokio::test]
async fn an_invalid_publish_is_refused_with_the_field() {
    let (server, [amy]) = server_and_users(["amy"]);
    let backend = Backend::new(&server);
    let mut device = amy.device().await;
    let mut own = vec!["welcome", "catch_up", "caught_up", "message", "read", "typing", "presence", "online_count"];
    own.extend(["room", "removed", "user", "system", "ack", "error", "goodbye", "hello", "heartbeat", "sync"]);
    own.extend(["private_message", "message_read", "message_deleted", "notification", "edit", "join", "auth"]);
    for kind in own.into_iter().chain(["", "two words", "a\nb", "茶"]) {
        let refused = backend.publish(json!({"all": true}), kind, json!({})).await.expect_error(422, "bad_request");
        assert_eq!(refused["data"]["field"], "type", "{kind}");
    }
    for to in [json!({}), json!({"all": false}), json!({"all": true, "room": 1}), json!({"users": "all"}), json!(null)]
    {
        let answer = backend.publish(to.clone(), "fine", json!({})).await;
        assert_eq!(answer.status, 422, "{to}: {}", answer.text);
    }
    backend.publish(json!({"room": 999}), "fine", json!({})).await.expect_error(404, "not_found");
    backend.publish(json!({"all": true}), "fine", json!({"x": "y".repeat(70_000)})).await.expect_error(422, "too_long");
    for data in [json!([1]), json!("text"), json!({"x": 9_007_199_254_740_993_u64})] {
        backend.publish(json!({"all": true}), "fine", data).await.expect_error(422, "bad_request");
    }
    // Without a key nobody may use the server API, whatever other token they have.
    for path in ["publish", "rooms/1/messages", "users", "disconnect"] {
        amy.post(&format!("/api/server/{path}"), json!({})).await.expect_error(401, "unauthorized");
    }
    amy.get("/api/server/presence?user_ids=7").await.expect_error(401, "unauthorized");
    server.command(&["key", "revoke", "a-story"]);
    backend.publish(json!({"all": true}), "fine", json!({})).await.expect_error(401, "unauthorized");
    let received = device.read_to_heartbeat().await;
    assert!(received.iter().all(|one| one["type"] == "online_count"), "nothing was published: {received:?}");
}

#[tokio::test]
async fn a_message_posted_by_the_backend_is_stored_once_per_key() {
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let backend = Backend::new(&server);
    let mut hers = amy.device().await;
    let mut tab = amy.open_tab().await;
    bea.get("/api/auth/me").await.expect(200);
    let room = public_room(&mut hers, "tea", &[]).await;
    let path = format!("/api/server/rooms/{room}/messages");
    let notice = json!({"content": " the kettle is on ", "client_id": "n-1"});
    let posted = backend.post(&path, notice.clone()).await.expect(201).data();
    hers.wait_for_version(room, 1).await;
    let held = hers.view.message(posted["message_id"].as_u64().unwrap()).unwrap().clone();
    assert_eq!(
        (&held["kind"], &held["content"], &held["seq"]),
        (&json!("system"), &json!("the kettle is on"), &json!(1))
    );
    let again = backend.post(&path, notice).await.expect(201).data();
    assert_eq!((&again["message_id"], &again["duplicate"]), (&posted["message_id"], &json!(true)));
    backend.post(&path, json!({"content": "else", "client_id": "n-1"})).await.expect_error(409, "conflict");
    backend.post(&path, json!({"content": "", "client_id": "n-2"})).await.expect_error(422, "empty");
    backend
        .post("/api/server/rooms/999/messages", json!({"content": "x", "client_id": "n-2"}))
        .await
        .expect_error(404, "not_found");

    // Posting as a user makes that user a member of a public room, and never of a private one.
    let said =
        backend.post(&path, json!({"content": "beep", "client_id": "b-1", "as": bea.id})).await.expect(201).data();
    hers.wait_for_version(room, 2).await;
    let held = hers.view.message(said["id"].as_u64().unwrap()).unwrap().clone();
    assert_eq!((&held["sender"]["id"], &held["kind"]), (&json!(bea.id), &json!("text")));
    let hidden = private_room(&mut hers, "hidden", &[]).await;
    let path = format!("/api/server/rooms/{hidden}/messages");
    backend.post(&path, json!({"content": "x", "client_id": "b-2", "as": bea.id})).await.expect_error(403, "forbidden");
    backend.post(&path, json!({"content": "a notice", "client_id": "n-3"})).await.expect(201);
    hers.wait_for_version(hidden, 1).await;
    // In the lobby classic sessions receive it too.
    backend.post("/api/server/rooms/1/messages", json!({"content": "for all", "client_id": "n-4"})).await.expect(201);
    assert_eq!(tab.next_of("message").await["content"], "for all");
    hers.wait_for_version(1, 1).await;
    hers.assert_same_as_fresh_load().await;
}

#[tokio::test]
async fn a_disconnect_by_the_backend_gives_its_reason_and_updates_presence() {
    let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
    let backend = Backend::new(&server);
    let (mut phone, mut laptop) = (amy.device().await, amy.device().await);
    let mut tab = amy.open_tab().await;
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
        let goodbye = device.expect_close(4502).await;
        assert_eq!((&goodbye["reason"], &goodbye["reconnect"]), (&json!("be kind, 请友善"), &json!(false)));
    }
    let (_, code, reason) = tab.read_to_close().await;
    assert_eq!((code, reason.as_str()), (1008, "be kind, 请友善"));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    his.wait_for_view("one", |view| view.online == 1).await;
    assert_eq!(presence().await, json!([bea.id]));
    his.assert_alive().await;
    // The user may reconnect.
    phone.reconnect().await;
    assert_eq!(presence().await, json!([amy.id, bea.id]));
    for (body, status) in [
        (json!({"user_id": 999_999}), 404),
        (json!({"user_id": amy.id, "reason": "x".repeat(101)}), 422),
        (json!({}), 422),
    ] {
        backend.post("/api/server/disconnect", body).await.expect(status);
    }
    phone.assert_alive().await;
}

/// Publishes more than the network and the server hold for a stalled reader.
async fn publish_too_much(backend: &Backend, to: Value, count: usize) {
    let data = json!({"filler": "tea ".repeat(100)});
    for _ in 0..count / 100 {
        let some = (0..100).map(|_| backend.publish(to.clone(), "new_article", data.clone()));
        join_all(some).await.into_iter().for_each(|answer| drop(answer.expect(200)));
    }
}

#[tokio::test]
async fn a_session_too_slow_for_published_events_receives_events_missed() {
    for (all, count) in [(false, 2000), (true, 6000)] {
        let (server, [amy, bea]) = server_and_users(["amy", "bea"]);
        let backend = Backend::new(&server);
        let mut stalled = Device::new(&amy).expecting(ARTICLE).with_small_buffer();
        stalled.connect().await;
        let mut socket = RawSocket::connect_with_small_buffer(server.address()).await;
        socket.handshake(&amy.token).await;
        let mut others = Device::new(&bea).expecting(ARTICLE);
        others.connect().await;
        let to = if all { json!({"all": true}) } else { json!({"users": [amy.id]}) };
        let heard_by_others = async {
            if all {
                for _ in 0..count {
                    others.next_of("new_article").await;
                }
            }
        };
        tokio::join!(publish_too_much(&backend, to, count), heard_by_others);
        backend.publish(json!({"all": true}), "last", json!({})).await.expect(200);
        let said = others.say(1, "and rooms are never missed").await["version"].as_u64().unwrap();

        stalled.enlarge_buffer();
        let (mut published, mut missed) = (0, 0);
        while stalled.view.room(1).version < said || missed == 0 {
            match stalled.next_envelope().await["type"].as_str().unwrap() {
                "new_article" => published += 1,
                "system" => missed += 1,
                _ => {}
            }
        }
        assert!(published > 0 && published < count && missed == 1, "{published} of {count} came, {missed} notices");
        // In the classic dialect this is a notification.
        let mut tab = socket.into_tab().await;
        let received = tab.read_until(|one| one["data"]["code"] == "events_missed").await;
        assert!(of_type(&received, "new_article").len() < count);
        server.assert_no_panic();
    }
}

#[tokio::test]
async fn users_named_by_the_site_can_be_written_to_before_their_first_visit() {
    let server = Server::of_site(crate::fixture::DEVICES);
    let backend = Backend::new(&server);
    let amy = User::of_site(&server, 7, "amy");
    let mut hers = amy.device().await;
    hers.expect_error("open", json!({"user": 8}), "not_found").await;
    let users = json!([{"id": 8, "username": "bea", "nickname": "Bea"}, {"id": "9", "username": "cid"}]);
    let made = backend.post("/api/server/users", users).await.expect(200).data();
    assert_eq!(made["users"][0]["nickname"], "Bea");
    let direct = hers.request("open", json!({"user": 8})).await;
    assert_eq!(direct["peer"]["nickname"], "Bea");
    hers.say(direct["id"].as_u64().unwrap(), "welcome").await;
    // A changed name shows at once.
    backend.post("/api/server/users", json!({"id": 8, "username": "bea", "nickname": "Beatrice"})).await.expect(200);
    hers.wait_for_view("the name", |view| view.users.get(&8).is_some_and(|user| user["nickname"] == "Beatrice")).await;
    let mut his = User::of_site(&server, 8, "bea").device().await;
    let room = direct["id"].as_u64().unwrap();
    assert_eq!(his.view.room(room).entry["unread"], 1);
    his.load_all(room).await;
    his.assert_same_as_fresh_load().await;
}
