//! The table of v1 requests, and their reader. Over the socket a request is an envelope's `data`; over HTTP, path,
//! query and body together are the same `data`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use teahouse_core::limits::{
    CLIENT_ID_CHARS_MAX, CONTENT_CHARS_MAX, QUERY_CHARS_MAX, REQUEST_ID_CHARS_MAX, ROOM_NAME_CHARS,
    ROOM_TITLE_CHARS_MAX,
};
use teahouse_core::text::longer_than;
use teahouse_core::{DirectsPosition, MessageId, RoomId, RoomKind, Seq, UserId, Version};

use super::bodies::{
    Beat, Cards, Changed, Directs, History, Marked, Members, Nothing, PresenceNow, Renewed, RoomBody, Stored, Users,
};
use super::fields::{Field, FieldKind};
use crate::schema::{EMOJI, EMOJI_CHARS_MAX, NOT_BLANK, VISIBLE, at_most_one_of};

/// A request with the reference under which the client expects the response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestEnvelope {
    /// The client's own reference. The server responds exactly once to a request that has one.
    pub id: Option<String>,
    /// The request.
    pub request: Request,
}

/// Why an envelope is no request. These errors count towards closing the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestError {
    /// The client's reference, if the reader found one.
    pub id: Option<String>,
    /// What is wrong.
    pub fault: RequestFault,
}

/// What is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestFault {
    /// Broken JSON, no object, or a field that is missing or wrong.
    Malformed {
        /// The field, unless the JSON is broken.
        field: Option<String>,
    },
    /// There is no request of this type.
    UnknownType,
}

/// Where a page of history begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The newest messages.
    Newest,
    /// The newest messages below this seq.
    Before(Seq),
    /// The oldest messages above this seq.
    After(Seq),
    /// The messages on both sides of this seq.
    Around(Seq),
}

macro_rules! requests {
    ($(
        $(#[doc = $doc:literal])+
        $(#[schema($($whole:tt)+)])?
        $word:literal => $Name:ident -> [$( $Response:ty ),*] {
            $( $(#[doc = $about:literal])+ $(#[schema($($rule:tt)+)])? $field:ident: $type:ty, )*
        }
    )+) => {
        /// A request of a v1 client. Its texts are neither trimmed nor measured yet.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Request {
            $( $(#[doc = $doc])+ $Name { $( $(#[doc = $about])+ $field: $type, )* }, )+
        }

        /// The type of a request.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum RequestKind {
            $( $(#[doc = $doc])+ $Name, )+
        }

        /// The types of all requests, as the wire spells them.
        pub const REQUEST_TYPES: &[&str] = &[$( $word ),+];

        impl Request {
            /// Its type on the wire.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$Name { .. } => $word, )+ }
            }
        }

        impl RequestKind {
            /// Every kind, in the order of [`REQUEST_TYPES`].
            pub const ALL: &'static [Self] = &[$( Self::$Name ),+];

            /// The type on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$Name => $word, )+ }
            }

            /// The fields of its `data`, by name.
            #[must_use]
            pub fn fields(self) -> &'static [(&'static str, FieldKind)] {
                match self { $( Self::$Name => &[$( (stringify!($field), <$type as Field>::KIND) ),*], )+ }
            }

            /// The schema of its `data`.
            pub(crate) fn data_schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self { $( Self::$Name => data::$Name::json_schema(generator), )+ }
            }

            /// The schemas of its `ack`'s `data`, which is one of these. `hello` has none: `welcome` responds to it.
            pub(crate) fn response_schemas(self, generator: &mut SchemaGenerator) -> Vec<Schema> {
                match self { $( Self::$Name => responses!(generator, $( $Response ),*), )+ }
            }
        }

        mod data {
            //! The `data` of each request, as the reader finds it.
            use super::*;

            $(
                $(#[doc = $doc])+
                #[derive(Deserialize, JsonSchema)]
                $(#[schemars(extend($($whole)+))])?
                pub(super) struct $Name {
                    $(
                        $(#[doc = $about])+
                        $(#[schemars(extend($($rule)+))])?
                        pub(super) $field: <$type as Field>::Wire,
                    )*
                }
            )+
        }

        /// Reads a request of this type from the JSON object `data`.
        ///
        /// # Errors
        /// There is no such type, or a field is missing or wrong.
        pub fn read_request(kind: &str, data: &str) -> Result<Request, RequestFault> {
            match kind {
                $( $word => {
                    let data::$Name { $( $field, )* } = read_data(data)?;
                    Ok(Request::$Name { $( $field: Field::from_wire($field), )* })
                } )+
                _ => Err(RequestFault::UnknownType),
            }
        }
    };
}

macro_rules! responses {
    ($generator:ident, ) => {{
        let _ = $generator;
        Vec::new()
    }};
    ($generator:ident, $( $Response:ty ),+) => {
        vec![$( $generator.subschema_for::<$Response>() ),+]
    };
}

// One entry a request: its type, the `data` of its `ack` (one of the list), its fields with their bounds.
requests! {
    /// Starts a session, within 10 s of the handshake. `welcome` is the response; there is no `ack`.
    "hello" => Hello -> [] {
        /// The client's name and version, for the operator.
        client: Option<String>,
        /// The epoch of `rooms`; absent on a first visit.
        epoch: Option<String>,
        /// The rooms that the client holds, the most wanted first; absent on a first visit.
        rooms: Vec<(RoomId, Version)>,
    }
    /// Sends a message to a room.
    "message" => Message -> [Stored] {
        /// The room.
        room: RoomId,
        /// The text: 1 to 4000 characters (Unicode scalar values) after trimming.
        #[schema("minLength" = 1, "maxLength" = CONTENT_CHARS_MAX, "pattern" = NOT_BLANK)]
        content: String,
        /// The client's own reference. The server stores a message once, however often the client sends it.
        #[schema("minLength" = 1, "maxLength" = CLIENT_ID_CHARS_MAX)]
        client_id: String,
        /// The message of the same room to which this one replies.
        reply_to: Option<MessageId>,
    }
    /// Replaces the content of the caller's own message.
    "edit" => Edit -> [Changed] {
        /// The message.
        message: MessageId,
        /// The text: 1 to 4000 characters (Unicode scalar values) after trimming.
        #[schema("minLength" = 1, "maxLength" = CONTENT_CHARS_MAX, "pattern" = NOT_BLANK)]
        content: String,
    }
    /// Deletes a message: the caller's own, or as a moderator.
    "delete" => Delete -> [Changed] {
        /// The message.
        message: MessageId,
    }
    /// Adds the caller's reaction to a message, or removes it.
    "react" => React -> [Changed] {
        /// The message.
        message: MessageId,
        /// The emoji; at most 64 bytes.
        #[schema("minLength" = 1, "maxLength" = EMOJI_CHARS_MAX, "pattern" = EMOJI)]
        emoji: String,
        /// Whether to add it.
        on: bool,
    }
    /// Moves the caller's read mark of a room forward; it never goes back.
    "read" => Read -> [Marked] {
        /// The room.
        room: RoomId,
        /// The seq of the last message that the caller read.
        seq: Seq,
    }
    /// Reads a page of a room's messages: the newest, or those around a seq. Moves no cursor.
    #[schema("not" = at_most_one_of(&["before", "after", "around"]))]
    "history" => History -> [History<'static>] {
        /// The room.
        room: RoomId,
        /// The newest messages below this seq.
        before: Option<Seq>,
        /// The oldest messages above this seq.
        after: Option<Seq>,
        /// The messages on both sides of this seq.
        around: Option<Seq>,
        /// The size of the page; 50 when absent, and more than 100 is 100.
        #[schema("minimum" = 1)]
        limit: Option<u64>,
    }
    /// Asks again for a room's changes since a version. The `ack` follows the `caught_up`.
    "sync" => Sync -> [Changed] {
        /// The room.
        room: RoomId,
        /// The last version of it that the client applied.
        since: Version,
    }
    /// Asks who is online in a room, and subscribes to changes of it or unsubscribes.
    "presence" => Presence -> [PresenceNow, Nothing] {
        /// The room.
        room: RoomId,
        /// Whether to subscribe.
        on: bool,
    }
    /// Tells a room that the caller is typing, or stopped. Expires after 5 s.
    "typing" => Typing -> [Nothing] {
        /// The room.
        room: RoomId,
        /// Whether the caller is typing.
        on: bool,
    }
    /// Lists public rooms that the caller could join.
    "rooms" => Rooms -> [Cards<'static>] {
        /// A part of the name or the title; every room matches when absent.
        #[schema("maxLength" = QUERY_CHARS_MAX)]
        query: Option<String>,
        /// The `next` of the page before.
        after: Option<RoomId>,
    }
    /// Lists the caller's direct rooms, the newest message first.
    "directs" => Directs -> [Directs<'static>] {
        /// The `next` of the page before.
        after: Option<DirectsPosition>,
    }
    /// Creates a room, which the caller owns.
    #[schema("required" = ["kind", "name"])]
    "create" => Create -> [RoomBody<'static>] {
        /// Who may be in it.
        kind: RoomKind,
        /// Its unique name, which a room needs.
        #[schema("type" = "string", "minLength" = 1, "maxLength" = ROOM_NAME_CHARS.end(), "pattern" = VISIBLE)]
        name: Option<String>,
        /// Its heading; may be empty.
        #[schema("maxLength" = ROOM_TITLE_CHARS_MAX)]
        title: Option<String>,
    }
    /// Changes a room's name or title; what is absent stays as it is.
    "update" => Update -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
        /// Its unique name.
        #[schema("minLength" = 1, "maxLength" = ROOM_NAME_CHARS.end(), "pattern" = VISIBLE)]
        name: Option<String>,
        /// Its heading; may be empty.
        #[schema("maxLength" = ROOM_TITLE_CHARS_MAX)]
        title: Option<String>,
    }
    /// Joins a public room. The read mark starts at its newest message.
    "join" => Join -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
    }
    /// Leaves a room.
    "leave" => Leave -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
    }
    /// Adds a user to a room; the invite of a stranger waits for an answer.
    "invite" => Invite -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
        /// The user.
        user: UserId,
    }
    /// Accepts an invite to a room, or the request of a direct room.
    "accept" => Accept -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
    }
    /// Declines an invite to a room, or the request of a direct room. Nobody else learns of it.
    "decline" => Decline -> [Nothing] {
        /// The room.
        room: RoomId,
    }
    /// Removes a user from a room.
    "remove" => Remove -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
        /// The user.
        user: UserId,
    }
    /// Gives a member of a room a role.
    "role" => Role -> [RoomBody<'static>] {
        /// The room.
        room: RoomId,
        /// The user.
        user: UserId,
        /// The role.
        role: teahouse_core::Role,
    }
    /// Opens the direct room with a user, and creates it if there is none.
    "open" => Open -> [RoomBody<'static>] {
        /// The user.
        user: UserId,
    }
    /// Lists the members of a room.
    "members" => Members -> [Members<'static>] {
        /// The room.
        room: RoomId,
        /// The `next` of the page before.
        after: Option<UserId>,
    }
    /// Searches users.
    "users" => Users -> [Users<'static>] {
        /// The beginning of the username or the nickname.
        #[schema("maxLength" = QUERY_CHARS_MAX)]
        query: Option<String>,
        /// The `next` of the page before.
        after: Option<UserId>,
    }
    /// Presents a fresh token of the same user, so that the session outlives the old one.
    "auth" => Auth -> [Renewed] {
        /// The token.
        token: String,
    }
    /// A sign of life, whose response is the server's time.
    "heartbeat" => Heartbeat -> [Beat] {
    }
}

/// Reads one envelope of a v1 client. Ignores unknown fields; an absent or null `data` is an empty object.
///
/// # Errors
/// The text is no request of this dialect.
pub fn read_envelope(text: &str) -> Result<RequestEnvelope, RequestError> {
    #[derive(Deserialize)]
    struct RawEnvelope<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let malformed = |id, field| RequestError { id, fault: RequestFault::Malformed { field } };
    let outer: RawEnvelope<'_> =
        read_object(text).map_err(|fault| malformed(reference(text), fault.field_of_json()))?;
    let id = match outer.id {
        None => None,
        Some(raw) => match serde_json::from_str(raw.get()).ok().filter(is_reference) {
            Some(id) => Some(id),
            None => return Err(malformed(None, Some("id".to_owned()))),
        },
    };
    match read_request(&outer.kind, outer.data.map_or("{}", RawValue::get)) {
        Ok(request) => Ok(RequestEnvelope { id, request }),
        Err(fault) => Err(RequestError { id, fault }),
    }
}

/// The reference of an envelope whose other fields may be wrong.
fn reference(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Reference {
        #[serde(default)]
        id: Option<String>,
    }
    read_object::<Reference>(text).ok()?.id.filter(is_reference)
}

#[allow(clippy::ptr_arg, reason = "as Option::filter gives it")]
fn is_reference(id: &String) -> bool {
    !longer_than(id, REQUEST_ID_CHARS_MAX)
}

/// Reads the `data` of a request. It comes from an envelope, so it is well-formed JSON.
fn read_data<T: DeserializeOwned>(data: &str) -> Result<T, RequestFault> {
    read_object(data).map_err(|fault| {
        let field = match fault {
            ObjectFault::NoObject => Some("data".to_owned()),
            ObjectFault::NotJson { field } | ObjectFault::Wrong { field } => field,
        };
        RequestFault::Malformed { field }
    })
}

enum ObjectFault {
    /// The text is no object.
    NoObject,
    /// The JSON is broken from this field on.
    NotJson { field: Option<String> },
    /// This field is missing or wrong.
    Wrong { field: Option<String> },
}

impl ObjectFault {
    /// The field to blame. Broken JSON blames no field.
    fn field_of_json(self) -> Option<String> {
        match self {
            Self::Wrong { field } => field,
            Self::NoObject | Self::NotJson { .. } => None,
        }
    }
}

fn read_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ObjectFault> {
    // Serde would also read an array as a struct.
    if !text.trim_start().starts_with('{') {
        return Err(ObjectFault::NoObject);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let field = match error.to_string().split('`').nth(1) {
            // Serde names a missing or duplicate field only in its message: "missing field `content`".
            Some(name) if path == "." && error.is_data() => Some(name.to_owned()),
            _ => Some(path).filter(|path| path != "."),
        };
        if error.is_data() { ObjectFault::Wrong { field } } else { ObjectFault::NotJson { field } }
    })?;
    match reader.end() {
        Ok(()) => Ok(read),
        Err(_) => Err(ObjectFault::NotJson { field: None }),
    }
}

impl Request {
    /// Where a `history` request begins; `None` when it names more than one place.
    #[must_use]
    pub fn history_from(before: Option<Seq>, after: Option<Seq>, around: Option<Seq>) -> Option<HistoryFrom> {
        match (before, after, around) {
            (None, None, None) => Some(HistoryFrom::Newest),
            (Some(seq), None, None) => Some(HistoryFrom::Before(seq)),
            (None, Some(seq), None) => Some(HistoryFrom::After(seq)),
            (None, None, Some(seq)) => Some(HistoryFrom::Around(seq)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
