//! Every route under `/api/v1` and `/api/server`, and which request it is another spelling of.

/// One route.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    /// A name for it that no other has.
    pub id: &'static str,
    pub tag: &'static str,
    pub asks: Asks,
    pub answer: Answer,
    /// Whether it takes an `Idempotency-Key`.
    pub takes_key: bool,
    /// Whether it takes no token.
    pub is_open: bool,
}

/// What is asked.
#[derive(Clone, Copy)]
pub enum Asks {
    /// Nothing besides the path; this is what it is for.
    Nothing(&'static str),
    /// A request of the v1 dialect; some of its fields are implied by the method.
    Request { kind: &'static str, implied: &'static [&'static str] },
    /// These parameters, with what they are and their schemas.
    Query { summary: &'static str, parameters: &'static [(&'static str, &'static str, &'static str)] },
    /// A body: the name of its shape, or a schema.
    Body { summary: &'static str, shape: &'static str },
}

/// What is answered.
#[derive(Clone, Copy)]
pub enum Answer {
    /// 200 with this shape.
    Data(&'static str),
    /// 201 with this shape.
    Created(&'static str),
    /// 200, and that it is done.
    Done,
    /// The document itself.
    Document,
}

impl Route {
    /// The parameters in the path. Those of a request are called as its fields are.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

const fn route(method: &'static str, path: &'static str, id: &'static str, asks: Asks, answer: Answer) -> Route {
    Route { method, path, id, tag: "rooms", asks, answer, takes_key: false, is_open: false }
}

const fn request(kind: &'static str) -> Asks {
    Asks::Request { kind, implied: &[] }
}

const fn with(kind: &'static str, implied: &'static [&'static str]) -> Asks {
    Asks::Request { kind, implied }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    route("get", "/api/v1/rooms", "listRooms", Asks::Nothing("Every room that one is in."), Answer::Data("OwnRooms")),
    route("post", "/api/v1/rooms", "createRoom", request("create"), Answer::Created("Room")),
    route("get", "/api/v1/rooms/browse", "browseRooms", request("rooms"), Answer::Data("RoomCards")),
    route("get", "/api/v1/rooms/{room}", "room", Asks::Nothing("A room that one is in."), Answer::Data("Room")),
    route("patch", "/api/v1/rooms/{room}", "updateRoom", request("update"), Answer::Data("Room")),
    route("post", "/api/v1/rooms/{room}/join", "joinRoom", request("join"), Answer::Data("Room")),
    route("post", "/api/v1/rooms/{room}/leave", "leaveRoom", request("leave"), Answer::Data("Room")),
    route("get", "/api/v1/rooms/{room}/members", "members", request("members"), Answer::Data("Members")),
    route("put", "/api/v1/rooms/{room}/members/{user}", "invite", request("invite"), Answer::Data("Room")),
    route("delete", "/api/v1/rooms/{room}/members/{user}", "remove", request("remove"), Answer::Data("Room")),
    route("put", "/api/v1/rooms/{room}/members/{user}/role", "giveRole", request("role"), Answer::Data("Room")),
    Route {
        tag: "messages",
        ..route("get", "/api/v1/rooms/{room}/messages", "history", request("history"), Answer::Data("History"))
    },
    Route {
        tag: "messages",
        takes_key: true,
        ..route("post", "/api/v1/rooms/{room}/messages", "send", request("message"), Answer::Created("Stored"))
    },
    Route {
        tag: "messages",
        ..route("post", "/api/v1/rooms/{room}/read", "read", request("read"), Answer::Data("Marked"))
    },
    Route {
        tag: "messages",
        ..route("get", "/api/v1/rooms/{room}/changes", "changes", request("sync"), Answer::Data("Changes"))
    },
    Route {
        tag: "people",
        ..route(
            "get",
            "/api/v1/rooms/{room}/presence",
            "presence",
            with("presence", &["on"]),
            Answer::Data("PresenceNow"),
        )
    },
    Route {
        tag: "messages",
        ..route("patch", "/api/v1/messages/{message}", "edit", request("edit"), Answer::Data("Changed"))
    },
    Route {
        tag: "messages",
        ..route("delete", "/api/v1/messages/{message}", "delete", request("delete"), Answer::Data("Changed"))
    },
    Route {
        tag: "messages",
        ..route(
            "put",
            "/api/v1/messages/{message}/reactions/{emoji}",
            "react",
            with("react", &["on"]),
            Answer::Data("Changed"),
        )
    },
    Route {
        tag: "messages",
        ..route(
            "delete",
            "/api/v1/messages/{message}/reactions/{emoji}",
            "unreact",
            with("react", &["on"]),
            Answer::Data("Changed"),
        )
    },
    Route { tag: "people", ..route("get", "/api/v1/users", "users", request("users"), Answer::Data("Users")) },
    Route {
        tag: "people",
        ..route("post", "/api/v1/users/{user}/direct", "openDirect", request("open"), Answer::Data("Room"))
    },
    Route {
        tag: "about",
        is_open: true,
        ..route("get", "/api/v1/openapi.json", "openapi", Asks::Nothing("This document."), Answer::Document)
    },
    server(
        "post",
        "/api/server/publish",
        "publish",
        Asks::Body {
            summary: "Delivers an envelope of the site's own once, to who is connected; it is not stored.",
            shape: "Publication",
        },
        Answer::Done,
    ),
    Route {
        takes_key: true,
        ..server(
            "post",
            "/api/server/rooms/{id}/messages",
            "post",
            Asks::Body { summary: "Says something in a room, as a user or as the site itself.", shape: "Post" },
            Answer::Created("Posted"),
        )
    },
    server(
        "post",
        "/api/server/users",
        "putUsers",
        Asks::Body {
            summary: "Makes or updates users of a site that keeps the accounts itself; all of them or none.",
            shape: r##"{"anyOf":[{"$ref":"#/components/schemas/SiteUser"},{"type":"array","items":{"$ref":"#/components/schemas/SiteUser"}}]}"##,
        },
        Answer::Data("SiteUsers"),
    ),
    server(
        "post",
        "/api/server/disconnect",
        "disconnect",
        Asks::Body { summary: "Ends every session that a user has now.", shape: "Disconnect" },
        Answer::Done,
    ),
    server(
        "get",
        "/api/server/presence",
        "whoIsOnline",
        Asks::Query {
            summary: "Who of these users is online.",
            parameters: &[("user_ids", "Their ids, with commas between.", r#"{"type":"string"}"#)],
        },
        Answer::Data("OnlineNow"),
    ),
];

const fn server(method: &'static str, path: &'static str, id: &'static str, asks: Asks, answer: Answer) -> Route {
    Route { tag: "server", ..route(method, path, id, asks, answer) }
}
