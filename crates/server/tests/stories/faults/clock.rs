//! The wall clock jumps an hour, forward and back: order, limits and lingers stay right, live sessions stay, and tokens
//! that were issued meanwhile stay valid.

use std::time::Instant;

use serde_json::json;
use teahouse_testkit::Faults;

use crate::fixture::{PASSWORD, Server, User, claims, now_seconds, sign};

const HOUR: i64 = 3600;

#[tokio::test]
async fn a_clock_jump_of_an_hour_affects_no_order_limit_or_linger() {
    let faults = Faults::new();
    // The limit refills one send a second. A jump of an hour must not refill 3,600.
    let server = Server::of_site(
        &[
            &faults.environment()[..],
            &[
                ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "1"),
                ("TEAHOUSE_LIMITS__SENDS_BURST", "40"),
                ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", "10m"),
            ],
        ]
        .concat(),
    );
    let [amy, bea, cid] = [(7, "amy"), (8, "bea"), (9, "cid")].map(|(id, name)| {
        // The tokens of the site are valid at all of these times.
        let mut claims = claims(id, name);
        claims["nbf"] = json!(now_seconds() - 2 * HOUR);
        User::of_site(&server, id, name).with_token(&sign(&claims))
    });
    let (mut device, mut tab, gone) = (amy.device().await, bea.open_tab().await, cid.open_tab().await);
    tab.wait_for_count(3).await;
    drop(gone);
    let mut times = Vec::new();
    for (place, offset) in [0, HOUR, 0, -HOUR, HOUR, 0].into_iter().enumerate() {
        faults.shift_clock(offset);
        for number in 0..3 {
            let ack = device.say(1, &format!("{place} {number}")).await;
            times.push(ack["send_time"].as_str().unwrap().to_owned());
            assert_eq!(tab.next_of("message").await["send_time"], ack["send_time"]);
        }
        device.assert_alive().await;
        tab.assert_alive().await;
        // The jump does not end a linger of ten minutes.
        assert!(amy.online_users().await.contains(&cid.id), "with the clock off by {offset}");
    }
    assert!(times.is_sorted(), "times never decrease in a room: {times:?}");
    assert!(times[3][..16] > times[0][..16], "an hour passed: {times:?}");
    assert_eq!(times[5], times[6], "and times do not go back: {times:?}");
    assert!(faults.hits().wrong_clock_reads > 0);
    let stored: Vec<_> =
        bea.lobby().await.iter().map(|message| message["send_time"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stored, times, "and order is the order of seq");

    // After the burst one send a second is allowed, however far the clock jumps.
    let mut spent: Option<Instant> = None;
    for (round, offset) in [0, HOUR, -HOUR].into_iter().enumerate() {
        faults.shift_clock(offset);
        let mut let_through = 0;
        let refused = loop {
            let data = json!({"room": 1, "content": "fast", "client_id": format!("fast {round} {let_through}")});
            match device.try_request("message", data).await {
                Ok(_) => let_through += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused["code"], "rate_limited", "{refused}");
        assert!(refused["retry_after_ms"].as_u64().unwrap() <= 1000, "nobody waits an hour: {refused}");
        if let Some(since) = spent {
            assert!(let_through <= since.elapsed().as_secs() + 1, "{let_through} with the clock off by {offset}");
        }
        spent = Some(Instant::now());
    }
    faults.shift_clock(0);
    device.assert_same_as_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn after_a_clock_jump_live_sessions_stay_and_new_tokens_are_judged_by_it() {
    let faults = Faults::new();
    let server = Server::with_faults(&faults, &[]);
    let amy = User::of_site(&server, 7, "amy");
    let soon = {
        let mut claims = claims(7, "amy");
        claims["exp"] = json!(now_seconds() + HOUR / 2);
        amy.clone().with_token(&sign(&claims))
    };
    let bea = User::of_site(&server, 8, "bea");
    let (mut device, mut tab) = (soon.device().await, bea.open_tab().await);

    // Forward: a token with half an hour left has expired for new connections. Live sockets stay.
    faults.shift_clock(HOUR);
    soon.get("/api/auth/me").await.expect_error(401, "unauthorized");
    assert_eq!(soon.try_open_tab().await.unwrap_err(), "401");
    amy.get("/api/auth/me").await.expect(200);
    device.say(1, "an hour ahead").await;
    tab.assert_alive().await;
    // A new session with a token of a day has an hour less.
    let mut late = amy.device_named("late").await;

    // Back: a site with the right time issues tokens that are in the future of this server.
    faults.shift_clock(-HOUR);
    bea.get("/api/auth/me").await.expect_error(401, "unauthorized");
    device.say(1, "an hour behind").await;
    tab.assert_alive().await;
    late.assert_alive().await;

    faults.shift_clock(0);
    soon.get("/api/auth/me").await.expect(200);
    bea.open_tab().await.assert_alive().await;
    device.say(1, "and right again").await;
    late.assert_alive().await;
    device.assert_same_as_fresh_load().await;
    assert!(faults.hits().wrong_clock_reads > 0);
}

#[tokio::test]
async fn a_login_made_while_the_clock_was_ahead_stays_valid_after_correction() {
    let faults = Faults::new();
    let server = Server::standalone(&faults.environment());
    faults.shift_clock(HOUR);
    let amy = User::register(&server, "amy").await;
    let mut tab = amy.open_tab().await;
    faults.shift_clock(0);
    amy.get("/api/auth/me").await.expect(200);
    amy.open_tab().await.assert_alive().await;
    assert_eq!(tab.read_to_close().await.1, 4501, "only the new page displaced it");
    assert!(faults.hits().wrong_clock_reads > 0);
}

#[tokio::test]
async fn a_password_changed_while_the_clock_was_ahead_works_after_correction() {
    let faults = Faults::new();
    let server = Server::standalone(&faults.environment());
    let amy = User::register(&server, "amy").await;
    let old = amy.log_in().await;
    faults.shift_clock(HOUR);
    let change = json!({"currentPassword": PASSWORD, "newPassword": PASSWORD.to_owned() + "8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    faults.shift_clock(0);
    // The revocation holds, and a new login comes after it.
    old.get("/api/auth/me").await.expect_error(401, "unauthorized");
    let form = json!({"username": "amy", "password": PASSWORD.to_owned() + "8"});
    let data = amy.clone().with_token("").post("/api/auth/login", form).await.expect(200).data();
    let again = amy.with_token(data["token"].as_str().unwrap());
    again.get("/api/auth/me").await.expect(200);
    again.open_tab().await.assert_alive().await;
    old.get("/api/auth/me").await.expect_error(401, "unauthorized");
    assert!(faults.hits().wrong_clock_reads > 0);
}
