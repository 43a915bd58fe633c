//! Private messages: stored whole or not at all, one conversation, derived counters, events for the two users only.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fixture::{Server, User, of_type};

const NOTHING: Vec<Value> = Vec::new();

/// Two users whom the server knows, because they have sent a request.
async fn two(server: &Server) -> (User, User) {
    let (amy, bea) = (User::of_site(server, 7, "amy"), User::of_site(server, 8, "bea"));
    for user in [&amy, &bea] {
        user.get("/api/auth/me").await.expect(200);
    }
    (amy, bea)
}

/// The only entry in a user's list of conversations, and the total unread count.
async fn entry(user: &User) -> (Value, u64) {
    let mut data = user.get("/api/conversations").await.expect(200).data();
    assert_eq!(data["conversations"].as_array().unwrap().len(), 1, "{data}");
    let in_all = user.get("/api/conversations/unread-count").await.expect(200).data();
    assert_eq!(in_all, json!({"unread_count": data["total_unread"]}));
    (data["conversations"][0].take(), data["total_unread"].as_u64().unwrap())
}

#[tokio::test]
async fn p2_a_private_message_of_the_limit_arrives_whole_and_a_longer_one_is_refused() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = two(&server).await;
    let mut tab = amy.open_tab().await;
    for length in [1, 500, 501, 999, 1000] {
        let content = "茶".repeat(length);
        let (id, conversation) = bea.send_private(&amy, &content).await;
        let event = tab.next_of("private_message").await;
        assert_eq!((&event["message_id"], &event["message"]["content"]), (&json!(id), &json!(content)));
        assert_eq!(amy.conversation(conversation).await.last().unwrap()["content"], content.as_str());
        let preview = entry(&amy).await.0["last_message"].as_str().unwrap().to_owned();
        assert!(!preview.is_empty() && content.starts_with(preview.trim_end_matches('…')), "{preview}");
    }
    let body = json!({"receiver_id": 7, "content": "茶".repeat(1001)});
    let refused = bea.post("/api/messages/send", body).await.expect_error(422, "too_long");
    assert_eq!(refused["data"]["field"], "content");
    bea.post("/api/messages/send", json!({"receiver_id": 7, "content": " "})).await.expect_error(422, "empty");
    assert_eq!(of_type(&tab.read_to_marker(&bea).await, "private_message"), NOTHING);
    let (entry, unread) = entry(&amy).await;
    assert_eq!(unread, 0, "nothing new is unread");
    assert_eq!(amy.conversation(entry["id"].as_u64().unwrap()).await.len(), 5, "nothing more was stored");
}

#[tokio::test]
async fn p2_an_undeliverable_message_is_refused_with_its_reason() {
    let server = Server::without_limits(&[]);
    let (amy, _) = two(&server).await;
    for (body, status, code) in [
        (json!({"receiver_id": 7, "content": "to myself"}), 422, "bad_request"),
        (json!({"receiver_id": 999, "content": "to an unknown user"}), 404, "not_found"),
        (json!({"content": "to whom?"}), 422, "bad_request"),
        (json!({"receiver_id": "8", "content": "x"}), 422, "bad_request"),
        (json!({"receiver_id": -8, "content": "x"}), 422, "bad_request"),
        (json!({"receiver_id": 8}), 422, "bad_request"),
        (json!({"receiver_id": 9_007_199_254_740_993_u64, "content": "x"}), 422, "bad_request"),
    ] {
        amy.post("/api/messages/send", body).await.expect_error(status, code);
    }
    amy.post("/api/conversations/start/7", json!({})).await.expect(422);
    amy.get("/api/conversations/999/messages").await.expect_error(404, "not_found");
    assert_eq!(amy.get("/api/conversations").await.data()["conversations"], json!([]));
}

#[tokio::test]
async fn p3_p4_counters_and_previews_are_correct_under_concurrent_writes_and_reads() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = two(&server).await;
    let (_, conversation) = bea.send_private(&amy, "the first").await;
    let path = format!("/api/conversations/{conversation}/mark-read");
    let texts: Vec<String> = (0..100).map(|number| format!("number {number}")).collect();
    let writing = join_all(texts.iter().map(|text| bea.send_private(&amy, text)));
    let reading = async {
        for _ in 0..50 {
            amy.post(&path, json!({})).await.expect(200);
        }
    };
    tokio::join!(writing, reading);
    amy.post(&path, json!({})).await.expect(200);
    assert_eq!(entry(&amy).await.1, 0, "everything is read");

    let written = join_all(texts[..10].iter().map(|text| bea.send_private(&amy, text))).await;
    let (mut shown, unread) = entry(&amy).await;
    assert_eq!((unread, &shown["unread_count"]), (10, &json!(10)));
    let newest = (0..10).max_by_key(|index| written[*index].0).unwrap();
    assert_eq!(shown["last_message"].take(), json!(texts[newest]));
    assert_eq!(entry(&bea).await.1, 0, "own messages are never unread");
    assert_eq!(amy.conversation(conversation).await.len(), 111);
    assert_eq!(entry(&amy).await.1, 0, "and looking at them is reading them");
}

#[tokio::test]
async fn p5_two_first_messages_at_once_make_one_conversation_with_both() {
    let server = Server::without_limits(&[]);
    for pair in 0..20 {
        let amy = User::of_site(&server, 100 + pair, &format!("amy{pair}"));
        let bea = User::of_site(&server, 200 + pair, &format!("bea{pair}"));
        tokio::join!(amy.get("/api/auth/me"), bea.get("/api/auth/me"));
        let start = json!({});
        let path = format!("/api/conversations/start/{}", amy.id);
        let (to_bea, to_amy, opened) = tokio::join!(
            amy.send_private(&bea, "you first"),
            bea.send_private(&amy, "no, you"),
            bea.post(&path, start)
        );
        assert_eq!(to_bea.1, to_amy.1);
        assert_eq!(opened.expect(200).data(), json!({"conversation_id": to_bea.1}));
        assert_eq!(amy.conversation(to_bea.1).await.len(), 2);
    }
}

#[tokio::test]
async fn p10_private_messages_go_to_the_receiver_and_read_marks_to_the_author_only() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = two(&server).await;
    let cid = User::of_site(&server, 9, "cid");
    let (mut tab, mut phone) = (amy.open_tab().await, amy.device().await);
    let (mut writer, mut stranger) = (bea.open_tab().await, cid.open_tab().await);

    let (id, conversation) = bea.send_private(&amy, "for your eyes only").await;
    assert_eq!(tab.next_of("private_message").await["message_id"], json!(id));
    assert_eq!(phone.next_of("message").await["id"], json!(id));
    amy.post(&format!("/api/conversations/{conversation}/mark-read"), json!({})).await.expect(200);
    let read = json!({"conversation_id": conversation, "reader_id": 7});
    assert_eq!(writer.next_of("message_read").await, read);

    for tab in [&mut tab, &mut writer, &mut stranger] {
        let received = tab.read_to_marker(&cid).await;
        for kind in ["private_message", "message_read"] {
            assert_eq!(of_type(&received, kind), NOTHING);
        }
    }
    cid.get(&format!("/api/conversations/{conversation}/messages")).await.expect_error(403, "forbidden");
    cid.post(&format!("/api/conversations/{conversation}/mark-read"), json!({})).await.expect_error(403, "forbidden");
}

#[tokio::test]
async fn p11_a_repeated_or_late_read_mark_reads_nothing_newer() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = two(&server).await;
    let mut writer = bea.open_tab().await;
    let (_, conversation) = bea.send_private(&amy, "one").await;
    let path = format!("/api/conversations/{conversation}/mark-read");
    for _ in 0..2 {
        assert_eq!(amy.post(&path, json!({})).await.expect(200).data(), Value::Null);
    }
    writer.next_of("message_read").await;
    bea.send_private(&amy, "two").await;
    assert_eq!(entry(&amy).await.1, 1);
    let seen: Vec<_> = bea.conversation(conversation).await.iter().map(|message| message["is_read"].clone()).collect();
    assert_eq!(seen, [json!(true), json!(false)]);
}

#[tokio::test]
async fn an_empty_conversation_is_listed_for_the_user_who_opened_it() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = two(&server).await;
    amy.post("/api/conversations/start/8", json!({})).await.expect(200);
    let (entry, _) = entry(&amy).await;
    assert_eq!((&entry["last_message"], &entry["last_message_time"]), (&json!(""), &Value::Null));
    assert_eq!(bea.get("/api/conversations").await.data()["conversations"], json!([]));
}
