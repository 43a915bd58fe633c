//! What a v1 client asks. The same shapes serve the socket, where they are an envelope's `data`, and HTTP,
//! where path and body together make them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use teahouse_core::limits::REQUEST_ID_CHARS_MAX;
use teahouse_core::text::longer_than;
use teahouse_core::{MessageId, RoomId, RoomKind, Seq, UserId, Version};

use super::fields::Field;

/// One envelope of a v1 client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The client's own reference: what is asked with one is answered with it, once.
    pub id: Option<String>,
    /// What is asked.
    pub request: Request,
}

/// Why an envelope is no request. These count towards closing the session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestError {
    /// Its reference, if that much could be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub fault: RequestFault,
}

/// What is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestFault {
    /// Not JSON, no object, or a missing or wrong field: the field, where one is to blame.
    Malformed {
        /// Its name.
        field: Option<String>,
    },
    /// There is no request of this type.
    UnknownType,
}

/// From where a page of history is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The newest messages.
    Newest,
    /// The newest ones below this seq.
    Before(Seq),
    /// The oldest ones above this seq.
    After(Seq),
    /// Those on both sides of this seq.
    Around(Seq),
}

macro_rules! requests {
    ($( $(#[doc = $doc:literal])+ $word:literal => $Name:ident { $( $(#[doc = $about:literal])+ $field:ident: $type:ty, )* } )+) => {
        /// What a v1 client can ask. Texts are not yet trimmed or measured.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Request {
            $( $(#[doc = $doc])+ $Name { $( $(#[doc = $about])+ $field: $type, )* }, )+
        }

        /// The types of all requests, as they stand on the wire.
        pub const REQUEST_TYPES: &[&str] = &[$( $word ),+];

        impl Request {
            /// Its type on the wire.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$Name { .. } => $word, )+ }
            }
        }

        mod data {
            //! The `data` of each request, as it is read.
            use super::*;

            $(
                $(#[doc = $doc])+
                #[derive(Deserialize, JsonSchema)]
                pub(super) struct $Name { $( $(#[doc = $about])+ pub(super) $field: <$type as Field>::Wire, )* }
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

        /// Every request's type, with the schema of its `data`.
        pub(crate) fn shapes(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
            vec![$( ($word, data::$Name::json_schema(generator)) ),+]
        }
    };
}

requests! {
    /// The first envelope of a session, within 10 s. The answer is `welcome`, and there is no `ack`.
    "hello" => Hello {
        /// What speaks, and in which version; for the operator's eyes.
        client: Option<String>,
        /// The epoch in which `rooms` were held; absent on a first visit.
        epoch: Option<String>,
        /// The rooms that the client holds, most wanted first; absent on a first visit.
        rooms: Vec<(RoomId, Version)>,
    }
    /// Says something in a room.
    "message" => Message {
        /// Where.
        room: RoomId,
        /// The text: 1 to 4000 characters (Unicode scalar values) after trimming.
        content: String,
        /// The client's own reference, 1 to 64 characters: the same one again stores nothing twice, for ever.
        client_id: String,
        /// The message of the same room that this one answers.
        reply_to: Option<MessageId>,
    }
    /// Puts another content in the place of an own message's.
    "edit" => Edit {
        /// Which one.
        message: MessageId,
        /// The text: 1 to 4000 characters (Unicode scalar values) after trimming.
        content: String,
    }
    /// Deletes a message: an own one, or with a moderator's right.
    "delete" => Delete {
        /// Which one.
        message: MessageId,
    }
    /// Reacts to a message, or takes the reaction back.
    "react" => React {
        /// To which one.
        message: MessageId,
        /// With what.
        emoji: String,
        /// Whether it is to be there.
        on: bool,
    }
    /// Moves one's read mark of a room forward; it never goes back.
    "read" => Read {
        /// Of which room.
        room: RoomId,
        /// Up to which message's place.
        seq: Seq,
    }
    /// Reads a page of a room's messages: the newest, or those around a place. Moves no cursor.
    "history" => History {
        /// Of which room.
        room: RoomId,
        /// The newest ones below this seq.
        before: Option<Seq>,
        /// The oldest ones above this seq.
        after: Option<Seq>,
        /// Those on both sides of this seq.
        around: Option<Seq>,
        /// At most so many, from 1 up; 50 when absent, and more than 100 is 100.
        limit: Option<u64>,
    }
    /// Asks for a room's changes since a version once more. The answer comes behind the bracket's `caught_up`.
    "sync" => Sync {
        /// Which room.
        room: RoomId,
        /// The last version of it that the client applied.
        since: Version,
    }
    /// Asks who is online in a room and who comes and goes, or no longer.
    "presence" => Presence {
        /// In which room.
        room: RoomId,
        /// Whether to be told from now on.
        on: bool,
    }
    /// Says that one is typing in a room, or no longer. Expires after 5 s.
    "typing" => Typing {
        /// In which room.
        room: RoomId,
        /// Whether one is.
        on: bool,
    }
    /// Looks for public rooms that one could join.
    "rooms" => Rooms {
        /// What the name or the title contains; any, when absent.
        query: Option<String>,
        /// The `next` of the page before.
        after: Option<RoomId>,
    }
    /// Makes a room, as its owner.
    "create" => Create {
        /// Who may be in it.
        kind: RoomKind,
        /// Its unique name, 1 to 50 characters; a room needs one.
        name: Option<String>,
        /// Its heading, at most 200 characters; may be empty.
        title: Option<String>,
    }
    /// Changes what is given of a room's name and title.
    "update" => Update {
        /// Which room.
        room: RoomId,
        /// Its unique name, 1 to 50 characters.
        name: Option<String>,
        /// Its heading, at most 200 characters; may be empty.
        title: Option<String>,
    }
    /// Comes into a public room. Reading starts at its head.
    "join" => Join {
        /// Which room.
        room: RoomId,
    }
    /// Goes out of a room.
    "leave" => Leave {
        /// Which room.
        room: RoomId,
    }
    /// Brings somebody into a room.
    "invite" => Invite {
        /// Which room.
        room: RoomId,
        /// Whom.
        user: UserId,
    }
    /// Takes somebody out of a room.
    "remove" => Remove {
        /// Which room.
        room: RoomId,
        /// Whom.
        user: UserId,
    }
    /// Gives a member of a room a role.
    "role" => Role {
        /// In which room.
        room: RoomId,
        /// Whom.
        user: UserId,
        /// Which one.
        role: teahouse_core::Role,
    }
    /// Opens the direct room with somebody, which is made when there is none.
    "open" => Open {
        /// With whom.
        user: UserId,
    }
    /// Asks who is in a room.
    "members" => Members {
        /// In which room.
        room: RoomId,
        /// The `next` of the page before.
        after: Option<UserId>,
    }
    /// Looks for people.
    "users" => Users {
        /// How the username or the nickname begins.
        query: Option<String>,
        /// The `next` of the page before.
        after: Option<UserId>,
    }
    /// Shows a fresh token of the same user, so that the session outlives the old one.
    "auth" => Auth {
        /// The token.
        token: String,
    }
    /// A sign of life.
    "heartbeat" => Heartbeat {
    }
}

/// Reads one envelope of a v1 client. Unknown fields are ignored; an absent or null `data` is an empty object.
///
/// # Errors
/// When it is no request of this dialect.
pub fn read_envelope(text: &str) -> Result<Envelope, RequestError> {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let malformed = |id, field| RequestError { id, fault: RequestFault::Malformed { field } };
    let outer: Outer<'_> = read_object(text).map_err(|fault| malformed(reference(text), fault.if_it_was_json()))?;
    let id = match outer.id {
        None => None,
        Some(raw) => match serde_json::from_str(raw.get()).ok().filter(is_reference) {
            Some(id) => Some(id),
            None => return Err(malformed(None, Some("id".to_owned()))),
        },
    };
    match read_request(&outer.kind, outer.data.map_or("{}", RawValue::get)) {
        Ok(request) => Ok(Envelope { id, request }),
        Err(fault) => Err(RequestError { id, fault }),
    }
}

/// Whoever sent a reference gets it back, even when the rest is wrong.
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

/// Reads the `data` of a request. It stood in an envelope, so it is JSON, if not all of it can be read.
fn read_data<T: DeserializeOwned>(data: &str) -> Result<T, RequestFault> {
    read_object(data).map_err(|fault| {
        let field = match fault {
            ObjectFault::NoObject => Some("data".to_owned()),
            ObjectFault::NotJson { field } | ObjectFault::Wrong { field } => field,
        };
        RequestFault::Malformed { field }
    })
}

/// Why something is not the object that it should be.
enum ObjectFault {
    /// It is something else.
    NoObject,
    /// It is not JSON, from this field on.
    NotJson { field: Option<String> },
    /// This field is missing or wrong.
    Wrong { field: Option<String> },
}

impl ObjectFault {
    /// The field to blame. In what is not JSON at all, no field is.
    fn if_it_was_json(self) -> Option<String> {
        match self {
            Self::Wrong { field } => field,
            Self::NoObject | Self::NotJson { .. } => None,
        }
    }
}

fn read_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ObjectFault> {
    // Serde reads an array as a struct too; on this wire everything is an object.
    if !text.trim_start().starts_with('{') {
        return Err(ObjectFault::NoObject);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let field = match error.to_string().split('`').nth(1) {
            // A field that is missing, or there twice, is named by the sentence alone: "missing field `content`".
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
    /// From where a `history` request reads; `None` when it names more than one place.
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
