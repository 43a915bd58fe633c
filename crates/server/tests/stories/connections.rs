//! Connections: the three scenarios of the first law, displacement, refreshes, leaving, revocation, half-open sockets.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::oneshot;

use crate::fixture::{
    Random, RawSocket, Received, Server, User, now_seconds, of_type, request_head, sign, within_patience,
};

/// Lets the server read what clients wrote before: it has done so after it answered a few requests.
pub(crate) async fn settle(server: &Server) {
    for _ in 0..5 {
        reqwest::get(server.url("/live")).await.unwrap();
    }
}

#[tokio::test]
async fn h0_1_a_normal_leave_is_seen_at_once() {
    let server = Server::of_site(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(1).await;
    let mut tab = amy.open_tab().await;
    observer.wait_for_count(2).await;

    tab.close(1000).await;
    let (_, code, _) = tab.read_to_close().await;
    assert_eq!(code, 1000);
    observer.wait_for_count(1).await;
    assert_eq!(bea.online_users().await, [8]);
    server.assert_no_panic();
}

#[tokio::test]
async fn h0_2_the_old_connection_leaves_late_and_the_new_one_stays() {
    let server = Server::of_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut observer = bea.open_tab().await;
    let mut old = amy.open_raw_socket().await;
    observer.wait_for_count(2).await;

    let mut new = amy.open_tab().await;
    assert_eq!(old.read_to_close_frame().await.0, 4501);
    // Now the old connection answers the close frame and ends.
    old.send_frame(0x88, &4501_u16.to_be_bytes()).await;
    old.wait_for_end().await;

    new.assert_alive().await;
    bea.send_private(&amy, "still there?").await;
    assert_eq!(new.next_of("private_message").await["message"]["content"], "still there?");
    assert_eq!(bea.online_users().await, [7, 8]);
    assert_eq!(of_type(&observer.read_to_marker(&bea).await, "online_count"), Vec::<serde_json::Value>::new());
    assert_eq!(server.metric("teahouse_sessions").await, 2);
    server.assert_no_panic();
}

#[tokio::test]
async fn h0_3_in_a_race_the_last_accepted_survives_and_presence_does_not_flap() {
    const RIVALS: usize = 60;
    let server = Server::of_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let mut random = Random::of_run("h0_3");
    let (amy, bea, cid) =
        (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"), User::of_site(&server, 9, "cid"));
    let mut first = amy.open_tab().await;
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(2).await;

    // All first bytes arrive, that of the last rival last. Then the rest of the heads follows in a random order.
    let head = request_head(&amy.token, "").into_bytes();
    let mut rivals = Vec::new();
    for number in 0..RIVALS {
        if number == RIVALS - 1 {
            settle(&server).await;
        }
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(&head[..1]).await;
        rivals.push((number, socket));
    }
    settle(&server).await;
    random.shuffle(&mut rivals);
    let finished = rivals.into_iter().map(|(number, mut socket)| {
        let head = &head;
        async move {
            socket.write(&head[1..]).await;
            assert!(socket.read_head().await.starts_with("HTTP/1.1 101 "));
            (number, socket)
        }
    });
    let mut survivor = None;
    for (number, socket) in join_all(finished).await {
        let mut tab = socket.into_tab().await;
        if number == RIVALS - 1 {
            survivor = Some(tab);
        } else {
            tab.expect_displaced().await;
        }
    }
    first.expect_displaced().await;
    let mut survivor = survivor.unwrap();
    survivor.assert_alive().await;

    assert_eq!(bea.online_users().await, [7, 8]);
    assert_eq!(server.metric("teahouse_sessions").await, 2);
    // The next count that the observer receives is a real change.
    let _tab = cid.open_tab().await;
    assert_eq!(observer.next_of("online_count").await, json!({"count": 3}));
    server.assert_no_panic();
}

#[tokio::test]
async fn h2_h3_replacing_the_receiver_in_a_loop_loses_and_repeats_no_private_message() {
    const REPLACEMENTS: usize = 300;
    const WRITTEN_MIN: usize = 30;
    let server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let (done, mut is_done) = oneshot::channel::<()>();
    // With a slow disk there are fewer messages than connections.
    let so_far = Cell::new(0);
    let writer = async {
        let mut written = Vec::new();
        while is_done.try_recv().is_err() {
            written.push(bea.send_private(&amy, &format!("number {}", written.len())).await);
            so_far.set(written.len());
        }
        written
    };
    let replacer = async {
        let mut delivered = Vec::new();
        let mut tab = amy.open_tab().await;
        let mut replaced = 0;
        while replaced < REPLACEMENTS || so_far.get() < WRITTEN_MIN {
            replaced += 1;
            tab.send("heartbeat", json!({})).await;
            let next = amy.open_tab().await;
            let (received, code, _) = std::mem::replace(&mut tab, next).read_to_close().await;
            assert_eq!(code, 4501);
            delivered
                .extend(of_type(&received, "private_message").iter().map(|data| data["message_id"].as_u64().unwrap()));
        }
        done.send(()).unwrap();
        delivered.extend(
            of_type(&tab.read_to_heartbeat().await, "private_message")
                .iter()
                .map(|data| data["message_id"].as_u64().unwrap()),
        );
        delivered
    };
    let (written, delivered) = tokio::join!(writer, replacer);

    assert!(written.len() > 20 && !delivered.is_empty(), "both flowed: {} {}", written.len(), delivered.len());
    let stored = amy.conversation(written[0].1).await;
    let ids: Vec<u64> = stored.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, written.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "each message once and in order");
    let mut once = delivered.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), delivered.len(), "no message twice");
    server.assert_no_panic();
}

#[tokio::test]
async fn h4_a_displaced_socket_always_gets_its_notice_and_close_code() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut tab = amy.open_tab().await;
    for _ in 0..100 {
        let next = amy.open_tab().await;
        std::mem::replace(&mut tab, next).expect_displaced().await;
    }
}

#[tokio::test]
async fn h4_a_displaced_stalled_reader_gets_its_backlog_then_notice_and_close_code() {
    let server = Server::without_limits(&[]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut stalled = RawSocket::connect_with_small_buffer(server.address()).await;
    stalled.handshake(&amy.token).await;
    let mut observer = bea.open_tab().await;
    for _ in 0..1000 {
        observer.say(&"x".repeat(500)).await;
    }
    observer.read_to_marker(&bea).await;
    let mut new = amy.open_tab().await;
    new.assert_alive().await;
    stalled.into_tab().await.expect_displaced().await;
}

/// The reconnect logic of the old front end (`useWebSocket`): it reconnects a second after most closes, gives up after
/// five failures, and sends heartbeats.
async fn old_front_end(user: User, mut enough: tokio::sync::watch::Receiver<bool>) -> (usize, bool) {
    let (mut opened, mut tries) = (0, 0);
    loop {
        match user.try_open_tab().await {
            Err(_) => tries += 1,
            Ok(mut tab) => {
                (opened, tries) = (opened + 1, 0);
                let mut beat = tokio::time::interval(Duration::from_secs(25));
                let closed = loop {
                    tokio::select! {
                        received = tab.next_unbounded() => match received {
                            Received::Envelope(_) => {}
                            Received::Closed(code, reason) => break Some((code, reason)),
                            Received::Lost => break None,
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

/// The test watches for the minute that the row names: a fight would show within seconds.
#[tokio::test]
async fn h5_two_tabs_of_the_old_front_end_displace_each_other_at_most_once_in_a_minute() {
    let server = Server::of_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let amy = User::of_site(&server, 7, "amy");
    let (tell, enough) = tokio::sync::watch::channel(false);
    let first = tokio::spawn(old_front_end(amy.clone(), enough.clone()));
    while server.metric("teahouse_attaches_total").await < 1 {}
    let second = tokio::spawn(old_front_end(amy, enough));
    tokio::time::sleep(Duration::from_secs(60)).await;
    tell.send(true).unwrap();
    assert_eq!(first.await.unwrap(), (1, false), "the displaced tab stays away");
    assert_eq!(second.await.unwrap(), (1, true), "the newer tab stays");
    assert_eq!(server.metric("teahouse_displacements_total").await, 1);
}

#[tokio::test]
async fn h6_a_delayed_handshake_does_not_displace_a_later_connection() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let head = request_head(&amy.token, "").into_bytes();
    let mut slow = RawSocket::connect(server.address()).await;
    slow.write(&head[..1]).await;
    settle(&server).await;
    let mut newer = amy.open_tab().await;

    slow.write(&head[1..]).await;
    assert!(slow.read_head().await.starts_with("HTTP/1.1 101 "));
    slow.into_tab().await.expect_displaced().await;
    newer.assert_alive().await;
    assert_eq!(amy.online_users().await, [7]);
}

/// Found by the checker: the server took an accepted socket for one whose first byte had arrived, because the runtime
/// reports a new socket as readable until a read fails.
#[tokio::test]
async fn h6_a_silent_connection_counts_from_its_first_byte() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    for _ in 0..20 {
        let mut silent = RawSocket::connect(server.address()).await;
        let mut older = amy.open_tab().await;
        silent.write(request_head(&amy.token, "").as_bytes()).await;
        assert!(silent.read_head().await.starts_with("HTTP/1.1 101 "));
        older.expect_displaced().await;
        silent.into_tab().await.assert_alive().await;
    }
}

#[tokio::test]
async fn h7_a_hundred_refreshes_do_not_change_the_online_count() {
    let server = Server::of_site(&[]);
    let (amy, bea, cid) =
        (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"), User::of_site(&server, 9, "cid"));
    let mut tab = amy.open_tab().await;
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(2).await;
    for round in 0..100 {
        match round % 3 {
            // A close frame as browsers send it, a cut as on a phone, or the new page connects before the old one is
            // gone.
            0 => tab.close(1001).await,
            1 => drop(tab),
            _ => {
                tab = amy.open_tab().await;
                continue;
            }
        }
        tab = amy.open_tab().await;
    }
    tab.assert_alive().await;
    let _tab = cid.open_tab().await;
    assert_eq!(observer.next_of("online_count").await, json!({"count": 3}), "the first change that it receives");
}

#[tokio::test]
async fn h7_a_user_who_does_not_return_goes_offline_after_the_linger() {
    let server = Server::of_site(&[("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "1s")]);
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let tab = amy.open_tab().await;
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(2).await;
    let left = Instant::now();
    drop(tab);
    observer.wait_for_count(1).await;
    assert!(left.elapsed() >= Duration::from_secs(1));
}

/// Asserts that the server closes the socket with 1008 within a second, and that the token is void.
async fn assert_session_ended(tab: &mut crate::fixture::Tab, user: &User, since: Instant) {
    let (_, code, reason) = tab.read_to_close().await;
    assert_eq!(code, 1008, "{reason}");
    let after = since.elapsed();
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert!(user.try_open_tab().await.unwrap_err().contains("401"));
    user.get("/api/auth/me").await.expect_error(401, "unauthorized");
}

#[tokio::test]
async fn h17_p19_a_logout_closes_its_live_socket_within_a_second() {
    let mut server = Server::standalone(&[]);
    let amy = User::register(&server, "amy").await;
    let mut tab = amy.open_tab().await;
    tab.assert_alive().await;
    amy.post("/api/auth/logout", json!({})).await.expect(200);
    assert_session_ended(&mut tab, &amy, Instant::now()).await;
    // The token stays revoked.
    server.stop().await;
    server.restart();
    amy.get("/api/auth/me").await.expect_error(401, "unauthorized");
}

#[tokio::test]
async fn h17_p19_a_password_change_closes_the_sockets_of_all_other_tokens() {
    let server = Server::standalone(&[]);
    let amy = User::register(&server, "amy").await;
    let elsewhere = amy.log_in().await;
    let (mut here, mut there) = (amy.device().await, elsewhere.open_tab().await);
    let change = json!({"currentPassword": crate::fixture::PASSWORD, "newPassword": "sencha8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    assert_session_ended(&mut there, &elsewhere, Instant::now()).await;
    here.assert_alive().await;
    amy.get("/api/auth/me").await.expect(200);
}

#[tokio::test]
async fn h17_p19_disabling_a_user_closes_their_socket_and_no_other() {
    let server = Server::standalone(&[]);
    let (amy, bea) = (User::register(&server, "amy").await, User::register(&server, "bea").await);
    let (mut tab, mut other) = (amy.open_tab().await, bea.open_tab().await);
    tab.assert_alive().await;
    server.command(&["user", "disable", "amy"]);
    assert_session_ended(&mut tab, &amy, Instant::now()).await;
    other.assert_alive().await;
    server.command(&["user", "enable", "amy"]);
    amy.log_in().await.open_tab().await.assert_alive().await;
}

#[tokio::test]
async fn h17_a_socket_outlives_its_token_by_the_grace_period_only() {
    let server = Server::of_site(&[("TEAHOUSE_SESSIONS__TOKEN_GRACE", "1s")]);
    let expires_at = now_seconds() + 2;
    let mut claims = crate::fixture::claims(7, "amy");
    claims["exp"] = json!(expires_at);
    let amy = User::of_site(&server, 7, "amy").with_token(&sign(&claims));
    let mut tab = amy.open_tab().await;
    let opened = Instant::now();
    let (_, code, _) = tab.read_to_close().await;
    assert_eq!(code, 1008);
    assert!(now_seconds() > expires_at, "not before the grace period ends");
    // Two seconds of validity, one of grace, one until the server notices, and room for a busy machine.
    assert!(opened.elapsed() < Duration::from_secs(8), "{:?}", opened.elapsed());
}

#[tokio::test]
async fn h19_a_half_open_socket_is_closed_within_35_seconds() {
    let server = Server::of_site(&[]);
    let amy = User::of_site(&server, 7, "amy");
    let mut silent = amy.open_raw_socket().await;
    let since = Instant::now();
    assert_eq!(silent.read_to_close_frame_within(Duration::from_secs(45)).await.0, 4001);
    // 25 s until the ping, 10 s for its answer. The server counts whole seconds, and the machine may be busy.
    assert!(since.elapsed() < Duration::from_secs(38), "{:?}", since.elapsed());
}

#[tokio::test]
async fn h19_a_socket_without_pongs_is_closed_and_a_resume_meanwhile_works_at_once() {
    let server = Server::of_site(&[
        ("TEAHOUSE_SESSIONS__PING_INTERVAL", "1s"),
        ("TEAHOUSE_SESSIONS__PONG_TIMEOUT", "1s"),
        ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "0"),
    ]);
    let (amy, bea, cid) =
        (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"), User::of_site(&server, 9, "cid"));
    let mut silent = amy.open_raw_socket().await;
    let mut resumed = cid.open_raw_socket().await;
    let mut well = bea.open_tab().await;
    well.wait_for_count(3).await;
    assert_eq!(resumed.next_frame().await.map(|frame| frame.opcode), Some(1));
    let mut new = cid.open_tab().await;
    // The other tabs answer pings while they wait for the count without the silent one.
    let ((code, _), (), ()) = tokio::join!(silent.read_to_close_frame(), well.wait_for_count(2), new.wait_for_count(2));
    assert_eq!(code, 4001);
    well.assert_alive().await;
    new.assert_alive().await;
    assert_eq!(bea.online_users().await, [8, 9]);
}

#[tokio::test]
async fn p24_two_hundred_users_behind_one_address_connect_at_once() {
    let server = Server::of_site(&[("TEAHOUSE_METRICS__LISTEN", "127.0.0.1:0")]);
    let campus: Vec<User> = (1..=200).map(|id| User::of_site(&server, id, &format!("student{id}"))).collect();
    let tabs = within_patience("two hundred tabs", join_all(campus.iter().map(User::open_tab))).await;
    assert_eq!(tabs.len(), 200);
    let counted = campus[0].get("/api/chat/online-count").await.expect(200).data();
    assert_eq!(counted, json!({"count": 200}));
}
