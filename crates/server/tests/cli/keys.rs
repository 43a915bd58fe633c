//! `teahouse key …`, and what a key allows.

use reqwest::Method;
use serde_json::{Value, json};

use super::test_server::{ServerState, TestServer, connect_v1};

async fn presence(server: &TestServer, key: &str) -> (u16, Value) {
    server.request(Method::GET, "/api/server/presence?user_ids=1,2", &format!("ApiKey {key}"), Value::Null).await
}

#[tokio::test]
async fn a_key_is_printed_once_works_for_the_server_api_and_can_be_revoked() {
    for state in [ServerState::Running, ServerState::Stopped] {
        let mut server = TestServer::open(&[]);
        let made = server
            .with_state(state, |server| server.command(&["key", "create", "shop"]))
            .assert_output(0, "stores only a hash");
        let key = made.out.strip_suffix('\n').unwrap();
        assert!(key.starts_with("thk_") && key.len() == 47, "{made:?}");
        assert!(!made.err.contains(key));
        assert_eq!(presence(&server, key).await, (200, json!({ "online": [] })));

        server.with_state(state, |server| {
            server.command(&["key", "create", "Shop.2"]).assert_output(0, "Authorization: ApiKey");
            server.command(&["key", "create", "shop"]).assert_output(1, "teahouse key revoke shop");
            server.command(&["key", "create", "two words"]).assert_output(64, "letters, digits");
            let listed = server.command(&["key", "list"]).assert_output(0, "shop");
            let names: Vec<_> = listed.out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
            assert_eq!(names.len(), 2, "{listed:?}");
            assert!(!listed.out.contains("thk_"));
        });
        // The store does not contain the key.
        for entry in std::fs::read_dir(server.path("data")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
                assert!(!found, "{} holds the key", path.display());
            }
        }

        server.with_state(state, |server| server.command(&["key", "revoke", "shop"])).assert_output(0, "is revoked");
        assert_eq!(presence(&server, key).await.0, 401);
        server
            .with_state(state, |server| server.command(&["key", "revoke", "shop"]))
            .assert_output(1, "there is no key");
    }
}

#[tokio::test]
async fn publications_posts_and_disconnects_of_a_backend_reach_the_page() {
    let server = TestServer::open(&[]);
    let key = server.command(&["key", "create", "shop"]).assert_output(0, "shop").out;
    let authorization = format!("ApiKey {}", key.trim());
    server.command_with_input("oolong7\n", &["user", "create", "amy"]).assert_output(0, "amy");
    let token = server.log_in("amy", "oolong7").await.unwrap();
    let mut socket = server.connect_classic(&token).await;
    assert_eq!(presence(&server, key.trim()).await.1, json!({ "online": [1] }));

    let post = async |path: &str, body: Value| server.request(Method::POST, path, &authorization, body).await;
    for to in [json!({ "all": true }), json!({ "users": [1, 7] }), json!({ "room": 1 })] {
        let event = json!({ "to": to, "type": "new_article", "data": { "title": "茶\n" } });
        assert_eq!(post("/api/server/publish", event).await, (200, json!({ "ok": true })));
        assert_eq!(socket.read_until("new_article").await, r#"{"type":"new_article","data":{"title":"茶\n"}}"#, "{to}");
    }
    let notice = json!({ "content": "closed on Monday", "client_id": "n-1" });
    let (status, posted) = post("/api/server/rooms/1/messages", notice).await;
    assert_eq!((status, &posted["seq"]), (201, &json!(1)));
    let heard: Value = serde_json::from_str(&socket.read_until("message").await).unwrap();
    assert_eq!((&heard["data"]["content"], &heard["data"]["username"]), (&json!("closed on Monday"), &json!("system")));
    let end = json!({ "user_id": 1, "reason": "be kind" });
    assert_eq!(post("/api/server/disconnect", end).await.0, 200);
    assert_eq!(socket.read_close().await, (1008, "be kind".to_owned()));
    assert_eq!(server.own_account(&token).await.0, 200, "a disconnect does not disable the user");
}

#[tokio::test]
async fn a_v1_client_receives_the_same_and_the_reason_of_its_disconnect() {
    let server = TestServer::open(&[]);
    let key = server.command(&["key", "create", "shop"]).assert_output(0, "shop").out;
    let authorization = format!("ApiKey {}", key.trim());
    server.command_with_input("oolong7\n", &["user", "create", "amy"]).assert_output(0, "amy");
    let token = server.log_in("amy", "oolong7").await.unwrap();
    let mut socket = connect_v1(&server, &token).await;
    let post = async |path: &str, body: Value| server.request(Method::POST, path, &authorization, body).await;
    let event = json!({ "to": { "users": [1] }, "type": "new_article", "data": { "id": 5 } });
    assert_eq!(post("/api/server/publish", event).await.0, 200);
    assert_eq!(socket.read_until("new_article").await, r#"{"type":"new_article","data":{"id":5}}"#);
    let notice = json!({ "content": "closed on Monday", "client_id": "n-1" });
    assert_eq!(post("/api/server/rooms/1/messages", notice).await.0, 201);
    let heard: Value = serde_json::from_str(&socket.read_until("message").await).unwrap();
    assert_eq!((&heard["data"]["kind"], &heard["data"]["client_id"]), (&json!("system"), &json!("n-1")));
    assert_eq!(post("/api/server/disconnect", json!({ "user_id": 1, "reason": "be kind" })).await.0, 200);
    let goodbye: Value = serde_json::from_str(&socket.read_until("goodbye").await).unwrap();
    assert_eq!(goodbye["data"], json!({ "code": 4502, "reason": "be kind", "reconnect": false, "retry_ms": 0 }));
    assert_eq!(socket.read_close().await, (4502, "be kind".to_owned()));
}
