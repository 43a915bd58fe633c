//! `teahouse key …`, and what a key opens.

use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, With, device};

async fn presence(house: &House, key: &str) -> (u16, Value) {
    house.ask(Method::GET, "/api/server/presence?user_ids=1,2", &format!("ApiKey {key}"), Value::Null).await
}

#[tokio::test]
async fn a_key_is_printed_once_opens_the_server_api_and_is_worth_nothing_once_revoked() {
    for with in [With::Server, With::NoServer] {
        let mut house = House::open(&[]);
        let made = house.do_with(with, |house| house.command(&["key", "create", "shop"])).expect(0, "only a hash");
        let key = made.out.strip_suffix('\n').unwrap();
        assert!(key.starts_with("thk_") && key.len() == 47, "{made:?}");
        assert!(!made.err.contains(key));
        assert_eq!(presence(&house, key).await, (200, json!({ "online": [] })));

        house.do_with(with, |house| {
            house.command(&["key", "create", "Shop.2"]).expect(0, "Authorization: ApiKey");
            house.command(&["key", "create", "shop"]).expect(1, "teahouse key revoke shop");
            house.command(&["key", "create", "two words"]).expect(64, "letters, digits");
            let listed = house.command(&["key", "list"]).expect(0, "shop");
            let names: Vec<_> = listed.out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
            assert_eq!(names.len(), 2, "{listed:?}");
            assert!(!listed.out.contains("thk_"));
        });
        // What the store keeps opens nothing.
        for entry in std::fs::read_dir(house.path("data")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
                assert!(!found, "{} holds the key", path.display());
            }
        }

        house.do_with(with, |house| house.command(&["key", "revoke", "shop"])).expect(0, "is revoked");
        assert_eq!(presence(&house, key).await.0, 401);
        house.do_with(with, |house| house.command(&["key", "revoke", "shop"])).expect(1, "there is no key");
    }
}

#[tokio::test]
async fn what_a_backend_publishes_says_and_ends_reaches_the_page() {
    let house = House::open(&[]);
    let key = house.command(&["key", "create", "shop"]).expect(0, "shop").out;
    let authorization = format!("ApiKey {}", key.trim());
    house.typing("oolong7\n", &["user", "create", "amy"]).expect(0, "amy");
    let token = house.log_in("amy", "oolong7").await.unwrap();
    let mut tab = house.tab(&token).await;
    assert_eq!(presence(&house, key.trim()).await.1, json!({ "online": [1] }));

    let post = async |path: &str, body: Value| house.ask(Method::POST, path, &authorization, body).await;
    for to in [json!({ "all": true }), json!({ "users": [1, 7] }), json!({ "room": 1 })] {
        let event = json!({ "to": to, "type": "new_article", "data": { "title": "茶\n" } });
        assert_eq!(post("/api/server/publish", event).await, (200, json!({ "ok": true })));
        assert_eq!(tab.until("new_article").await, r#"{"type":"new_article","data":{"title":"茶\n"}}"#, "{to}");
    }
    let notice = json!({ "content": "closed on Monday", "client_id": "n-1" });
    let (status, posted) = post("/api/server/rooms/1/messages", notice).await;
    assert_eq!((status, &posted["seq"]), (201, &json!(1)));
    let heard: Value = serde_json::from_str(&tab.until("message").await).unwrap();
    assert_eq!((&heard["data"]["content"], &heard["data"]["username"]), (&json!("closed on Monday"), &json!("system")));
    let end = json!({ "user_id": 1, "reason": "be kind" });
    assert_eq!(post("/api/server/disconnect", end).await.0, 200);
    assert_eq!(tab.until_closed().await, (1008, "be kind".to_owned()));
    assert_eq!(house.me(&token).await.0, 200, "that keeps nobody out");
}

#[tokio::test]
async fn a_v1_client_hears_the_same_and_is_told_why_it_has_to_go() {
    let house = House::open(&[]);
    let key = house.command(&["key", "create", "shop"]).expect(0, "shop").out;
    let authorization = format!("ApiKey {}", key.trim());
    house.typing("oolong7\n", &["user", "create", "amy"]).expect(0, "amy");
    let token = house.log_in("amy", "oolong7").await.unwrap();
    let mut device = device(&house, &token).await;
    let post = async |path: &str, body: Value| house.ask(Method::POST, path, &authorization, body).await;
    let event = json!({ "to": { "users": [1] }, "type": "new_article", "data": { "id": 5 } });
    assert_eq!(post("/api/server/publish", event).await.0, 200);
    assert_eq!(device.until("new_article").await, r#"{"type":"new_article","data":{"id":5}}"#);
    let notice = json!({ "content": "closed on Monday", "client_id": "n-1" });
    assert_eq!(post("/api/server/rooms/1/messages", notice).await.0, 201);
    let heard: Value = serde_json::from_str(&device.until("message").await).unwrap();
    assert_eq!((&heard["data"]["kind"], &heard["data"]["client_id"]), (&json!("system"), &json!("n-1")));
    assert_eq!(post("/api/server/disconnect", json!({ "user_id": 1, "reason": "be kind" })).await.0, 200);
    let goodbye: Value = serde_json::from_str(&device.until("goodbye").await).unwrap();
    assert_eq!(goodbye["data"], json!({ "code": 4502, "reason": "be kind", "reconnect": false, "retry_ms": 0 }));
    assert_eq!(device.until_closed().await, (4502, "be kind".to_owned()));
}
