//! Stories of users with several v1 devices. The devices know docs/protocol.md alone and assert its rules with every
//! envelope. Most stories end by comparing a device with one that has just loaded everything.

use serde_json::{Value, json};

use crate::fixture::{DEVICES, Device, NO_LIMITS, Server, User};

mod acks;
mod amplification;
mod backend;
mod changes;
mod convergence;
mod crash;
mod directs;
mod errors;
mod hello;
mod limits;
mod marks;
mod membership;
mod presence;
mod profiles;
mod resume;
mod rooms;
mod several;
mod strangers;
mod takeover;
mod tokens;

/// A server without limits, and users of its site.
fn server_and_users<const USERS: usize>(names: [&str; USERS]) -> (Server, [User; USERS]) {
    server_with(&[], names)
}

/// The same with more configuration.
fn server_with<const USERS: usize>(environment: &[(&str, &str)], names: [&str; USERS]) -> (Server, [User; USERS]) {
    let server = Server::of_site(&[NO_LIMITS, DEVICES, environment].concat());
    let mut id = 6;
    let users = names.map(|name| {
        id += 1;
        User::of_site(&server, id, name)
    });
    (server, users)
}

/// Creates a private room with these guests, and returns its id.
async fn private_room(owner: &mut Device, name: &str, guests: &[&User]) -> u64 {
    room_of_kind(owner, "private", name, guests).await
}

/// The same for a public room.
async fn public_room(owner: &mut Device, name: &str, guests: &[&User]) -> u64 {
    room_of_kind(owner, "public", name, guests).await
}

async fn room_of_kind(owner: &mut Device, kind: &str, name: &str, guests: &[&User]) -> u64 {
    let entry = owner.request("create", json!({"kind": kind, "name": name, "title": ""})).await;
    let room = entry["id"].as_u64().unwrap();
    for guest in guests {
        // The server knows a user of the site from the first request on.
        guest.get("/api/auth/me").await.expect(200);
        invite(owner, room, guest).await;
    }
    room
}

/// Brings a user into a room. Where the invite waits, since they do not know each other, the user accepts it.
async fn invite(owner: &mut Device, room: u64, guest: &User) {
    let entry = owner.request("invite", json!({"room": room, "user": guest.id})).await;
    if entry["pending"] == true {
        guest.post(&format!("/api/v1/rooms/{room}/accept"), json!({})).await.expect(200);
        let before = entry["members"].as_u64();
        owner.wait_for_view("the guest", |view| view.room(room).entry["members"].as_u64() > before).await;
    }
}

/// The ids in a list.
fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect()
}
