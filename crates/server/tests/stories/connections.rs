//! Who is connected: the three scenarios of the first law, replacing, refreshing, leaving, being gone without a word.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::oneshot;

use crate::stage::{Chance, Heard, Person, Server, Wire, handshake, now_seconds, of_type, patiently, signed};

/// Lets the server's threads see what was written before: a few answers of its own are proof enough.
pub async fn settle(server: &Server) {
    for _ in 0..5 {
        reqwest::get(server.url("/live")).await.unwrap();
    }
}

#[tokio::test]
async fn h0_1_a_normal_leave_is_seen_at_once() {
    let server = Server::of_a_site(&[]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let mut onlooker = bea.opens_tab().await;
    onlooker.hears_count(1).await;
    let mut tab = amy.opens_tab().await;
    onlooker.hears_count(2).await;

    tab.close(1000).await;
    let (_, code, _) = tab.until_closed().await;
    assert_eq!(code, 1000);
    onlooker.hears_count(1).await;
    assert_eq!(bea.sees_online().await, [8]);
    server.assert_no_panic();
}

#[tokio::test]
async fn h0_2_the_old_connection_leaves_late_and_the_new_one_stays() {
    let server = Server::of_a_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let mut onlooker = bea.opens_tab().await;
    let mut old = amy.opens_wire().await;
    onlooker.hears_count(2).await;

    let mut new = amy.opens_tab().await;
    assert_eq!(old.until_close_frame().await.0, 4501);
    // Only now does the old one answer the goodbye and go.
    old.send_frame(0x88, &4501_u16.to_be_bytes()).await;
    old.until_end().await;

    new.is_alive().await;
    bea.writes(&amy, "still there?").await;
    assert_eq!(new.next_of("private_message").await["message"]["content"], "still there?");
    assert_eq!(bea.sees_online().await, [7, 8]);
    assert_eq!(of_type(&onlooker.until_marker(&bea).await, "online_count"), Vec::<serde_json::Value>::new());
    assert_eq!(server.metric("teahouse_sessions").await, 2);
    server.assert_no_panic();
}

#[tokio::test]
async fn h0_3_in_a_race_the_last_accepted_survives_and_presence_does_not_flap() {
    const RIVALS: usize = 60;
    let server = Server::of_a_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let mut chance = Chance::printed("h0_3");
    let (amy, bea, cid) =
        (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"), Person::of_site(&server, 9, "cid"));
    let mut first = amy.opens_tab().await;
    let mut onlooker = bea.opens_tab().await;
    onlooker.hears_count(2).await;

    // Everybody's first byte is there, the last one's last; then their heads are finished in any order.
    let head = handshake(&amy.token, "").into_bytes();
    let mut rivals = Vec::new();
    for number in 0..RIVALS {
        if number == RIVALS - 1 {
            settle(&server).await;
        }
        let mut wire = Wire::connect(server.address()).await;
        wire.write(&head[..1]).await;
        rivals.push((number, wire));
    }
    settle(&server).await;
    chance.shuffle(&mut rivals);
    let finished = rivals.into_iter().map(|(number, mut wire)| {
        let head = &head;
        async move {
            wire.write(&head[1..]).await;
            assert!(wire.read_head().await.starts_with("HTTP/1.1 101 "));
            (number, wire)
        }
    });
    let mut survivor = None;
    for (number, wire) in join_all(finished).await {
        let mut tab = wire.into_tab().await;
        if number == RIVALS - 1 {
            survivor = Some(tab);
        } else {
            tab.is_displaced().await;
        }
    }
    first.is_displaced().await;
    let mut survivor = survivor.unwrap();
    survivor.is_alive().await;

    assert_eq!(bea.sees_online().await, [7, 8]);
    assert_eq!(server.metric("teahouse_sessions").await, 2);
    // The next change that the onlooker hears of is a real one.
    let _tab = cid.opens_tab().await;
    assert_eq!(onlooker.next_of("online_count").await, json!({"count": 3}));
    server.assert_no_panic();
}

#[tokio::test]
async fn h2_h3_replacing_the_receiver_in_a_loop_loses_and_repeats_no_private_message() {
    const REPLACEMENTS: usize = 300;
    const WRITTEN_MIN: usize = 30;
    let server = Server::without_limits(&[]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let (done, mut is_done) = oneshot::channel::<()>();
    // A slow disk takes fewer messages than connections come.
    let so_far = Cell::new(0);
    let writer = async {
        let mut written = Vec::new();
        while is_done.try_recv().is_err() {
            written.push(bea.writes(&amy, &format!("number {}", written.len())).await);
            so_far.set(written.len());
        }
        written
    };
    let replacer = async {
        let mut delivered = Vec::new();
        let mut tab = amy.opens_tab().await;
        let mut replaced = 0;
        while replaced < REPLACEMENTS || so_far.get() < WRITTEN_MIN {
            replaced += 1;
            tab.send("heartbeat", json!({})).await;
            let next = amy.opens_tab().await;
            let (heard, code, _) = std::mem::replace(&mut tab, next).until_closed().await;
            assert_eq!(code, 4501);
            delivered
                .extend(of_type(&heard, "private_message").iter().map(|data| data["message_id"].as_u64().unwrap()));
        }
        done.send(()).unwrap();
        delivered.extend(
            of_type(&tab.until_heartbeat().await, "private_message")
                .iter()
                .map(|data| data["message_id"].as_u64().unwrap()),
        );
        delivered
    };
    let (written, delivered) = tokio::join!(writer, replacer);

    assert!(written.len() > 20 && !delivered.is_empty(), "they did flow: {} {}", written.len(), delivered.len());
    let stored = amy.conversation(written[0].1).await;
    let ids: Vec<u64> = stored.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, written.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "each once and in order");
    let mut once = delivered.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), delivered.len(), "nothing twice");
    server.assert_no_panic();
}

#[tokio::test]
async fn h4_a_displaced_socket_always_gets_its_notice_and_close_code() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let mut tab = amy.opens_tab().await;
    for _ in 0..100 {
        let next = amy.opens_tab().await;
        std::mem::replace(&mut tab, next).is_displaced().await;
    }
}

#[tokio::test]
async fn h4_a_displaced_stalled_reader_gets_its_backlog_then_notice_and_close_code() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let mut stalled = Wire::connect_with_little_room(server.address()).await;
    stalled.shake(&amy.token).await;
    let mut onlooker = bea.opens_tab().await;
    for _ in 0..1000 {
        onlooker.say(&"x".repeat(500)).await;
    }
    onlooker.until_marker(&bea).await;
    let mut new = amy.opens_tab().await;
    new.is_alive().await;
    stalled.into_tab().await.is_displaced().await;
}

/// What the old front end does with its socket (`useWebSocket` there): it comes back a second after every close but
/// these, five times at most without success, and sends a heartbeat now and then.
async fn old_front_end(person: Person, mut enough: tokio::sync::watch::Receiver<bool>) -> (usize, bool) {
    let (mut opened, mut tries) = (0, 0);
    loop {
        match person.tries_to_open_tab().await {
            Err(_) => tries += 1,
            Ok(mut tab) => {
                (opened, tries) = (opened + 1, 0);
                let mut beat = tokio::time::interval(Duration::from_secs(25));
                let closed = loop {
                    tokio::select! {
                        heard = tab.next_ever() => match heard {
                            Heard::Envelope(_) => {}
                            Heard::Closed(code, reason) => break Some((code, reason)),
                            Heard::Cut => break None,
                        },
                        _ = beat.tick() => tab.send("heartbeat", json!({})).await,
                        _ = enough.changed() => return (opened, true),
                    }
                };
                if closed.is_some_and(|(code, reason)| [1008, 1002].contains(&code) || reason.contains("Unauthorized"))
                {
                    return (opened, false);
                }
            }
        }
        if tries == 5 {
            return (opened, false);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// In the same minute: two tabs that could fight, and a socket that is gone without a word.
#[tokio::test]
async fn h5_two_tabs_of_the_old_front_end_displace_each_other_at_most_once() {
    let server = Server::of_a_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let amy = Person::of_site(&server, 7, "amy");
    let (tell, enough) = tokio::sync::watch::channel(false);
    let first = tokio::spawn(old_front_end(amy.clone(), enough.clone()));
    while server.metric("teahouse_attaches_total").await < 1 {}
    let second = tokio::spawn(old_front_end(amy, enough));
    tokio::time::sleep(Duration::from_secs(60)).await;
    tell.send(true).unwrap();
    assert_eq!(first.await.unwrap(), (1, false), "the displaced one stays away");
    assert_eq!(second.await.unwrap(), (1, true), "the newer one stays");
    assert_eq!(server.metric("teahouse_displacements_total").await, 1);
}

#[tokio::test]
async fn h6_a_delayed_handshake_does_not_displace_a_later_connection() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let head = handshake(&amy.token, "").into_bytes();
    let mut slow = Wire::connect(server.address()).await;
    slow.write(&head[..1]).await;
    settle(&server).await;
    let mut newer = amy.opens_tab().await;

    slow.write(&head[1..]).await;
    assert!(slow.read_head().await.starts_with("HTTP/1.1 101 "));
    slow.into_tab().await.is_displaced().await;
    newer.is_alive().await;
    assert_eq!(amy.sees_online().await, [7]);
}

/// Found by the history checker: a socket that was accepted counted as one whose first byte had come, since the runtime
/// takes a new socket for readable until it finds that it is not.
#[tokio::test]
async fn h6_a_silent_connection_counts_from_its_first_byte() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    for _ in 0..20 {
        let mut silent = Wire::connect(server.address()).await;
        let mut older = amy.opens_tab().await;
        silent.write(handshake(&amy.token, "").as_bytes()).await;
        assert!(silent.read_head().await.starts_with("HTTP/1.1 101 "));
        older.is_displaced().await;
        silent.into_tab().await.is_alive().await;
    }
}

#[tokio::test]
async fn h7_a_hundred_refreshes_do_not_change_the_online_count() {
    let server = Server::of_a_site(&[]);
    let (amy, bea, cid) =
        (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"), Person::of_site(&server, 9, "cid"));
    let mut tab = amy.opens_tab().await;
    let mut onlooker = bea.opens_tab().await;
    onlooker.hears_count(2).await;
    for round in 0..100 {
        match round % 3 {
            // Going away, as a browser says it; cut, as a phone does it; the new page before the old one is gone.
            0 => tab.close(1001).await,
            1 => drop(tab),
            _ => {
                tab = amy.opens_tab().await;
                continue;
            }
        }
        tab = amy.opens_tab().await;
    }
    tab.is_alive().await;
    let _tab = cid.opens_tab().await;
    assert_eq!(onlooker.next_of("online_count").await, json!({"count": 3}), "the first change that it hears of");
}

#[tokio::test]
async fn h7_a_user_who_does_not_return_goes_offline_after_the_linger() {
    let server = Server::of_a_site(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s")]);
    let (amy, bea) = (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"));
    let tab = amy.opens_tab().await;
    let mut onlooker = bea.opens_tab().await;
    onlooker.hears_count(2).await;
    let left = Instant::now();
    drop(tab);
    onlooker.hears_count(1).await;
    assert!(left.elapsed() >= Duration::from_secs(1));
}

/// The socket of who was sent away: closed with 1008 within a second of the answer, and the token opens nothing.
async fn is_sent_away(tab: &mut crate::stage::Tab, person: &Person, since: Instant) {
    let (_, code, reason) = tab.until_closed().await;
    assert_eq!(code, 1008, "{reason}");
    let after = since.elapsed();
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert!(person.tries_to_open_tab().await.unwrap_err().contains("401"));
    person.get("/api/auth/me").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn h17_p19_a_logout_closes_its_live_socket_within_a_second() {
    let mut server = Server::alone(&[]);
    let amy = Person::register(&server, "amy").await;
    let mut tab = amy.opens_tab().await;
    tab.is_alive().await;
    amy.post("/api/auth/logout", json!({})).await.expect(200);
    is_sent_away(&mut tab, &amy, Instant::now()).await;
    // And it stays revoked.
    server.stop().await;
    server.restart();
    amy.get("/api/auth/me").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn h17_p19_a_password_change_closes_the_sockets_of_all_other_tokens() {
    let server = Server::alone(&[("TEAHOUSE_SESSIONS__PER_USER", "2")]);
    let amy = Person::register(&server, "amy").await;
    let elsewhere = amy.log_in().await;
    let (mut here, mut there) = (amy.opens_tab().await, elsewhere.opens_tab().await);
    let change = json!({"currentPassword": crate::stage::PASSWORD, "newPassword": "sencha8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    is_sent_away(&mut there, &elsewhere, Instant::now()).await;
    here.is_alive().await;
    amy.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn h17_p19_disabling_a_user_closes_their_socket_and_no_other() {
    let server = Server::alone(&[]);
    let (amy, bea) = (Person::register(&server, "amy").await, Person::register(&server, "bea").await);
    let (mut tab, mut other) = (amy.opens_tab().await, bea.opens_tab().await);
    tab.is_alive().await;
    server.command(&["user", "disable", "amy"]);
    is_sent_away(&mut tab, &amy, Instant::now()).await;
    other.is_alive().await;
    server.command(&["user", "enable", "amy"]);
    amy.log_in().await.opens_tab().await.is_alive().await;
}

#[tokio::test]
async fn h17_a_socket_outlives_its_token_by_the_grace_period_only() {
    let server = Server::of_a_site(&[("TEAHOUSE_SESSIONS__TOKEN_GRACE", "1s")]);
    let expires_at = now_seconds() + 2;
    let mut claims = crate::stage::claims(7, "amy");
    claims["exp"] = json!(expires_at);
    let amy = Person::of_site(&server, 7, "amy").with_token(&signed(&claims));
    let mut tab = amy.opens_tab().await;
    let opened = Instant::now();
    let (_, code, _) = tab.until_closed().await;
    assert_eq!(code, 1008);
    assert!(now_seconds() > expires_at, "not before the grace is over");
    // Two seconds, one of grace, one until it is noticed, and room for a busy machine.
    assert!(opened.elapsed() < Duration::from_secs(8), "{:?}", opened.elapsed());
}

#[tokio::test]
async fn h19_a_half_open_socket_is_closed_after_ping_interval_and_pong_timeout() {
    let server = Server::of_a_site(&[]);
    let amy = Person::of_site(&server, 7, "amy");
    let mut silent = amy.opens_wire().await;
    let since = Instant::now();
    let closed = tokio::time::timeout(Duration::from_secs(45), async {
        loop {
            let frame = silent.next_frame_ever().await.expect("a close frame");
            if let Some((code, _)) = frame.close() {
                return code;
            }
        }
    });
    assert_eq!(closed.await.expect("closed"), 4001);
    // 25 s until the ping, 10 s for its answer; seconds are counted whole, and the machine is busy.
    assert!(since.elapsed() < Duration::from_secs(38), "{:?}", since.elapsed());
}

#[tokio::test]
async fn h19_a_socket_without_pongs_is_closed_and_a_resume_meanwhile_works_at_once() {
    let server = Server::of_a_site(&[
        ("TEAHOUSE_SESSIONS__PING_INTERVAL", "1s"),
        ("TEAHOUSE_SESSIONS__PONG_TIMEOUT", "1s"),
        ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0"),
    ]);
    let (amy, bea, cid) =
        (Person::of_site(&server, 7, "amy"), Person::of_site(&server, 8, "bea"), Person::of_site(&server, 9, "cid"));
    let mut silent = amy.opens_wire().await;
    let mut resumed = cid.opens_wire().await;
    let mut well = bea.opens_tab().await;
    well.hears_count(3).await;
    assert_eq!(resumed.next_frame().await.map(|frame| frame.opcode), Some(1));
    let mut new = cid.opens_tab().await;
    // The others go on answering pings while they wait for the count without the silent one.
    let ((code, _), (), ()) = tokio::join!(silent.until_close_frame(), well.hears_count(2), new.hears_count(2));
    assert_eq!(code, 4001);
    well.is_alive().await;
    new.is_alive().await;
    assert_eq!(bea.sees_online().await, [8, 9]);
}

#[tokio::test]
async fn p24_two_hundred_users_behind_one_address_connect_at_once() {
    let server = Server::of_a_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let campus: Vec<Person> = (1..=200).map(|id| Person::of_site(&server, id, &format!("student{id}"))).collect();
    let tabs = patiently("two hundred tabs", join_all(campus.iter().map(Person::opens_tab))).await;
    assert_eq!(tabs.len(), 200);
    let told = campus[0].get("/api/chat/online-count").await.expect(200).data();
    assert_eq!(told, json!({"count": 200}));
}
