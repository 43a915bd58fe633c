//! Going down quietly, and being well: what is accepted is finished, what was acknowledged is there, machines are told.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::stage::{Heard, Person, Server, Wire, of_type};

const DRAIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn h13_ready_succeeds_while_healthy_and_fails_while_draining() {
    let mut server = Server::of_a_site(&[]);
    let nobody = Person::stranger(&server);
    for path in ["/ready", "/health", "/live"] {
        nobody.get(path).await.expect(200);
    }
    let body = nobody.get("/ready").await.body();
    let well = json!({"status": "ready", "store": "ok", "hub": "ok", "draining": false});
    assert_eq!(body, well);

    // A probe that is under way when it begins is answered, and the next one finds nobody.
    let mut probe = Wire::connect(server.address()).await;
    probe.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n").await;
    nobody.get("/live").await.expect(200);
    server.terminate();
    server.log_line("going down");
    probe.write(b"\r\n").await;
    let (status, body) = probe.read_answer().await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["draining"].clone()), (503, json!(true)));
    assert!(server.ended(DRAIN).await.success());
    assert!(reqwest::get(server.url("/ready")).await.is_err());
}

#[tokio::test]
async fn p22_sigterm_completes_accepted_requests_and_sends_goodbye() {
    let mut server = Server::without_limits(&[("TEAHOUSE_AUTH__REGISTRATION", "true")]);
    let people: Vec<Person> = (1..=40).map(|id| Person::of_site(&server, id, &format!("user{id}"))).collect();
    let mut tabs = join_all(people.iter().map(Person::opens_tab)).await;
    let before: Vec<String> = (0..people.len()).map(|number| format!("before {number}")).collect();
    let mut acknowledged = join_all(people.iter().zip(&before).map(|(person, text)| person.says(text))).await;

    // Half a request that will be finished, a registration that takes its time, and people who go on talking.
    let mut half = Wire::connect(server.address()).await;
    let body = r#"{"content":"in flight"}"#;
    let head = format!(
        "POST /api/chat/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        people[0].token,
        body.len()
    );
    half.write(head.as_bytes()).await;
    people[0].get("/live").await.expect(200);
    let registering = tokio::spawn({
        let (nobody, email) = (Person::stranger(&server), "late@example.org");
        let form = json!({"username": "late", "password": crate::stage::PASSWORD, "email": email}).to_string();
        async move { nobody.try_ask(reqwest::Method::POST, "/api/auth/register", &[], Some(form)).await }
    });
    let talking = tokio::spawn({
        let person = people[1].clone();
        async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let body = json!({"content": format!("on and on {number}")}).to_string();
                match person.try_ask(reqwest::Method::POST, "/api/chat/send", &[], Some(body)).await {
                    Ok(answer) if answer.status == 200 => {
                        acknowledged.push(answer.data()["message_id"].as_u64().unwrap());
                    }
                    _ => break,
                }
            }
            acknowledged
        }
    });
    while tabs[0].next_of("message").await["content"] != json!("on and on 3") {}

    let begun = Instant::now();
    server.terminate();
    server.log_line("going down");
    half.write(body.as_bytes()).await;
    let (status, body) = half.read_answer().await;
    assert_eq!(status, 200, "{body}");
    acknowledged.push(serde_json::from_str::<Value>(&body).unwrap()["data"]["message_id"].as_u64().unwrap());
    let mut heard = Vec::new();
    for (envelopes, code, _) in join_all(tabs.iter_mut().map(crate::stage::Tab::until_closed)).await {
        assert_eq!(code, 1012);
        heard = of_type(&envelopes, "message");
    }
    assert!(server.ended(DRAIN).await.success(), "exit status");
    assert!(begun.elapsed() <= DRAIN, "{:?}", begun.elapsed());
    if let Ok(answer) = registering.await.unwrap() {
        answer.expect(201);
    }
    let talked = talking.await.unwrap();
    assert!(talked.len() >= 4);
    acknowledged.extend(talked);
    server.assert_no_panic();

    server.restart();
    let stored: Vec<u64> = people[2].lobby().await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    for id in acknowledged {
        assert_eq!(stored.iter().filter(|stored| **stored == id).count(), 1, "message {id}");
    }
    for message in heard {
        assert!(stored.contains(&message["id"].as_u64().unwrap()), "what was heard was said: {message}");
    }
    people[0].opens_tab().await.is_alive().await;
}

#[tokio::test]
async fn p22_a_stalled_reader_does_not_delay_shutdown() {
    let mut server = Server::without_limits(&[("TEAHOUSE_SERVER__DRAIN_TIMEOUT", "2s")]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let mut stalled = Wire::connect_with_little_room(server.address()).await;
    stalled.shake(&amy.token).await;
    let mut tab = bea.opens_tab().await;
    for _ in 0..1000 {
        tab.say(&"x".repeat(500)).await;
    }
    tab.until_marker(&bea).await;
    let mut idle = Wire::connect(server.address()).await;
    server.terminate();
    assert_eq!(tab.until_closed().await.1, 1012);
    assert!(server.ended(Duration::from_secs(8)).await.success(), "exit status");
    idle.until_end().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_refuses_to_start() {
    let server = Server::alone(&[]);
    let data = server.data().to_str().unwrap().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        std::process::Command::new(env!("CARGO_BIN_EXE_teahouse"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data", &data])
            .env_clear()
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    assert!(!output.status.success() && !output.stderr.is_empty());
    let amy = Person::register(&server, "amy").await;
    assert!(matches!(amy.opens_tab().await.next().await, Heard::Envelope(_)));
}
