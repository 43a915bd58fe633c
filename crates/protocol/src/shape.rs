//! How plain values look in the JSON Schemas from which `docs/openapi.json` and `packages/types` are made.
//! Nothing here is alive: these types only name what others carry.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use teahouse_core::ids::ID_MAX;
use teahouse_core::{ErrorCode, MessageKind, Role, RoomKind, UserRole};

/// A number that JavaScript reads exactly.
pub(crate) fn number() -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": ID_MAX })
}

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
    /// A stable word for why something was refused.
    ErrorWord as "ErrorCode" = ErrorCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>();
    /// Who may be in a room.
    RoomKindWord as "RoomKind" = RoomKind::ALL.map(RoomKind::as_str);
    /// Which rooms one can make; direct ones are opened.
    MadeKindWord as "MadeRoomKind" = [RoomKind::Public, RoomKind::Private].map(RoomKind::as_str);
    /// What a member may do in one room.
    RoleWord as "Role" = Role::ALL.map(Role::as_str);
    /// What a user may do on the whole server.
    UserRoleWord as "UserRole" = UserRole::ALL.map(UserRole::as_str);
    /// What sort of message it is: said by a user, or a notice of the site.
    MessageKindWord as "MessageKind" = MessageKind::ALL.map(MessageKind::as_str);
}

/// One's own reactions: the emoji, by message id.
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

/// Numbers by a key that is a word or a number in quotation marks.
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
