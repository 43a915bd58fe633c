use std::sync::LazyLock;

use proptest::prelude::*;
use teahouse_core::{Role, RoomKind, Timestamp};

use super::super::HELD_ROOMS_MAX;
use super::*;

fn asked(kind: &str, data: &str) -> Result<Request, RequestError> {
    let envelope = read_envelope(&format!(r#"{{"type":"{kind}","id":"c-1","data":{data}}}"#));
    match envelope {
        Ok(RequestEnvelope { id, request }) => {
            assert_eq!(id.as_deref(), Some("c-1"));
            assert_eq!(request.kind(), kind);
            Ok(request)
        }
        Err(error) => Err(error),
    }
}

fn malformed(id: Option<&str>, field: Option<&str>) -> Result<RequestEnvelope, RequestError> {
    let fault = RequestFault::Malformed { field: field.map(str::to_owned) };
    Err(RequestError { id: id.map(str::to_owned), fault })
}

#[test]
fn every_request_is_read_with_all_its_fields() {
    let check = |kind: &str, data: &str, expect: Request| assert_eq!(asked(kind, data), Ok(expect), "{kind} {data}");
    let (room, user, message) = (RoomId(7), UserId(9), MessageId(81));
    check(
        "hello",
        r#"{"client":"js/1","epoch":"k3f","rooms":[{"room":1,"version":1042,"x":0},{"version":88,"room":7}]}"#,
        Request::Hello {
            client: Some("js/1".into()),
            epoch: Some("k3f".into()),
            rooms: vec![(RoomId(1), Version(1042)), (room, Version(88))],
        },
    );
    check(
        "message",
        r#"{"room":7,"content":" hi\n","client_id":"c","reply_to":81}"#,
        Request::Message { room, content: " hi\n".into(), client_id: "c".into(), reply_to: Some(message) },
    );
    check("edit", r#"{"message":81,"content":"ho"}"#, Request::Edit { message, content: "ho".into() });
    check("delete", r#"{"message":81}"#, Request::Delete { message });
    check(
        "react",
        r#"{"message":81,"emoji":"\ud83d\udc4d","on":true}"#,
        Request::React { message, emoji: "👍".into(), on: true },
    );
    check("read", r#"{"room":7,"seq":40}"#, Request::Read { room, seq: Seq(40) });
    check(
        "history",
        r#"{"room":7,"before":1,"after":2,"around":3,"limit":4}"#,
        Request::History { room, before: Some(Seq(1)), after: Some(Seq(2)), around: Some(Seq(3)), limit: Some(4) },
    );
    check("sync", r#"{"room":7,"since":57}"#, Request::Sync { room, since: Version(57) });
    check("presence", r#"{"room":7,"on":true}"#, Request::Presence { room, on: true });
    check("typing", r#"{"room":7,"on":false}"#, Request::Typing { room, on: false });
    check("rooms", r#"{"query":"tea","after":7}"#, Request::Rooms { query: Some("tea".into()), after: Some(room) });
    let position = DirectsPosition { request: true, time: Timestamp(1_790_000_000_000), room };
    check("directs", r#"{"after":"1-1790000000000-7"}"#, Request::Directs { after: Some(position) });
    check(
        "create",
        r#"{"kind":"private","name":"tea","title":"Tea"}"#,
        Request::Create { kind: RoomKind::Private, name: Some("tea".into()), title: Some("Tea".into()) },
    );
    check(
        "update",
        r#"{"room":7,"name":"tea","title":""}"#,
        Request::Update { room, name: Some("tea".into()), title: Some(String::new()) },
    );
    check("join", r#"{"room":7}"#, Request::Join { room });
    check("leave", r#"{"room":7}"#, Request::Leave { room });
    check("invite", r#"{"room":7,"user":9}"#, Request::Invite { room, user });
    check("accept", r#"{"room":7}"#, Request::Accept { room });
    check("decline", r#"{"room":7}"#, Request::Decline { room });
    check("remove", r#"{"room":7,"user":9}"#, Request::Remove { room, user });
    check("role", r#"{"room":7,"user":9,"role":"moderator"}"#, Request::Role { room, user, role: Role::Moderator });
    check("open", r#"{"user":9}"#, Request::Open { user });
    check("members", r#"{"room":7,"after":9}"#, Request::Members { room, after: Some(user) });
    check("users", r#"{"query":"a","after":9}"#, Request::Users { query: Some("a".into()), after: Some(user) });
    check("auth", r#"{"token":"a.b.c"}"#, Request::Auth { token: "a.b.c".into() });
    check("heartbeat", "{}", Request::Heartbeat {});
}

/// A request's fields, by name, each with a value that it may have.
type Fields = Vec<(String, String)>;

/// Every request's required fields and its optional ones, from its schema.
static FIELDS: LazyLock<Vec<(&str, Fields, Fields)>> = LazyLock::new(|| {
    let mut generator = SchemaGenerator::default();
    let mut fields_of = |kind: &RequestKind| {
        let schema = kind.data_schema(&mut generator).to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        // The reader of a request accepts a room without a name, which creating it refuses.
        let is_required =
            |name: &str| required.contains(&name.into()) && (kind, name) != (&RequestKind::Create, "name");
        let properties = schema["properties"].as_object().into_iter().flatten();
        let fields = properties.map(|(name, schema)| (name.clone(), example(schema)));
        let (required, optional) = fields.partition(|(name, _)| is_required(name));
        (kind.as_str(), required, optional)
    };
    RequestKind::ALL.iter().map(&mut fields_of).collect()
});

fn example(schema: &serde_json::Value) -> String {
    let text = match schema["$ref"].as_str() {
        Some(reference) if reference.ends_with("RoomKind") => r#""public""#,
        Some(_) => r#""owner""#,
        None if schema["pattern"] == EMOJI => r#""👍""#,
        None => match schema["type"].as_str() {
            Some("integer") => "7",
            Some("boolean") => "true",
            Some("string") => r#""hi""#,
            _ => "null",
        },
    };
    text.to_owned()
}

fn object<'a>(fields: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn required_and_optional_fields_come_from_the_schema() {
    let kinds: Vec<&str> = FIELDS.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, REQUEST_TYPES);
    let of = |kind: &str| FIELDS.iter().find(|(other, ..)| *other == kind).unwrap();
    let names = |fields: &Fields| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    for (kind, required, optional) in [
        ("hello", &[][..], &["client", "epoch", "rooms"][..]),
        ("message", &["client_id", "content", "room"], &["reply_to"]),
        ("react", &["emoji", "message", "on"], &[]),
        ("history", &["room"], &["after", "around", "before", "limit"]),
        ("create", &["kind"], &["name", "title"]),
        ("update", &["room"], &["name", "title"]),
        ("heartbeat", &[], &[]),
    ] {
        let (_, must, may) = of(kind);
        assert_eq!(
            (names(must).as_slice(), names(may).as_slice()),
            (
                required.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>().as_slice(),
                optional.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>().as_slice()
            ),
            "{kind}"
        );
    }
}

#[test]
fn optional_fields_may_be_null_and_unknown_fields_are_ignored() {
    for (kind, required, optional) in FIELDS.iter() {
        let expect = asked(kind, &object(required)).unwrap();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut more: Fields = optional.iter().map(|(name, _)| field(name, "null")).collect();
        more.extend([field("later", "[{}]"), field("id", "9007199254740993")]);
        assert_eq!(asked(kind, &object(more.iter().chain(required))), Ok(expect), "{kind}");
    }
    assert_eq!(asked("hello", "{}"), Ok(Request::Hello { client: None, epoch: None, rooms: Vec::new() }));
}

#[test]
fn an_error_names_a_missing_wrong_or_duplicate_field() {
    let names = |kind: &str, data: &str, field: &str| {
        let fault = RequestFault::Malformed { field: Some(field.to_owned()) };
        let expect = Err(RequestError { id: Some("c-1".to_owned()), fault });
        assert_eq!(asked(kind, data), expect, "{kind} {data}");
    };
    for (kind, required, _) in FIELDS.iter() {
        for (at, (name, value)) in required.iter().enumerate() {
            let others = || required[..at].iter().chain(&required[at + 1..]);
            names(kind, &object(others()), name);
            for wrong in ["null", "[]", "{}", "-1", "1.5", r#""\ud800""#, "1e400", "9007199254740992"] {
                names(kind, &object(others().chain([&(name.clone(), wrong.to_owned())])), name);
            }
            names(kind, &object(required.iter().chain([&(name.clone(), value.clone())])), name);
        }
    }
    for (kind, field, wrong) in [
        ("hello", "client", "7"),
        ("hello", "epoch", "[]"),
        ("hello", "rooms", "{}"),
        ("hello", "rooms", "7"),
        ("history", "limit", "-1"),
        ("history", "limit", r#""50""#),
        ("history", "before", r#""1""#),
        ("history", "after", "9007199254740992"),
        ("history", "around", "true"),
        ("rooms", "query", "7"),
        ("rooms", "after", "1.5"),
        ("create", "name", "7"),
        ("create", "title", "{}"),
        ("users", "after", "18446744073709551616"),
    ] {
        let (_, required, _) = FIELDS.iter().find(|(name, ..)| *name == kind).unwrap();
        names(kind, &object(required.iter().chain([&(field.to_owned(), wrong.to_owned())])), field);
    }
    names("create", r#"{"kind":"secret"}"#, "kind");
    names("role", r#"{"room":7,"user":9,"role":"admin"}"#, "role");
    names("message", r#"{"room":7,"content":"hi","client_id":"c","reply_to":"81"}"#, "reply_to");
    names("message", "[]", "data");
    names("heartbeat", "7", "data");
    names("heartbeat", r#""{}""#, "data");
}

#[test]
fn numbers_are_those_that_javascript_reads_exactly() {
    let check = |number: &str, expect: Option<u64>| {
        let request = asked("join", &format!(r#"{{"room":{number}}}"#)).ok();
        assert_eq!(request, expect.map(|number| Request::Join { room: RoomId(number) }), "{number}");
    };
    check("0", Some(0));
    check("9007199254740991", Some(9_007_199_254_740_991));
    check("9007199254740992", None);
    check("9007199254740993", None);
    check("18446744073709551615", None);
    check("18446744073709551616", None);
    // JSON has one number type: however a whole number is written, it is that number.
    check("1e3", Some(1000));
    check("-0", Some(0));
    check("30591789.0", Some(30_591_789));
    check("9007199254740992.0", None);
    check("1.5", None);
}

#[test]
fn hello_has_each_room_once_and_a_bounded_number_of_rooms() {
    let hello = |rooms: &str| match asked("hello", &format!(r#"{{"rooms":[{rooms}]}}"#)) {
        Ok(Request::Hello { rooms, .. }) => Ok(rooms),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.fault),
    };
    let held = |(room, version): (u64, u64)| format!(r#"{{"room":{room},"version":{version}}}"#);
    let many = |count: usize| (1..=count as u64).map(|room| held((room, 5))).collect::<Vec<_>>().join(",");
    let wrong = |field: &str| Err(RequestFault::Malformed { field: Some(field.to_owned()) });

    let twice = [held((7, 88)), held((1, 3)), held((7, 90))].join(",");
    assert_eq!(hello(&twice), Ok(vec![(RoomId(7), Version(88)), (RoomId(1), Version(3))]));
    assert_eq!(hello("").map(|rooms| rooms.len()), Ok(0));
    assert_eq!(hello(&many(HELD_ROOMS_MAX)).map(|rooms| rooms.len()), Ok(HELD_ROOMS_MAX));
    assert_eq!(hello(&many(HELD_ROOMS_MAX + 1)), wrong("rooms"));
    assert_eq!(hello("[1,5]"), wrong("rooms[0]"), "an array is no object");
    // A room counts once, however often the request names it.
    assert_eq!(hello(&[many(HELD_ROOMS_MAX), many(3)].join(",")).map(|rooms| rooms.len()), Ok(HELD_ROOMS_MAX));
    assert_eq!(hello(r#"{"room":1}"#), wrong("rooms[0]"));
    assert_eq!(hello(&format!("{},7", held((1, 3)))), wrong("rooms[1]"));
    assert_eq!(hello(r#"{"room":1,"version":-1}"#), wrong("rooms[0].version"));
    assert_eq!(hello("null"), wrong("rooms[0]"));
}

#[test]
fn an_envelope_is_an_object_with_a_type_and_an_optional_id() {
    let check = |text: &str, expect| assert_eq!(read_envelope(text), expect, "{text:.80}");
    let beat = |id: Option<&str>| Ok(RequestEnvelope { id: id.map(str::to_owned), request: Request::Heartbeat {} });
    let unknown = |id: Option<&str>| Err(RequestError { id: id.map(str::to_owned), fault: RequestFault::UnknownType });
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));

    check(r#"{"type":"heartbeat"}"#, beat(None));
    check(" {\t\"type\" : \"heartbeat\" } \r", beat(None));
    check(r#"{"type":"heartbeat","data":null,"id":null}"#, beat(None));
    check(r#"{"type":"heart\u0062eat","id":""}"#, beat(Some("")));
    check(r#"{"data":{},"later":[1],"id":"c-17","type":"heartbeat"}"#, beat(Some("c-17")));
    check(&format!(r#"{{"type":"heartbeat","id":"{}"}}"#, "茶".repeat(64)), beat(Some(&"茶".repeat(64))));
    // The reader skips unknown fields without descending into them, so that they may be of any depth.
    check(&format!(r#"{{"type":"heartbeat","later":{}}}"#, deep(10_000)), beat(None));
    check(&format!(r#"{{"type":"heartbeat","id":"1","data":{{"later":{}}}}}"#, deep(10_000)), beat(Some("1")));

    // A wrong reference is to blame, whatever else is right. The error then has none.
    for id in ["7", "[]", "{}", "true", r#""\ud800""#, &format!(r#""{}""#, "a".repeat(65)), &deep(10_000)] {
        check(&format!(r#"{{"type":"heartbeat","id":{id}}}"#), malformed(None, Some("id")));
        check(&format!(r#"{{"type":"nonsense","id":{id}}}"#), malformed(None, Some("id")));
        check(&format!(r#"{{"type":7,"id":{id}}}"#), malformed(None, Some("type")));
    }
    check(r#"{"type":"heartbeat","id":"1","id":"2"}"#, malformed(None, Some("id")));

    check(r#"{"id":"1"}"#, malformed(Some("1"), Some("type")));
    check(r#"{"id":"1","type":null}"#, malformed(Some("1"), Some("type")));
    check(r#"{"id":"1","type":7,"data":{}}"#, malformed(Some("1"), Some("type")));
    check(r#"{"id":"1","type":"heartbeat","type":"hello"}"#, malformed(Some("1"), Some("type")));
    check(r#"{"id":"1","type":"heartbeat","data":{},"data":{}}"#, malformed(Some("1"), Some("data")));
    check(&format!(r#"{{"id":"1","type":{}}}"#, deep(10_000)), malformed(Some("1"), Some("type")));
    check(r#"{"type":"nonsense","id":"1","data":{}}"#, unknown(Some("1")));
    check(r#"{"type":"nonsense"}"#, unknown(None));
    check(r#"{"type":"","data":7}"#, unknown(None));
    // Types are case-sensitive.
    check(r#"{"type":"Message","id":"1"}"#, unknown(Some("1")));

    for broken in [
        "",
        " ",
        "{",
        "}",
        "7",
        "NaN",
        "null",
        "[]",
        r#"["heartbeat"]"#,
        r#""heartbeat""#,
        r#"{"type":"heartbeat"}x"#,
        r#"{"type":"heartbeat"}{"type":"heartbeat"}"#,
        r#"{"type":"heartbeat","data":NaN}"#,
        r#"{"type":"heartbeat",}"#,
        r#"{'type':'heartbeat'}"#,
        r#"{"id":"1","type":"message","data":{"content":"#,
        "{\"type\":\"heart\nbeat\"}",
        "\u{feff}{\"type\":\"heartbeat\"}",
        &deep(10_000),
        &format!(r#"{{"id":"1","later":{}"#, "[".repeat(10_000)),
    ] {
        check(broken, malformed(None, None));
    }
}

#[test]
fn history_begins_at_one_position() {
    let check = |before, after, around, expect| {
        assert_eq!(Request::history_from(before, after, around), expect, "{before:?} {after:?} {around:?}");
    };
    check(None, None, None, Some(HistoryFrom::Newest));
    check(Some(Seq(1)), None, None, Some(HistoryFrom::Before(Seq(1))));
    check(None, Some(Seq(0)), None, Some(HistoryFrom::After(Seq(0))));
    check(None, None, Some(Seq(2)), Some(HistoryFrom::Around(Seq(2))));
    check(Some(Seq(1)), Some(Seq(1)), None, None);
    check(None, Some(Seq(1)), Some(Seq(1)), None);
    check(Some(Seq(1)), None, Some(Seq(1)), None);
    check(Some(Seq(1)), Some(Seq(1)), Some(Seq(1)), None);
}

/// An error never repeats a text of any length from the request.
fn is_answerable(text: &str) {
    if let Err(RequestError { id, fault }) = read_envelope(text) {
        assert!(id.is_none_or(|id| !longer_than(&id, REQUEST_ID_CHARS_MAX)));
        if let RequestFault::Malformed { field: Some(field) } = fault {
            assert!(field.len() <= 30, "{field}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_request_or_a_typed_error(text in ".{0,200}") {
        is_answerable(&text);
    }

    #[test]
    fn any_json_as_data_is_a_request_or_a_typed_error(at in 0..REQUEST_TYPES.len(), data in json()) {
        is_answerable(&format!(r#"{{"type":"{}","id":"1","data":{data}}}"#, REQUEST_TYPES[at]));
    }

    #[test]
    fn any_envelope_with_a_few_bytes_changed_is_a_request_or_a_typed_error(
        at in 0..REQUEST_TYPES.len(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4),
    ) {
        let (kind, required, _) = &FIELDS[at];
        let mut text: Vec<char> =
            format!(r#"{{"type":"{kind}","id":"c-1","data":{}}}"#, object(required)).chars().collect();
        for (place, other) in places {
            let place = place.index(text.len());
            text[place] = other;
        }
        is_answerable(&text.into_iter().collect::<String>());
    }
}

/// JSON with fields of requests, and with others.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("JSON has no other", |value| value.is_finite()).prop_map(|value| value.to_string()),
        ".{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud800""#.to_owned()),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "room",
            "rooms",
            "version",
            "message",
            "content",
            "client_id",
            "user",
            "on",
            "limit"
        ])
        .prop_map(|name| format!("\"{name}\"")),
        ".{0,40}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud800""#.to_owned()),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| {
                let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}
