//! The table of [`super`]: one entry a route. A new v1 request needs an entry below `requests`, and no handler.

use teahouse_core::limits::PRESENCE_USERS_MAX;

use super::Tag::{About, Accounts, Chat, Conversations, Messages, People, Rooms, Server};
use super::{Auth, Handler, Input, Method, Output, QueryParameter, RateClass, Route, schema_of};
use crate::classic::http as classic;
use crate::http::{Done, HealthBody, LivenessBody};
use crate::number::{Count, Number};
use crate::schema;
use crate::server_api::{self, OnlineNow, PostedBody, SiteUsers};
use crate::v1::{
    Cards, Changed, Changes, Directs, History, Marked, Members, Nothing, OwnRooms, PresenceNow, RequestKind, RoomBody,
    Stored, Users,
};

macro_rules! routes {
    (endpoints { $( $Endpoint:ident = $endpoint:expr; )+ } requests { $( $Request:ident = $request:expr; )+ }) => {
        /// The routes with handlers of their own.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[allow(missing_docs, reason = "each is an entry of the table")]
        pub enum Endpoint { $( $Endpoint, )+ }

        /// Every route.
        pub static ROUTES: &[Route] = &[
            $( Route { name: stringify!($Endpoint), handler: Handler::Endpoint(Endpoint::$Endpoint), ..$endpoint }, )+
            $( Route { name: stringify!($Request), ..$request }, )+
        ];
    };
}

routes! {
    endpoints {
        // ── Connecting ──
        Connect = Route {
            auth: Auth::Handshake, rate: RateClass::Connects, tag: Chat, errors: &[400, 403, 426],
            output: Output::Upgrade,
            ..get("/api/chat/ws", "Opens a WebSocket. Without an upgrade, 426 means that one would open.")
        };

        // ── The classic routes ──
        Register = Route {
            auth: Auth::None, rate: RateClass::Address, tag: Accounts, errors: &[403, 409],
            input: body::<classic::RegisterBody>(), output: created::<classic::LoggedIn<'static>>(),
            ..post("/api/auth/register", "Creates an account and logs in.")
        };
        LogIn = Route {
            auth: Auth::None, rate: RateClass::Address, tag: Accounts, errors: &[401],
            input: body::<classic::LoginBody>(), output: ok::<classic::LoggedIn<'static>>(),
            ..post("/api/auth/login", "Logs in, and sets the refresh cookie.")
        };
        RefreshToken = Route {
            auth: Auth::Cookie, rate: RateClass::Address, tag: Accounts, output: ok::<classic::Refreshed<'static>>(),
            ..post("/api/auth/refresh", "Exchanges the refresh cookie for a token and a new cookie.")
        };
        LogOut = Route {
            auth: Auth::BearerOrCookie, rate: RateClass::Unlimited, tag: Accounts, output: ok::<Done>(),
            ..post("/api/auth/logout", "Revokes the token and the cookie, and closes the sessions of both.")
        };
        GetOwnAccount = Route {
            tag: Accounts, output: ok::<classic::OwnAccount<'static>>(),
            ..get("/api/auth/me", "The caller's account.")
        };
        UpdateOwnAccount = Route {
            rate: RateClass::Sends, tag: Accounts, input: body::<classic::ProfileBody>(),
            output: ok::<classic::OwnAccount<'static>>(),
            ..put("/api/auth/me", "Changes the caller's profile.")
        };
        ChangePassword = Route {
            tag: Accounts, input: body::<classic::ChangePasswordBody>(), output: ok::<Done>(),
            ..post("/api/auth/change-password", "Changes the caller's password, and revokes all other tokens.")
        };
        GetUser = Route {
            tag: Accounts, output: ok::<classic::PublicUser<'static>>(),
            ..get("/api/user/{id}", "A user's public profile.")
        };
        SendLobbyMessage = Route {
            rate: RateClass::Sends, takes_idempotency_key: true, tag: Chat, errors: &[403],
            input: body::<classic::SendBody>(), output: ok::<classic::Sent>(),
            ..post("/api/chat/send", "Sends a message to the lobby.")
        };
        ReadLobby = Route {
            tag: Chat, input: Input::Query(&[LIMIT, BEFORE_ID]), output: ok::<classic::ChatPage<'static>>(),
            ..get("/api/chat/messages", "A page of the lobby, from the newest message or from `before_id` backward.")
        };
        ReadLobbyForward = Route {
            tag: Chat, input: Input::Query(&[AFTER_ID, LIMIT]), output: ok::<classic::ChatPage<'static>>(),
            ..get("/api/chat/messages/new", "A page of the lobby, from `after_id` forward.")
        };
        DeleteLobbyMessage = Route {
            tag: Chat, errors: &[403], output: ok::<()>(),
            ..delete("/api/chat/messages/{id}", "Deletes a lobby message: the caller's own, or as a moderator.")
        };
        CountOnline = Route {
            tag: Chat, output: ok::<classic::OnlineCount>(),
            ..get("/api/chat/online-count", "The number of users online.")
        };
        ListOnline = Route {
            tag: Chat, output: ok::<classic::OnlineUsers<'static>>(),
            ..get("/api/chat/online-users", "The users online.")
        };
        ListConversations = Route {
            tag: Conversations, output: ok::<classic::Conversations<'static>>(),
            ..get("/api/conversations", "The caller's conversations, the newest first.")
        };
        CountUnread = Route {
            tag: Conversations, output: ok::<classic::UnreadCount>(),
            ..get("/api/conversations/unread-count", "The number of unread messages in all conversations.")
        };
        StartConversation = Route {
            tag: Conversations, errors: &[422], output: ok::<classic::Started>(),
            ..post("/api/conversations/start/{userId}", "Opens or creates the conversation with a user.")
        };
        ReadConversation = Route {
            tag: Conversations, errors: &[403], input: Input::Query(&[LIMIT, BEFORE_ID]),
            output: ok::<classic::ConversationPage<'static>>(),
            ..get("/api/conversations/{id}/messages", "A page of a conversation, which the caller has read by it.")
        };
        ReadWholeConversation = Route {
            tag: Conversations, errors: &[403], output: ok::<()>(),
            ..post("/api/conversations/{id}/mark-read", "Marks a conversation as read.")
        };
        SendPrivateMessage = Route {
            rate: RateClass::Sends, takes_idempotency_key: true, tag: Conversations, errors: &[403, 404],
            input: body::<classic::PrivateBody>(), output: created::<classic::PrivateSent>(),
            ..post("/api/messages/send", "Sends a message to a user.")
        };
        Health = Route {
            auth: Auth::None, rate: RateClass::Unlimited, tag: About, output: Output::Health(schema_of::<HealthBody>()),
            ..get("/health", "Whether each part of the server works. A server that shuts down is healthy.")
        };
        Live = Route {
            auth: Auth::None, rate: RateClass::Unlimited, tag: About, output: Output::Live(schema_of::<LivenessBody>()),
            ..get("/live", "Whether the process responds.")
        };
        Ready = Route {
            auth: Auth::None, rate: RateClass::Unlimited, tag: About, output: Output::Health(schema_of::<HealthBody>()),
            ..get("/ready", "Whether the server should get traffic.")
        };
        Metrics = Route {
            auth: Auth::None, rate: RateClass::Unlimited, tag: About, output: Output::Metrics,
            ..get("/metrics", "Metrics, on the listener of `metrics.listen`.")
        };

        // ── /api/v1 ──
        OpenApi = Route {
            auth: Auth::None, rate: RateClass::Unlimited, tag: About, output: Output::Document,
            ..get("/api/v1/openapi.json", "This document.")
        };
        ListRooms = Route {
            output: ok::<OwnRooms<'static>>(),
            ..get("/api/v1/rooms", "The rooms of the caller; of the direct ones the 200 with the newest messages.")
        };
        GetRoom = Route { output: ok::<RoomBody<'static>>(), ..get("/api/v1/rooms/{room}", "A room of the caller.") };

        // ── The server API ──
        Publish = Route {
            input: body::<server_api::PublishBody>(), output: ok::<Done>(), errors: &[404],
            ..server(post("/api/server/publish", "Delivers an event of the site to connected users. It is not stored."))
        };
        PostAsSite = Route {
            takes_idempotency_key: true, errors: &[403],
            input: body::<server_api::PostBody>(), output: created::<PostedBody>(),
            ..server(post("/api/server/rooms/{id}/messages", "Sends a message to a room, as a user or as the site."))
        };
        PutSiteUsers = Route {
            input: body::<server_api::UserBodies>(), output: ok::<SiteUsers<'static>>(), errors: &[403],
            ..server(post("/api/server/users", "Creates or updates users of a site with its own tokens: all or none."))
        };
        DisconnectUser = Route {
            input: body::<server_api::DisconnectBody>(), output: ok::<Done>(), errors: &[404],
            ..server(post("/api/server/disconnect", "Ends every session of a user."))
        };
        ListPresence = Route {
            input: Input::Query(&[USER_IDS]), output: ok::<OnlineNow>(),
            ..server(get("/api/server/presence", "Which of these users are online."))
        };
    }

    // Their handler is the dispatcher of v1 requests.
    requests {
        CreateRoom = Route {
            errors: &[403, 409], output: created::<RoomBody<'static>>(),
            ..request(RequestKind::Create, post("/api/v1/rooms", ""))
        };
        BrowseRooms = Route {
            errors: &[422], output: ok::<Cards<'static>>(),
            ..request(RequestKind::Rooms, get("/api/v1/rooms/browse", ""))
        };
        ListDirects = Route {
            output: ok::<Directs<'static>>(), ..request(RequestKind::Directs, get("/api/v1/directs", ""))
        };
        UpdateRoom = Route {
            rate: RateClass::Sends, errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Update, patch("/api/v1/rooms/{room}", ""))
        };
        JoinRoom = Route {
            errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Join, post("/api/v1/rooms/{room}/join", ""))
        };
        LeaveRoom = Route {
            errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Leave, post("/api/v1/rooms/{room}/leave", ""))
        };
        ListMembers = Route {
            errors: &[403], output: ok::<Members<'static>>(),
            ..request(RequestKind::Members, get("/api/v1/rooms/{room}/members", ""))
        };
        InviteMember = Route {
            errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Invite, put("/api/v1/rooms/{room}/members/{user}", ""))
        };
        AcceptRequest = Route {
            errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Accept, post("/api/v1/rooms/{room}/accept", ""))
        };
        DeclineRequest = Route {
            errors: &[403], output: ok::<Nothing>(),
            ..request(RequestKind::Decline, post("/api/v1/rooms/{room}/decline", ""))
        };
        RemoveMember = Route {
            errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Remove, delete("/api/v1/rooms/{room}/members/{user}", ""))
        };
        SetRole = Route {
            errors: &[403, 409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Role, put("/api/v1/rooms/{room}/members/{user}/role", ""))
        };
        ReadHistory = Route {
            tag: Messages, errors: &[403], output: ok::<History<'static>>(),
            ..request(RequestKind::History, get("/api/v1/rooms/{room}/messages", ""))
        };
        SendMessage = Route {
            rate: RateClass::Sends, takes_idempotency_key: true, tag: Messages, errors: &[403],
            output: created::<Stored>(),
            ..request(RequestKind::Message, post("/api/v1/rooms/{room}/messages", ""))
        };
        MarkRead = Route {
            tag: Messages, errors: &[403], output: ok::<Marked>(),
            ..request(RequestKind::Read, post("/api/v1/rooms/{room}/read", ""))
        };
        ReadChanges = Route {
            tag: Messages, output: ok::<Changes<'static>>(),
            ..request(RequestKind::Sync, get("/api/v1/rooms/{room}/changes", ""))
        };
        GetPresence = Route {
            tag: People, output: ok::<PresenceNow>(),
            ..request_with(RequestKind::Presence, true, get("/api/v1/rooms/{room}/presence", ""))
        };
        EditMessage = Route {
            rate: RateClass::Sends, tag: Messages, errors: &[403], output: ok::<Changed>(),
            ..request(RequestKind::Edit, patch("/api/v1/messages/{message}", ""))
        };
        DeleteMessage = Route {
            tag: Messages, errors: &[403], output: ok::<Changed>(),
            ..request(RequestKind::Delete, delete("/api/v1/messages/{message}", ""))
        };
        AddReaction = Route {
            tag: Messages, errors: &[403, 409], output: ok::<Changed>(),
            ..request_with(RequestKind::React, true, put("/api/v1/messages/{message}/reactions/{emoji}", ""))
        };
        RemoveReaction = Route {
            tag: Messages, errors: &[403], output: ok::<Changed>(),
            ..request_with(RequestKind::React, false, delete("/api/v1/messages/{message}/reactions/{emoji}", ""))
        };
        SearchUsers = Route {
            tag: People, errors: &[422], output: ok::<Users<'static>>(),
            ..request(RequestKind::Users, get("/api/v1/users", ""))
        };
        OpenDirectRoom = Route {
            errors: &[409], output: ok::<RoomBody<'static>>(),
            ..request(RequestKind::Open, post("/api/v1/users/{user}/direct", ""))
        };
    }
}

// ── What entries have in common ──

const LIMIT: QueryParameter = QueryParameter {
    name: "limit",
    description: "The size of the page; 50 when absent, and more than 100 is 100.",
    schema: |generator| {
        let mut limit = generator.subschema_for::<Count>();
        limit.insert("minimum".to_owned(), 1.into());
        limit
    },
    required: false,
};

const BEFORE_ID: QueryParameter = QueryParameter {
    name: "before_id",
    description: "The oldest message that the caller has; 0 means absent.",
    schema: schema_of::<Number>(),
    required: false,
};

const AFTER_ID: QueryParameter = QueryParameter {
    name: "after_id",
    description: "The newest message that the caller has; 0 means absent.",
    schema: schema_of::<Number>(),
    required: false,
};

const USER_IDS: QueryParameter = QueryParameter {
    name: "user_ids",
    description: "Their ids, separated by commas.",
    schema: |_| schema::numbers(PRESENCE_USERS_MAX),
    required: true,
};

/// A route for users that counts as a read.
const fn get(path: &'static str, summary: &'static str) -> Route {
    Route {
        name: "",
        handler: Handler::Request,
        method: Method::Get,
        path,
        tag: Rooms,
        summary,
        auth: Auth::Bearer,
        rate: RateClass::Reads,
        takes_idempotency_key: false,
        input: Input::Nothing,
        output: Output::Document,
        errors: &[],
    }
}

/// A route for users that counts as an envelope.
const fn post(path: &'static str, summary: &'static str) -> Route {
    Route { method: Method::Post, rate: RateClass::Envelopes, ..get(path, summary) }
}

const fn put(path: &'static str, summary: &'static str) -> Route {
    Route { method: Method::Put, ..post(path, summary) }
}

const fn patch(path: &'static str, summary: &'static str) -> Route {
    Route { method: Method::Patch, ..post(path, summary) }
}

const fn delete(path: &'static str, summary: &'static str) -> Route {
    Route { method: Method::Delete, ..post(path, summary) }
}

/// A route for a site's backend.
const fn server(route: Route) -> Route {
    Route { tag: Server, auth: Auth::ApiKey, rate: RateClass::Unlimited, ..route }
}

const fn request(kind: RequestKind, route: Route) -> Route {
    Route { input: Input::Request { kind, on: None }, ..route }
}

const fn request_with(kind: RequestKind, on: bool, route: Route) -> Route {
    Route { input: Input::Request { kind, on: Some(on) }, ..route }
}

const fn body<T: schemars::JsonSchema>() -> Input {
    Input::Body(schema_of::<T>())
}

const fn ok<T: schemars::JsonSchema>() -> Output {
    Output::Ok(schema_of::<T>())
}

const fn created<T: schemars::JsonSchema>() -> Output {
    Output::Created(schema_of::<T>())
}
