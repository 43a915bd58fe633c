//! Stories of people with several devices that speak v1. The devices know PROTOCOL.md and nothing of ours, and
//! assert its rules with every envelope; most stories end with a look at whether a device shows what it must.

use serde_json::{Value, json};

use crate::stage::{DEVICES, Device, NO_LIMITS, Person, Server};

mod acks;
mod backend;
mod changes;
mod convergence;
mod crash;
mod tokens;
mod hello;
mod limits;
mod marks;
mod membership;
mod people;
mod presence;
mod errors;
mod resume;
mod rooms;
mod takeover;

/// A server that many devices may use as fast as they like, and people of its site.
fn house<const PEOPLE: usize>(names: [&str; PEOPLE]) -> (Server, [Person; PEOPLE]) {
    house_with(&[], names)
}

/// The same, set up in another way.
fn house_with<const PEOPLE: usize>(environment: &[(&str, &str)], names: [&str; PEOPLE]) -> (Server, [Person; PEOPLE]) {
    let server = Server::of_a_site(&[NO_LIMITS, DEVICES, environment].concat());
    let mut id = 6;
    let people = names.map(|name| {
        id += 1;
        Person::of_site(&server, id, name)
    });
    (server, people)
}

/// A private room that `owner` makes and these come into; its id.
async fn private_room(owner: &mut Device, name: &str, guests: &[&Person]) -> u64 {
    room_of_kind(owner, "private", name, guests).await
}

/// A public room of these.
async fn public_room(owner: &mut Device, name: &str, guests: &[&Person]) -> u64 {
    room_of_kind(owner, "public", name, guests).await
}

async fn room_of_kind(owner: &mut Device, kind: &str, name: &str, guests: &[&Person]) -> u64 {
    let entry = owner.does("create", json!({"kind": kind, "name": name, "title": ""})).await;
    let room = entry["id"].as_u64().unwrap();
    for guest in guests {
        // The server knows people of the site from their first request on.
        guest.get("/api/auth/me").await.expect(200);
        owner.does("invite", json!({"room": room, "user": guest.id})).await;
    }
    room
}

/// The ids of what is in a list.
fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect()
}
