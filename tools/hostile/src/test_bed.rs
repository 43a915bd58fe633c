//! The test bed of a run: a server with its usual limits, rooms in which everybody is, hostile accounts with a large list
//! of rooms, and local accounts for logins. It is prepared by a first process of the server without limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::json;
use teahouse_chaos::clients::{ConnectOptions, Device, Http, User};
use teahouse_chaos::recorder::Recorder;
use teahouse_checker::ServerEvent;
use teahouse_checker::wire::{Entry, RequestBody, ServerBody};
use teahouse_testkit::tokens::SITE_SECRET;
use teahouse_testkit::{HttpClient, Server};

use crate::run::Plan;

/// The password of every local account.
pub const PASSWORD: &str = "oolong7tea";
/// The lobby.
pub const LOBBY: u64 = 1;
/// Characters of the longest message.
pub const CHARS: usize = 4000;
/// Members of the private room: as many as may type there, and see each other's read marks.
const TABLE_MEMBERS: usize = 50;
/// Parallel requests while the test bed is prepared.
const PREPARING_AT_ONCE: usize = 32;

const FIRST_HONEST: u64 = 1_000;
const FIRST_HOSTILE: u64 = 2_000;
const FIRST_FRIEND: u64 = 10_000;

/// The server, the people and the rooms of a run.
pub struct TestBed {
    /// The server.
    pub address: SocketAddr,
    /// Records sockets and changes for the checker.
    pub recorder: Recorder,
    /// The honest people.
    pub honest: Vec<User>,
    /// The hostile accounts.
    pub hostile: Vec<User>,
    /// A public room with all of them.
    pub square: u64,
    /// A private room with some of the honest people and all hostile accounts.
    pub table: u64,
    /// A private room of the hostile accounts with many large messages, and its version.
    pub archive: (u64, u64),
    /// The rooms of each hostile account, in the order of the accounts.
    pub own_rooms: Vec<Vec<u64>>,
    /// Connections that the address opens at once.
    pub connections: usize,
    /// Wrong logins at once.
    pub logins: usize,
}

impl TestBed {
    /// The name of the local account of an honest person.
    #[must_use]
    pub fn account(person: usize) -> String {
        format!("tea{person}")
    }
}

/// A source address on loopback: honest people are in block 1, hostile accounts in block 2, the address is in block 3.
#[must_use]
pub fn source(block: u8, number: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(number + 1).unwrap_or(1).to_be_bytes();
    Ipv4Addr::new(127, block, high, low).into()
}

/// The server's configuration, beside the limits. Loopback is no proxy here: every source address is a client's.
fn environment(plan: &Plan) -> Vec<(&'static str, String)> {
    vec![
        ("TEAHOUSE_AUTH__JWT_SECRET", SITE_SECRET.to_owned()),
        ("TEAHOUSE_AUTH__REGISTRATION", "true".to_owned()),
        ("TEAHOUSE_SERVER__TRUSTED_PROXIES", "192.0.2.1".to_owned()),
        // Fewer connections than the address opens, so that a run shows which ones give way.
        ("TEAHOUSE_SERVER__CONNECTIONS_MAX", (plan.connections * 2 / 3).max(400).to_string()),
        ("TEAHOUSE_SESSIONS__PER_USER", crate::run::DEVICES_PER_USER.to_string()),
        ("TEAHOUSE_SESSIONS__PRESENCE_LINGER", format!("{}s", crate::run::LINGER.as_secs())),
        ("TEAHOUSE_LOG__FILTER", "warn".to_owned()),
    ]
}

const NO_LIMITS: &[(&str, &str)] = &[
    ("TEAHOUSE_LIMITS__SENDS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__SENDS_BURST", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__ENVELOPES_BURST", "100000"),
    ("TEAHOUSE_LIMITS__REGISTRATIONS_PER_SECOND", "100000"),
    ("TEAHOUSE_LIMITS__REGISTRATIONS_BURST", "100000"),
];

/// Prepares the test bed in a data directory, and starts the server on it.
pub async fn prepare(plan: &Plan, data: &Path) -> (Server, TestBed) {
    let owned = environment(plan);
    let environment: Vec<(&str, &str)> = owned.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let recorder = Recorder::default();
    let mut server = Server::start_on(&plan.server, &[&environment, NO_LIMITS].concat(), data);
    recorder.note_server(ServerEvent::Started);
    let mut bed = TestBed {
        address: server.address(),
        recorder: recorder.clone(),
        honest: users("honest", FIRST_HONEST, plan.honest),
        hostile: users("hostile", FIRST_HOSTILE, plan.accounts),
        square: 0,
        table: 0,
        archive: (0, 0),
        own_rooms: vec![Vec::new(); plan.accounts],
        connections: plan.connections,
        logins: plan.logins,
    };
    register_accounts(&bed).await;
    create_rooms(&mut bed).await;
    create_archive(&mut bed, plan.archive).await;
    create_own_rooms(&mut bed, plan.rooms).await;
    write_to_first(&bed, plan.directs).await;
    recorder.note_server(ServerEvent::Stopping);
    server.stop().await;
    recorder.note_server(ServerEvent::Ended);
    server = Server::start_on(&plan.server, &environment, data);
    recorder.note_server(ServerEvent::Started);
    bed.address = server.address();
    (server, bed)
}

fn users(name: &str, first: u64, number: usize) -> Vec<User> {
    (first..).take(number).map(|id| User::new(id, &format!("{name}{id}"))).collect()
}

/// A local account for each honest person, since a site's user has no password here.
async fn register_accounts(bed: &TestBed) {
    let client = HttpClient::new(bed.address);
    let registering = stream::iter(0..bed.honest.len()).for_each_concurrent(PREPARING_AT_ONCE, |person| {
        let (client, name) = (client.clone(), TestBed::account(person));
        async move {
            let body = json!({"username": name, "password": PASSWORD, "email": format!("{name}@example.org")});
            let path = "/api/auth/register";
            client.request(Method::POST, path, "", &[], Some(body.to_string())).await.unwrap().expect(201);
        }
    });
    registering.await;
}

/// The first honest person creates the two rooms. All join the public one. Those of the private one write to that
/// person first, since nobody becomes a member by a stranger's invitation alone.
async fn create_rooms(bed: &mut TestBed) {
    let http = Http::new(&bed.recorder, bed.address);
    let first = bed.honest[0].clone();
    let mut device = connected(bed, &first).await;
    bed.square = create(&mut device, "public", "the square").await;
    bed.table = create(&mut device, "private", "the table").await;
    // The last honest people are the witnesses.
    let guests = bed.hostile.iter().chain(bed.honest[1..].iter().rev()).take(TABLE_MEMBERS - 1);
    let guests: Vec<User> = guests.cloned().collect();
    let square = bed.square;
    let all = bed.honest.iter().chain(&bed.hostile).skip(1);
    stream::iter(all)
        .for_each_concurrent(PREPARING_AT_ONCE, |user| async {
            http.request(user, RequestBody::Join { room: square }).await.expect("all join the square");
        })
        .await;
    stream::iter(&guests)
        .for_each_concurrent(PREPARING_AT_ONCE, |user| async {
            http.request(user, letter(user, first.id)).await.expect("a guest writes to the host");
        })
        .await;
    for guest in &guests {
        let invited = device.request(RequestBody::Invite { room: bed.table, user: guest.id }).await;
        assert!(matches!(invited, Ok(ServerBody::Ack(_))), "{invited:?}");
    }
    device.leave().await;
}

/// The first hostile account fills a room with the largest messages, and invites the others to it.
async fn create_archive(bed: &mut TestBed, messages: usize) {
    let Some((first, others)) = bed.hostile.split_first() else { return };
    let mut device = connected(bed, first).await;
    let room = create(&mut device, "private", "the archive").await;
    for other in others {
        let invited = device.request(RequestBody::Invite { room, user: other.id }).await;
        assert!(matches!(invited, Ok(ServerBody::Ack(_))), "{invited:?}");
    }
    let mut version = 0;
    for number in 0..messages {
        let client_id = Some(format!("archive-{number}"));
        let content = "\u{1F375}".repeat(CHARS);
        let sent = device.request(RequestBody::Message { room, content, client_id, reply_to: None }).await;
        let Ok(ServerBody::Ack(stored)) = sent else { panic!("{sent:?}") };
        version = stored["version"].as_u64().unwrap();
    }
    device.leave().await;
    bed.archive = (room, version);
}

/// Rooms of each hostile account, for attacks on many rooms; all that one user may have for the first account.
async fn create_own_rooms(bed: &mut TestBed, number: usize) {
    for (index, user) in bed.hostile.clone().iter().enumerate() {
        let number = if index == 0 { number } else { number / 10 };
        let mut device = connected(bed, user).await;
        for room in 0..number {
            // The last ones may be refused, as every user has the other rooms too.
            let name = format!("{} {room}", user.name);
            let created = device.request(RequestBody::Create { kind: "private".to_owned(), name }).await;
            let Ok(ServerBody::Ack(entry)) = created else { break };
            bed.own_rooms[index].push(serde_json::from_value::<Entry>(entry).unwrap().id);
        }
        device.leave().await;
    }
}

/// Strangers write to the first hostile account, which has as many direct rooms then.
async fn write_to_first(bed: &TestBed, number: usize) {
    let Some(first) = bed.hostile.first() else { return };
    let http = Http::new(&bed.recorder, bed.address);
    let friends = users("friend", FIRST_FRIEND, number);
    stream::iter(&friends)
        .for_each_concurrent(PREPARING_AT_ONCE, |friend| async {
            http.request(friend, letter(friend, first.id)).await;
        })
        .await;
}

fn letter(from: &User, receiver: u64) -> RequestBody {
    let number = from.next_number();
    let content = format!("{number} of {}", from.name);
    RequestBody::Private { receiver, content, client_id: Some(format!("{}-{number}", from.name)) }
}

async fn connected(bed: &TestBed, user: &User) -> Device {
    let mut device = Device::new(&bed.recorder, bed.address, user, "first");
    device.connect(ConnectOptions::default()).await.unwrap();
    device.catch_up().await.unwrap();
    device
}

async fn create(device: &mut Device, kind: &str, name: &str) -> u64 {
    let created = device.request(RequestBody::Create { kind: kind.to_owned(), name: name.to_owned() }).await;
    let Ok(ServerBody::Ack(entry)) = created else { panic!("{created:?}") };
    serde_json::from_value::<Entry>(entry).unwrap().id
}
