//! Two users of the old front end, from registration to logout, with the calls that the front end makes.

use serde_json::{Value, json};

use crate::fixture::{PASSWORD, Server, Tab, User, of_type};

#[tokio::test]
async fn two_users_of_the_classic_front_end_chat() {
    let mut server = Server::standalone(&[]);

    // They register and log in. The front end sends more fields than the server reads.
    let mut amy = User::register(&server, "amy").await;
    let bea = User::register(&server, "bea").await;
    let anonymous = User::anonymous(&server);
    let form = json!({"username": "amy@example.org", "password": PASSWORD, "rememberMe": true, "_t": 1});
    let login = anonymous.post("/api/auth/login", form).await.expect(200);
    let cookie = login.headers["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/api/auth"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let login = login.data();
    assert_eq!((&login["user"]["role"], &login["user"]["auth_status"]), (&json!("user"), &json!(1)));
    amy = amy.with_token(login["token"].as_str().unwrap());
    assert_eq!(amy.get("/api/auth/me?_t=2").await.expect(200).data()["username"], "amy");

    // They connect and load the empty history.
    let mut hers = amy.open_tab().await;
    assert_eq!(hers.next_of("online_count").await, json!({"count": 1}));
    let mut his = bea.open_tab().await;
    hers.wait_for_count(2).await;
    let page = amy.get("/api/chat/messages?limit=50&_t=3").await.expect(200).data();
    assert_eq!(page, json!({"messages": [], "has_more": false}));
    assert_eq!(amy.get("/api/chat/online-count").await.data(), json!({"count": 2}));

    // They send lobby messages.
    hers.say("Is anybody here?").await;
    let question = his.next_of("message").await;
    assert_eq!(question["content"], "Is anybody here?");
    assert_eq!(hers.next_of("message").await, question, "the sender receives it too");
    his.say("I am").await;
    assert_eq!(hers.next_of("message").await["username"], "bea");
    his.assert_alive().await;

    chat_in_private((&amy, &mut hers), (&bea, &mut his)).await;

    // She leaves, misses a message, and returns.
    hers.close(1000).await;
    his.wait_for_count(1).await;
    his.say("Are you still there?").await;
    his.next_of("message").await;
    let mut hers = amy.open_tab().await;
    let missed = amy.get(&format!("/api/chat/messages/new?after_id={}", question["id"])).await.data();
    let texts: Vec<_> = missed["messages"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(texts, ["I am", "Are you still there?"]);
    let early = hers.read_to_heartbeat().await;
    assert_eq!(of_type(&early, "message"), Vec::<Value>::new(), "nothing is replayed over the socket");

    // The server restarts, and the page reconnects with its token.
    server.stop().await;
    assert_eq!(hers.read_to_close().await.1, 1012);
    server.restart();
    let mut hers = amy.open_tab().await;
    hers.say("Here I am").await;
    assert_eq!(hers.next_of("message").await["content"], "Here I am");
    assert_eq!(bea.lobby().await.len(), 4);

    // A page that was open for long refreshes its token by its cookie, once.
    let cookie = cookie.split(';').next().unwrap();
    let refresh = async || amy.request(reqwest::Method::POST, "/api/auth/refresh", &[("Cookie", cookie)], None).await;
    let fresh = refresh().await.expect(200).data();
    amy.clone().with_token(fresh["token"].as_str().unwrap()).get("/api/auth/me").await.expect(200);

    // They log out.
    amy.post("/api/auth/logout", json!({})).await.expect(200);
    assert_eq!(hers.read_to_close().await.1, 1008);
    server.assert_no_panic();
}

async fn chat_in_private((amy, hers): (&User, &mut Tab), (bea, his): (&User, &mut Tab)) {
    let start = bea.post(&format!("/api/conversations/start/{}", amy.id), json!({})).await.expect(200).data();
    let (id, conversation) = bea.send_private(amy, "between us").await;
    assert_eq!(start, json!({"conversation_id": conversation}));
    let event = hers.next_of("private_message").await;
    assert_eq!((&event["message_id"], &event["sender_id"]), (&json!(id), &json!(bea.id)));
    let list = amy.get("/api/conversations").await.expect(200).data();
    assert_eq!((&list["total_unread"], &list["conversations"][0]["last_message"]), (&json!(1), &json!("between us")));
    let messages = amy.conversation(conversation).await;
    assert_eq!((&messages[0]["is_self"], &messages[0]["content"]), (&json!(false), &json!("between us")));
    assert_eq!(his.next_of("message_read").await, json!({"conversation_id": conversation, "reader_id": amy.id}));
    amy.post(&format!("/api/conversations/{conversation}/mark-read"), json!({})).await.expect(200);
    assert_eq!(amy.get("/api/conversations/unread-count").await.data(), json!({"unread_count": 0}));
    let seen = bea.conversation(conversation).await;
    assert_eq!((&seen[0]["is_self"], &seen[0]["is_read"]), (&json!(true), &json!(true)));
}
