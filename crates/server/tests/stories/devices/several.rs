//! One user on several devices, in the default configuration: which sessions live together, and which displace which.

use serde_json::json;

use super::invite;
use crate::connections::settle;
use crate::fixture::{Device, NO_LIMITS, RawSocket, Server, Tab, User, request_head};

/// A server of a site without limits on rates, and with the default limit on devices.
fn server() -> Server {
    Server::of_site(NO_LIMITS)
}

/// Opens a classic tab whose handshake names a device, as only a v1 client does.
async fn open_named_tab(user: &User, device: &str) -> Tab {
    let offer = format!("Sec-WebSocket-Protocol: device.{device}\r\n");
    let mut tab = user.open_raw_socket_with(&offer).await.into_tab().await;
    tab.assert_alive().await;
    tab
}

#[tokio::test]
async fn a_phone_and_a_laptop_live_together_by_default_and_both_get_everything() {
    let server = server();
    let (amy, bea) = (User::of_site(&server, 7, "amy"), User::of_site(&server, 8, "bea"));
    let mut phone = amy.device_named("phone").await;
    let mut laptop = amy.device_named("laptop").await;
    let mut unnamed = amy.device().await;
    let mut tab = amy.open_tab().await;
    let mut his = bea.device().await;
    his.wait_for_view("two users", |view| view.online == 2).await;

    let lobby = his.say(1, "to all of you").await;
    let entry = his.request("create", json!({"kind": "private", "name": "tea", "title": ""})).await;
    let room = entry["id"].as_u64().unwrap();
    invite(&mut his, room, &amy).await;
    for number in 1..=20 {
        his.say(room, &format!("number {number}")).await;
        laptop.say(1, "and from me").await;
    }
    his.wait_for_version(1, 21).await;
    assert_eq!(tab.next_of("message").await["id"], lobby["id"]);
    tab.assert_alive().await;
    for device in [&mut phone, &mut laptop, &mut unnamed] {
        device.wait_for_version(room, 20).await;
        device.wait_for_version(1, 21).await;
        device.assert_same_as_fresh_load().await;
    }
    // One user on four devices is one user.
    assert_eq!(his.view.online, 2);
    // All but one leave: the user is still there.
    phone.close(1000).await;
    laptop.close(1000).await;
    tab.close(1000).await;
    unnamed.assert_alive().await;
    assert_eq!(bea.online_users().await, [amy.id, bea.id]);
    server.assert_no_panic();
}

#[tokio::test]
async fn h5_all_classic_tabs_of_a_user_are_one_device_beside_the_others() {
    let server = server();
    let amy = User::of_site(&server, 7, "amy");
    let (mut phone, mut unnamed) = (amy.device_named("phone").await, amy.device().await);
    let mut tab = amy.open_tab().await;
    for _ in 0..10 {
        let next = amy.open_tab().await;
        std::mem::replace(&mut tab, next).expect_displaced().await;
    }
    tab.assert_alive().await;
    phone.assert_alive().await;
    unnamed.assert_alive().await;
}

#[tokio::test]
async fn a_classic_tab_that_names_a_device_is_a_classic_tab() {
    let server = server();
    let amy = User::of_site(&server, 7, "amy");
    let mut phone = amy.device_named("phone").await;
    let mut first = open_named_tab(&amy, "phone").await;
    let mut second = open_named_tab(&amy, "laptop").await;
    first.expect_displaced().await;
    phone.assert_alive().await;
    second.assert_alive().await;
}

#[tokio::test]
async fn the_ninth_device_displaces_the_oldest() {
    let server = server();
    let amy = User::of_site(&server, 7, "amy");
    let mut devices = Vec::new();
    for number in 0..8 {
        devices.push(if number % 2 == 0 { amy.device_named(&format!("d{number}")).await } else { amy.device().await });
    }
    for device in &mut devices {
        device.assert_alive().await;
    }
    for _ in 0..3 {
        devices.push(amy.device().await);
        devices.remove(0).expect_close(4501).await;
        for device in &mut devices {
            device.assert_alive().await;
        }
    }
    // A classic tab counts as a device, whatever the number of its reconnects.
    let mut tab = amy.open_tab().await;
    devices.remove(0).expect_close(4501).await;
    let mut again = amy.open_tab().await;
    tab.expect_displaced().await;
    again.assert_alive().await;
    for device in &mut devices {
        device.assert_alive().await;
    }
}

#[tokio::test]
async fn h0_a_refresh_of_a_named_device_replaces_its_own_session_only() {
    let server = server();
    let amy = User::of_site(&server, 7, "amy");
    let mut phone = amy.device_named("phone").await;
    let mut others = Vec::new();
    for number in 0..7 {
        others.push(amy.device_named(&format!("d{number}")).await);
    }
    for _ in 0..5 {
        let again = amy.device_named("phone").await;
        std::mem::replace(&mut phone, again).expect_close(4501).await;
        for device in &mut others {
            device.assert_alive().await;
        }
    }
    // The phone was accepted last, so it is no longer the oldest.
    let mut ninth = amy.device().await;
    others.remove(0).expect_close(4501).await;
    phone.assert_alive().await;
    ninth.assert_alive().await;
}

#[tokio::test]
async fn h6_a_handshake_that_its_own_device_overtook_displaces_nothing() {
    let server = server();
    let amy = User::of_site(&server, 7, "amy");
    let mut laptop = amy.device_named("laptop").await;
    let offer = format!("Sec-WebSocket-Protocol: teahouse.v1, bearer.{}, device.phone\r\n", amy.token);
    let head = request_head("", &offer).into_bytes();
    let mut slow = RawSocket::connect(server.address()).await;
    slow.write(&head[..1]).await;
    settle(&server).await;
    let mut phone = amy.device_named("phone").await;

    slow.write(&head[1..]).await;
    assert!(slow.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(slow.read_to_close_frame().await.0, 4501);
    phone.assert_alive().await;
    laptop.assert_alive().await;
}

/// A user refreshed the slow page of the old site 20 times in 8.5 s. None of these loads got as far as its socket, and
/// everybody saw the user going and coming. Here the time is that of another session, which never says hello.
#[tokio::test]
async fn h7_twenty_refreshes_of_a_slow_page_are_seen_by_nobody() {
    let server = Server::of_site(&[("TEAHOUSE_SESSIONS__HELLO_TIMEOUT", "9s")]);
    let [amy, bea, cid, dee] =
        [(7, "amy"), (8, "bea"), (9, "cid"), (10, "dee")].map(|(id, name)| User::of_site(&server, id, name));
    let tab = amy.open_tab().await;
    let mut silent = Device::new(&cid);
    silent.open().await;
    let mut observer = bea.open_tab().await;
    observer.wait_for_count(3).await;

    drop(tab);
    for _ in 0..20 {
        // The page loads, and is left before it opens a socket.
        amy.get("/api/chat/messages").await.expect(200);
    }
    silent.expect_close(4002).await;
    amy.open_tab().await.assert_alive().await;
    let _tab = dee.open_tab().await;
    assert_eq!(observer.next_of("online_count").await, json!({"count": 4}), "the first change that it receives");
}
