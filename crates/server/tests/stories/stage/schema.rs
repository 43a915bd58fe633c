//! What may stand in an envelope of the v1 dialect: its fields, all of them and no others. So that nothing is
//! told by mistake, whatever comes to a device is held to this.

use serde_json::Value;

/// The names of fields; those with a `?` may be absent.
type Fields = &'static [&'static str];

const PERSON: Fields = &["id", "username", "nickname", "avatar"];
const MESSAGE: Fields = &[
    "id",
    "room",
    "seq",
    "version",
    "client_id",
    "sender",
    "content",
    "kind",
    "reply_to",
    "mentions",
    "reactions",
    "edited_at",
    "deleted",
    "send_time",
    "change?",
];
const ENTRY: Fields = &[
    "id",
    "kind",
    "name",
    "title",
    "version",
    "last_seq",
    "read_seq",
    "unread",
    "members",
    "role",
    "muted",
    "peer?",
    "last_message?",
    "reads?",
];
const LIMITS: Fields = &[
    "content_chars_max",
    "frame_bytes_max",
    "sends_per_second",
    "sends_burst",
    "envelopes_per_second",
    "envelopes_burst",
    "history_messages_max",
];

/// The envelopes that the server sends of its own, with the fields of their `data`.
const EVENTS: &[(&str, Fields)] = &[
    (
        "welcome",
        &["session", "epoch", "user", "time", "heartbeat_ms", "token_expires_in_ms", "limits", "online", "rooms"],
    ),
    ("catch_up", &["room", "from", "reset"]),
    ("caught_up", &["room", "version", "my_reactions"]),
    ("message", MESSAGE),
    ("read", &["room", "user", "seq"]),
    ("typing", &["room", "users"]),
    ("presence", &["room", "online", "offline", "refresh?", "count?"]),
    ("online_count", &["count"]),
    ("removed", &["room"]),
    ("user", PERSON),
    ("system", &["code", "message"]),
    ("error", &["code", "message", "field?", "retry_after_ms?"]),
    ("goodbye", &["code", "reason", "reconnect", "retry_ms"]),
];

/// What each request is answered with.
const ANSWERS: &[(&str, Fields)] = &[
    ("message", &["id", "seq", "version", "send_time", "duplicate?"]),
    ("edit", &["version"]),
    ("delete", &["version"]),
    ("react", &["version"]),
    ("read", &["read_seq", "unread"]),
    ("history", &["messages", "has_more_before", "has_more_after", "my_reactions"]),
    ("sync", &["version?"]),
    ("presence", &["online?", "count?", "truncated?"]),
    ("typing", &[]),
    ("rooms", &["rooms", "next"]),
    ("members", &["members", "next"]),
    ("users", &["users", "next"]),
    ("auth", &["expires_in_ms"]),
    ("heartbeat", &["time"]),
];

/// Whether this is one of the types that the server sends of its own.
pub fn is_known(kind: &str) -> bool {
    matches!(kind, "ack" | "room") || EVENTS.iter().any(|(known, _)| *known == kind)
}

/// An envelope is what PROTOCOL.md says, and tells nobody an address; `asked` is the type of the request that an
/// `ack` answers.
pub fn check(text: &str, envelope: &Value, asked: Option<&str>) {
    only(envelope, &["type", "id?", "data"], text);
    let (kind, data) = (envelope["type"].as_str().unwrap(), &envelope["data"]);
    assert!(data.is_object(), "data is an object: {text}");
    assert!(envelope.get("id").is_none() || ["ack", "error", "welcome"].contains(&kind), "an event with an id: {text}");
    assert!(!speaks_of_an_address(text), "an address is told: {text}");
    assert!(!text.contains("@example.org"), "an e-mail address is told: {text}");
    match kind {
        "ack" => answer(asked.unwrap_or("heartbeat"), data, text),
        "room" => entry(data, text),
        kind => {
            let fields = EVENTS.iter().find(|(known, _)| *known == kind);
            if let Some((_, fields)) = fields {
                only(data, fields, text);
            }
        }
    }
    match kind {
        "message" => message(data, text),
        "welcome" => {
            only(&data["user"], &["id", "username", "nickname", "avatar", "role"], text);
            only(&data["limits"], LIMITS, text);
            only(&data["online"], &["count"], text);
            is_time(&data["time"], text);
            data["rooms"].as_array().unwrap().iter().for_each(|room| entry(room, text));
        }
        _ => {}
    }
}

fn answer(asked: &str, data: &Value, text: &str) {
    match ANSWERS.iter().find(|(kind, _)| *kind == asked) {
        Some((_, fields)) => only(data, fields, text),
        // All others are answered with a room's entry.
        None => entry(data, text),
    }
    let each = |list: &str, check: &dyn Fn(&Value)| data[list].as_array().unwrap().iter().for_each(check);
    match asked {
        "history" => each("messages", &|one| {
            message(one, text);
            assert!(one.get("change").is_none(), "what just happened stands only in live envelopes: {text}");
        }),
        "rooms" => each("rooms", &|one| only(one, &["id", "name", "title", "members"], text)),
        "members" => each("members", &|one| only(one, &["id", "username", "nickname", "avatar", "role"], text)),
        "users" => each("users", &|one| only(one, PERSON, text)),
        "message" => is_time(&data["send_time"], text),
        "heartbeat" => is_time(&data["time"], text),
        _ => {}
    }
}

/// A room's entry, as everywhere.
pub fn entry(data: &Value, text: &str) {
    only(data, ENTRY, text);
    assert_eq!(data["kind"] == "direct", data.get("peer").is_some(), "{text}");
    assert_eq!(data["kind"] == "direct", data["name"].is_null(), "{text}");
    if let Some(peer) = data.get("peer") {
        only(peer, &["id", "username", "nickname", "avatar", "online", "read_seq"], text);
    }
    if let Some(last) = data.get("last_message") {
        message(last, text);
        assert!(last.get("change").is_none() && last["deleted"] == false, "{text}");
    }
}

/// A message, as everywhere.
pub fn message(data: &Value, text: &str) {
    only(data, MESSAGE, text);
    only(&data["sender"], PERSON, text);
    is_time(&data["send_time"], text);
    if !data["edited_at"].is_null() {
        is_time(&data["edited_at"], text);
    }
    assert!(["text", "system"].contains(&data["kind"].as_str().unwrap()), "{text}");
    if data["deleted"] == true {
        assert_eq!(data["content"], "", "a deleted message keeps its place with empty content");
    }
    for (emoji, count) in data["reactions"].as_object().unwrap() {
        assert!(count.as_u64().unwrap() > 0, "{emoji} of nobody: {text}");
    }
    if let Some(change) = data.get("change") {
        let fields: Fields = match change["kind"].as_str().unwrap() {
            "new" => &["kind"],
            "edit" | "delete" => &["kind", "user"],
            "react" => &["kind", "user", "emoji", "on"],
            other => panic!("a change of the kind {other}"),
        };
        only(change, fields, text);
    }
}

/// RFC 3339, in UTC, with milliseconds.
fn is_time(time: &Value, text: &str) {
    let time = time.as_str().unwrap_or_else(|| panic!("{time} in {text}"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
}

#[track_caller]
fn only(object: &Value, fields: Fields, text: &str) {
    let object = object.as_object().unwrap_or_else(|| panic!("{object} is no object in {text}"));
    for field in fields {
        let (name, required) = field.strip_suffix('?').map_or((*field, true), |name| (name, false));
        assert!(!required || object.contains_key(name), "{name} is missing in {text}");
    }
    for name in object.keys() {
        assert!(fields.iter().any(|field| field.trim_end_matches('?') == name), "{name} does not belong into {text}");
    }
}

/// Whether a text has something in it that looks like an address of the internet protocol.
pub fn speaks_of_an_address(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    text.split(|c: char| !is_part(c)).any(|word| word.len() > 2 && word.parse::<std::net::IpAddr>().is_ok())
}
