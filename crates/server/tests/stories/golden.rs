//! Golden files: every classic envelope and body, byte for byte except for times and random ids.

use serde_json::{Value, json};

use crate::fixture::{Frame, RawSocket, Server, User};

/// The text with `TIME` for every time and `ID` for every long hex id.
fn normalize(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = time_at(rest) {
            out.push_str("TIME");
            rest = &rest[length..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// The length of the time at the start of a text, if there is one in UTC with milliseconds.
fn time_at(text: &str) -> Option<usize> {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let candidate = text.as_bytes().get(..SHAPE.len())?;
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    candidate.iter().zip(SHAPE).all(fits).then_some(SHAPE.len())
}

/// The text of the next frame of this type.
async fn next_of(socket: &mut RawSocket, kind: &str) -> String {
    let start = format!(r#"{{"type":"{kind}","#);
    loop {
        let frame: Frame = socket.next_frame().await.expect("a frame");
        assert_eq!(frame.opcode, 1, "text");
        if frame.text().starts_with(&start) {
            return frame.text().to_owned();
        }
    }
}

#[tokio::test]
async fn golden_frames_of_every_classic_envelope() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut hers = amy.open_raw_socket().await;
    let first = hers.next_frame().await.unwrap();
    assert_eq!(first.text(), r#"{"type":"online_count","data":{"count":1}}"#, "the first envelope");
    let mut other = bea.open_raw_socket().await;
    assert_eq!(other.next_frame().await.unwrap().text(), r#"{"type":"online_count","data":{"count":2}}"#);
    assert_eq!(next_of(&mut hers, "online_count").await, r#"{"type":"online_count","data":{"count":2}}"#);

    let change = json!({"avatar": "/a.png", "profile": {"nickname": "Amy \"茶\"", "bio": ""}});
    amy.put("/api/auth/me", change).await.expect(200);
    hers.send_text(r#"{"type":"message","data":{"content":" hi "}}"#).await;
    let message = next_of(&mut hers, "message").await;
    assert_eq!(message, next_of(&mut other, "message").await, "everybody receives the same bytes");
    let id = serde_json::from_str::<Value>(&message).unwrap()["data"]["id"].as_u64().unwrap();
    let expect = r#"{"type":"message","data":{"id":1,"user_id":7,"username":"amy","nickname":"Amy \"茶\"","avatar":"/a.png","content":"hi","message_type":1,"send_time":"TIME","status":1,"created_at":"TIME"}}"#;
    assert_eq!(normalize(&message), expect.replacen("\"id\":1,", &format!("\"id\":{id},"), 1));

    let (private, conversation) = amy.send_private(&bea, "just you").await;
    let expect = r#"{"type":"private_message","data":{"message":{"id":$M,"conversation_id":$C,"sender":{"id":7,"username":"amy","nickname":"Amy \"茶\"","avatar":"/a.png"},"receiver":{"id":8,"username":"bea","nickname":"bea","avatar":""},"content":"just you","is_read":false,"is_self":false,"created_at":"TIME"},"sender_id":7,"message_id":$M}}"#;
    let expect = expect.replace("$M", &private.to_string()).replace("$C", &conversation.to_string());
    assert_eq!(normalize(&next_of(&mut other, "private_message").await), expect);

    bea.post(&format!("/api/conversations/{conversation}/mark-read"), json!({})).await.expect(200);
    let expect = format!(r#"{{"type":"message_read","data":{{"conversation_id":{conversation},"reader_id":8}}}}"#);
    assert_eq!(next_of(&mut hers, "message_read").await, expect);

    amy.delete(&format!("/api/chat/messages/{id}")).await.expect(200);
    let expect = format!(r#"{{"type":"message_deleted","data":{{"id":{id}}}}}"#);
    assert_eq!(next_of(&mut other, "message_deleted").await, expect);

    hers.send_text(r#"{"type":"message","data":{"content":""}}"#).await;
    let expect = r#"{"type":"notification","data":{"level":"error","code":"empty","message":"The message is empty."}}"#;
    assert_eq!(next_of(&mut hers, "notification").await, expect);

    hers.send_text(r#"{"type":"heartbeat","data":{}}"#).await;
    let beat = next_of(&mut hers, "heartbeat").await;
    let seconds = beat.strip_prefix(r#"{"type":"heartbeat","data":{"timestamp":"#).unwrap();
    let seconds: i64 = seconds.strip_suffix("}}").unwrap().parse().unwrap();
    assert!((seconds - crate::fixture::now_seconds()).abs() < 60, "unix seconds: {seconds}");

    let _new = amy.open_raw_socket().await;
    let expect = r#"{"type":"notification","data":{"level":"warning","code":"displaced","message":"You are connected elsewhere now; this connection ends."}}"#;
    assert_eq!(next_of(&mut hers, "notification").await, expect);
    let goodbye = hers.next_frame().await.unwrap();
    assert_eq!(goodbye.close(), Some((4501, "Unauthorized: connected elsewhere")));
}

/// The keys of an object in order with the types of their values; for a list, those of its first item.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) if time_at(text) == Some(text.len()) => "time".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.first().map(shape).unwrap_or_default()),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key}:{}", shape(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[tokio::test]
async fn golden_bodies_of_every_classic_route() {
    let server = Server::standalone(&[]);
    let (amy, bea) = (User::register(&server, "amy").await, User::register(&server, "bea").await);
    let _tab = amy.open_tab().await;
    let (id, conversation) = bea.send_private(&amy, "hi").await;
    assert!(id > 0);
    let message = amy.say("hello").await;

    let account = "account_status:number,auth_status:number,avatar:text,bio:text";
    let user = format!("{{{account},email:text,id:number,nickname:text,role:text,username:text}}");
    let own = format!(
        "{{{account},created_at:time,email:text,id:number,nickname:text,\
         profile:{{avatar_url:text,bio:text,nickname:text}},role:text,username:text}}"
    );
    let said = "{avatar:text,content:text,created_at:time,id:number,message_type:number,nickname:text,\
                send_time:time,status:number,user_id:number,username:text}";
    let profile = "{avatar:text,id:number,nickname:text,username:text}";
    let written = format!(
        "{{content:text,conversation_id:number,created_at:time,id:number,is_read:bool,is_self:bool,\
         receiver:{profile},sender:{profile}}}"
    );
    let pages = format!("{{has_more:bool,messages:[{said}]}}");
    for (path, expect) in [
        ("/api/auth/me".to_owned(), own.clone()),
        (
            format!("/api/user/{}", bea.id),
            "{avatar:text,created_at:time,id:number,nickname:text,\
             profile:{avatar_url:text,bio:text,nickname:text},role:text,username:text}"
                .to_owned(),
        ),
        ("/api/chat/messages".to_owned(), pages.clone()),
        ("/api/chat/messages/new?after_id=0".to_owned(), pages),
        ("/api/chat/online-count".to_owned(), "{count:number}".to_owned()),
        (
            "/api/chat/online-users".to_owned(),
            "{count:number,users:[{avatar:text,nickname:text,user_id:number,username:text}]}".to_owned(),
        ),
        (
            "/api/conversations".to_owned(),
            format!(
                "{{conversations:[{{created_at:time,id:number,last_message:text,last_message_time:time,\
                 other_user:{profile},unread_count:number}}],total_unread:number}}"
            ),
        ),
        ("/api/conversations/unread-count".to_owned(), "{unread_count:number}".to_owned()),
        (format!("/api/conversations/{conversation}/messages"), format!("{{messages:[{written}],total:number}}")),
    ] {
        let mut body = amy.get(&path).await.expect(200).body();
        assert_eq!(shape(&body["data"].take()), expect, "{path}");
        assert_eq!(shape(&body), "{code:number,data:null,message:text,request_id:text}", "{path}");
        assert_eq!(body["code"], json!(200));
    }
    let login = json!({"username": "amy", "password": crate::fixture::PASSWORD});
    let body = amy.post("/api/auth/login", login).await.expect(200).data();
    assert_eq!(shape(&body), format!("{{token:text,user:{user}}}"));
    let send = json!({"content": "again"});
    assert_eq!(shape(&amy.post("/api/chat/send", send).await.expect(200).data()), "{message_id:number,send_time:time}");
    let write = json!({"receiver_id": bea.id, "content": "hi"});
    let body = amy.post("/api/messages/send", write).await.expect(201).data();
    assert_eq!(shape(&body), "{conversation_id:number,message_id:number}");
    let start = format!("/api/conversations/start/{}", bea.id);
    assert_eq!(amy.post(&start, json!({})).await.expect(200).data(), json!({"conversation_id": conversation}));
    let rename = json!({"profile": {"nickname": "A"}});
    assert_eq!(shape(&amy.put("/api/auth/me", rename).await.expect(200).data()), own);
    amy.delete(&format!("/api/chat/messages/{message}")).await.expect(200);
    let read = format!("/api/conversations/{conversation}/mark-read");
    assert_eq!(amy.post(&read, json!({})).await.expect(200).data(), Value::Null);
    assert_eq!(amy.post("/api/auth/logout", json!({})).await.expect(200).data(), json!({"ok": true}));
}

#[tokio::test]
async fn golden_errors_share_one_envelope_on_all_routes() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let anonymous = User::anonymous(&server);
    anonymous.get("/api/chat/messages").await.expect_error(401, "unauthorized");
    anonymous.get("/api/nowhere").await.expect_error(404, "not_found");
    anonymous.get("/api/ws").await.expect_error(404, "not_found");
    amy.put("/api/chat/send", json!({})).await.expect_error(405, "method_not_allowed");
    amy.post("/api/chat/send", json!({"content": "x".repeat(70_000)})).await.expect_error(413, "too_long");
    amy.get("/api/user/x").await.expect_error(400, "bad_request");
    amy.get("/api/user/999").await.expect_error(404, "not_found");
    let chinese = [("Accept-Language", "zh-CN,zh;q=0.9"), ("X-Request-ID", "r-17")];
    let answer = amy.request(reqwest::Method::GET, "/api/user/999", &chinese, None).await;
    assert_eq!(answer.headers["x-request-id"], "r-17");
    let body = answer.expect_error(404, "not_found");
    assert_eq!(body["request_id"], "r-17");
    assert!(!body["message"].as_str().unwrap().is_ascii(), "{body}");
}
