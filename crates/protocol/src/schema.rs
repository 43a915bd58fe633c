//! JSON Schemas of plain values: words, numbers, patterns of texts. Nothing here reads or writes the wire; bodies name
//! these where a Rust type does not say enough. Patterns hold for ECMAScript and for Python, and are never wider than
//! the server's own check: a text that matches is accepted.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use teahouse_core::ids::ID_MAX;
use teahouse_core::{ErrorCode, MessageKind, Role, RoomKind, UserRole};

/// A number that JavaScript reads exactly.
pub(crate) fn number() -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": ID_MAX })
}

/// A number of things. The server has a limit of its own, whatever a client writes.
pub(crate) fn count() -> Schema {
    json_schema!({ "type": "integer", "minimum": 0 })
}

/// A list of numbers.
pub(crate) fn numbers(items_max: usize) -> Schema {
    json_schema!({ "type": "array", "items": number(), "maxItems": items_max })
}

// ── Patterns ──

// What the server removes from names: control characters and marks that change the direction of writing.
macro_rules! invisible {
    () => {
        r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    };
}

/// A text that is not empty after trimming.
pub(crate) const NOT_BLANK: &str = r"[^\s\u0085]";
/// A text that is not empty after trimming and without what the server removes from names.
pub(crate) const VISIBLE: &str = concat!(r"[^\s", invisible!(), "]");
/// A text without white space, letters of ASCII and invisible characters that is not all ASCII.
pub(crate) const EMOJI: &str =
    concat!(r"^[^\sA-Za-z", invisible!(), r"]*[^\s\u0000-\u007f", invisible!(), r"][^\sA-Za-z", invisible!(), r"]*$");
/// Characters of an emoji: with four bytes each they are as many bytes as the server takes. No emoji has more.
pub(crate) const EMOJI_CHARS_MAX: usize = teahouse_core::limits::EMOJI_BYTES_MAX / 4;
/// A username of an account of this server.
pub(crate) const USERNAME: &str = r"^[\p{L}\p{N}_.\-]+$";
/// A password with a letter and a digit.
pub(crate) const PASSWORD: &str = r"\p{L}[\s\S]*\p{N}|\p{N}[\s\S]*\p{L}";
/// An e-mail address: one `@` with something on both sides of it, and nothing invisible.
pub(crate) const EMAIL: &str = concat!(r"^[^@\s", invisible!(), r"]+@[^@\s", invisible!(), r"]+$");
/// The same, or an empty text.
pub(crate) const EMAIL_OR_EMPTY: &str = concat!(r"^([^@\s", invisible!(), r"]+@[^@\s", invisible!(), r"]+)?$");
/// An address of `http` or `https`, a relative one, or an empty text.
pub(crate) const WEB_ADDRESS: &str = r"^([Hh][Tt][Tt][Pp][Ss]?:[\s\S]*|[^:]*|[^:]*[/?#][\s\S]*)$";

/// A schema for `not`: two of these properties at once.
pub(crate) fn at_most_one_of(properties: &[&str]) -> Value {
    let pairs = properties
        .iter()
        .enumerate()
        .flat_map(|(at, first)| properties[at + 1..].iter().map(move |second| json!({ "required": [first, second] })));
    json!({ "anyOf": pairs.collect::<Vec<_>>() })
}

/// A schema for `oneOf`: each of these properties alone, the others absent or null.
pub(crate) fn exactly_one_of(properties: &[(&str, Value)]) -> Value {
    let alone = |chosen: &str| {
        let property = |(name, schema): &(&str, Value)| {
            ((*name).to_owned(), if *name == chosen { schema.clone() } else { json!({ "type": "null" }) })
        };
        let properties: serde_json::Map<String, Value> = properties.iter().map(property).collect();
        json!({ "type": "object", "required": [chosen], "properties": properties })
    };
    properties.iter().map(|(name, _)| alone(name)).collect()
}

// ── Words ──

macro_rules! words {
    ($( $(#[doc = $doc:literal])+ $Name:ident as $name:literal = $words:expr; )+) => {$(
        $(#[doc = $doc])+
        pub(crate) enum $Name {}

        impl JsonSchema for $Name {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": $words, "description": concat!($($doc),+).trim() })
            }
        }
    )+};
}

words! {
    /// The stable code of an error.
    ErrorWord as "ErrorCode" = ErrorCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>();
    /// Who may be in a room.
    RoomKindWord as "RoomKind" = RoomKind::ALL.map(RoomKind::as_str);
    /// The kinds of rooms that users create; direct rooms are opened.
    MadeKindWord as "MadeRoomKind" = [RoomKind::Public, RoomKind::Private].map(RoomKind::as_str);
    /// The rights of a member in one room.
    RoleWord as "Role" = Role::ALL.map(Role::as_str);
    /// The rights of a user on the whole server.
    UserRoleWord as "UserRole" = UserRole::ALL.map(UserRole::as_str);
    /// Whether a message comes from a user or is a notice of the site.
    MessageKindWord as "MessageKind" = MessageKind::ALL.map(MessageKind::as_str);
}

// ── Maps ──

/// The caller's own reactions: the emoji, by message id.
pub(crate) enum OwnReactions {}

impl JsonSchema for OwnReactions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OwnReactions".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "array", "items": { "type": "string" } } })
    }
}

/// Numbers by a word or by the digits of an id.
pub(crate) enum Numbers {}

impl JsonSchema for Numbers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Numbers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": number() })
    }
}
