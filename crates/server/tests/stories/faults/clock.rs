//! The wall clock jumps an hour, forward and back: order, limits and lingering do not notice, nobody who is connected is
//! thrown out, and what was issued while it was wrong is still good when it is right again.

use std::time::Instant;

use serde_json::json;
use teahouse_chaos::Faults;

use crate::stage::{PASSWORD, Person, Server, claims, now_seconds, signed};

const HOUR: i64 = 3600;

#[tokio::test]
async fn a_clock_jump_of_an_hour_affects_no_order_limit_or_linger() {
    let faults = Faults::new();
    // One more may be said in a second; whoever jumps an hour must not have earned 3,600.
    let server = Server::of_a_site(
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
        // Their site's tokens are good at any of these times.
        let mut claims = claims(id, name);
        claims["nbf"] = json!(now_seconds() - 2 * HOUR);
        Person::of_site(&server, id, name).with_token(&signed(&claims))
    });
    let (mut device, mut tab, gone) = (amy.device().await, bea.opens_tab().await, cid.opens_tab().await);
    tab.hears_count(3).await;
    drop(gone);
    let mut times = Vec::new();
    for (place, offset) in [0, HOUR, 0, -HOUR, HOUR, 0].into_iter().enumerate() {
        faults.clock_is_off_by(offset);
        for number in 0..3 {
            let ack = device.says(1, &format!("{place} {number}")).await;
            times.push(ack["send_time"].as_str().unwrap().to_owned());
            assert_eq!(tab.next_of("message").await["send_time"], ack["send_time"]);
        }
        device.is_alive().await;
        tab.is_alive().await;
        // Ten minutes of lingering are not over in an hour that never was.
        assert!(amy.sees_online().await.contains(&cid.id), "with the clock off by {offset}");
    }
    assert!(times.is_sorted(), "times never decrease in a room: {times:?}");
    assert!(times[3][..16] > times[0][..16], "an hour passed: {times:?}");
    assert_eq!(times[5], times[6], "and stands still until the clock is there again: {times:?}");
    assert!(faults.hits().bent_clock_reads > 0);
    let stored: Vec<_> =
        bea.lobby().await.iter().map(|message| message["send_time"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stored, times, "and order is the order of seq");

    // Once the burst is spent there is one a second, however far the clock jumps meanwhile.
    let mut spent: Option<Instant> = None;
    for (round, offset) in [0, HOUR, -HOUR].into_iter().enumerate() {
        faults.clock_is_off_by(offset);
        let mut let_through = 0;
        let refused = loop {
            let data = json!({"room": 1, "content": "fast", "client_id": format!("fast {round} {let_through}")});
            match device.tries("message", data).await {
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
    faults.clock_is_off_by(0);
    device.shows_the_same_as_a_fresh_load().await;
    server.assert_no_panic();
}

#[tokio::test]
async fn after_a_clock_jump_live_sessions_stay_and_new_tokens_are_judged_by_it() {
    let faults = Faults::new();
    let server = Server::under(&faults, &[]);
    let amy = Person::of_site(&server, 7, "amy");
    let soon = {
        let mut claims = claims(7, "amy");
        claims["exp"] = json!(now_seconds() + HOUR / 2);
        amy.clone().with_token(&signed(&claims))
    };
    let bea = Person::of_site(&server, 8, "bea");
    let (mut device, mut tab) = (soon.device().await, bea.opens_tab().await);

    // Forward: a token that would have half an hour left is over for whoever comes now, and no live socket feels it.
    faults.clock_is_off_by(HOUR);
    soon.get("/api/auth/me").await.refused(401, "unauthorized");
    assert_eq!(soon.tries_to_open_tab().await.unwrap_err(), "401 Unauthorized");
    amy.get("/api/auth/me").await.expect(200);
    device.says(1, "an hour ahead").await;
    tab.is_alive().await;
    // One that comes now with a day's token has an hour less of it.
    let mut late = amy.device_named("late").await;

    // Back: a site whose clock is right has issued its tokens in what is the future here.
    faults.clock_is_off_by(-HOUR);
    bea.get("/api/auth/me").await.refused(401, "unauthorized");
    device.says(1, "an hour behind").await;
    tab.is_alive().await;
    late.is_alive().await;

    faults.clock_is_off_by(0);
    soon.get("/api/auth/me").await.expect(200);
    bea.opens_tab().await.is_alive().await;
    device.says(1, "and right again").await;
    late.is_alive().await;
    device.shows_the_same_as_a_fresh_load().await;
    assert!(faults.hits().bent_clock_reads > 0);
}

#[tokio::test]
async fn a_login_made_while_the_clock_was_ahead_stays_valid_after_correction() {
    let faults = Faults::new();
    let server = Server::alone(&faults.environment());
    faults.clock_is_off_by(HOUR);
    let amy = Person::register(&server, "amy").await;
    let mut tab = amy.opens_tab().await;
    faults.clock_is_off_by(0);
    amy.get("/api/auth/me").await.expect(200);
    amy.opens_tab().await.is_alive().await;
    assert_eq!(tab.until_closed().await.1, 4501, "its page was opened anew, and nothing else ended it");
    assert!(faults.hits().bent_clock_reads > 0);
}

#[tokio::test]
async fn a_password_changed_while_the_clock_was_ahead_works_after_correction() {
    let faults = Faults::new();
    let server = Server::alone(&faults.environment());
    let amy = Person::register(&server, "amy").await;
    let old = amy.log_in().await;
    faults.clock_is_off_by(HOUR);
    let change = json!({"currentPassword": PASSWORD, "newPassword": PASSWORD.to_owned() + "8"});
    amy.post("/api/auth/change-password", change).await.expect(200);
    faults.clock_is_off_by(0);
    // The revocation holds, and a new login is behind it.
    old.get("/api/auth/me").await.refused(401, "unauthorized");
    let form = json!({"username": "amy", "password": PASSWORD.to_owned() + "8"});
    let data = amy.clone().with_token("").post("/api/auth/login", form).await.expect(200).data();
    let again = amy.with_token(data["token"].as_str().unwrap());
    again.get("/api/auth/me").await.expect(200);
    again.opens_tab().await.is_alive().await;
    old.get("/api/auth/me").await.refused(401, "unauthorized");
    assert!(faults.hits().bent_clock_reads > 0);
}
