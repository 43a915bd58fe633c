//! How each type of core is spelled in a field of a request.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use teahouse_core::{DirectsPosition, MessageId, Role, RoomId, RoomKind, Seq, UserId, Version};

use super::bodies::read_position;
use crate::number::{Count, Number};
use crate::object::Object;
use crate::schema::{MadeKindWord, RoleWord};

/// The most rooms that `hello` may name; a frame hardly holds more.
pub const HELD_ROOMS_MAX: usize = 1000;

/// How a path or a query spells a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldKind {
    /// As the text itself.
    Text,
    /// As `true` or `false`.
    Flag,
    /// As a number below 2^53, in digits.
    Number,
    /// As the size of a page, in digits.
    Count,
    /// Not at all: only a body has it.
    List,
}

/// The type of a request's field.
pub(super) trait Field: Sized {
    const KIND: FieldKind;

    /// The type on the wire.
    type Wire: DeserializeOwned + JsonSchema;

    fn from_wire(wire: Self::Wire) -> Self;
}

macro_rules! plain {
    ($( $Type:ty as $Kind:ident )+) => {$(
        impl Field for $Type {
            const KIND: FieldKind = FieldKind::$Kind;

            type Wire = Self;

            fn from_wire(wire: Self) -> Self {
                wire
            }
        }
    )+};
}

plain! { String as Text bool as Flag }

impl<T: Field> Field for Option<T> {
    const KIND: FieldKind = T::KIND;

    type Wire = Option<T::Wire>;

    fn from_wire(wire: Self::Wire) -> Self {
        wire.map(T::from_wire)
    }
}

// ── Numbers ──

impl Field for u64 {
    const KIND: FieldKind = FieldKind::Count;

    type Wire = Count;

    fn from_wire(Count(count): Count) -> Self {
        count
    }
}

macro_rules! numbers {
    ($( $Type:ident )+) => {$(
        impl Field for $Type {
            const KIND: FieldKind = FieldKind::Number;

            type Wire = Number;

            fn from_wire(Number(number): Number) -> Self {
                Self(number)
            }
        }
    )+};
}

numbers! { RoomId MessageId UserId Seq Version }

// ── Words ──

/// A word for a value of one of core's enums.
pub(super) struct Word<T>(T);

macro_rules! words {
    ($( $Type:ty as $Schema:ty, $wrong:literal; )+) => {$(
        impl Field for $Type {
            const KIND: FieldKind = FieldKind::Text;

            type Wire = Word<Self>;

            fn from_wire(Word(word): Word<Self>) -> Self {
                word
            }
        }

        impl<'de> Deserialize<'de> for Word<$Type> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = Cow::<'de, str>::deserialize(deserializer)?;
                <$Type>::parse(&word).map(Self).ok_or_else(|| D::Error::custom($wrong))
            }
        }

        impl JsonSchema for Word<$Type> {
            fn schema_name() -> Cow<'static, str> {
                <$Schema>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$Schema>::json_schema(generator)
            }
        }
    )+};
}

words! {
    RoomKind as MadeKindWord, "not a kind of room";
    Role as RoleWord, "not a role";
}

// ── A position in a list ──

/// The `next` of a page of direct rooms, which a client sends back as it is.
pub(super) struct Position(DirectsPosition);

impl Field for DirectsPosition {
    const KIND: FieldKind = FieldKind::Text;

    type Wire = Position;

    fn from_wire(Position(position): Position) -> Self {
        position
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        read_position(&text).map(Self).ok_or_else(|| D::Error::custom("not the next of a page"))
    }
}

impl JsonSchema for Position {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DirectsPosition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[01]-[0-9]+-[0-9]+$" })
    }
}

// ── The rooms of a returning client ──

/// The rooms that a returning client holds. The first mention of a room counts.
pub(super) struct HeldRooms(Vec<(RoomId, Version)>);

/// A room that a returning client holds.
#[derive(Deserialize, JsonSchema)]
struct HeldRoom {
    /// The room.
    room: Number,
    /// The last version of it that the client applied.
    version: Number,
}

impl Field for Vec<(RoomId, Version)> {
    const KIND: FieldKind = FieldKind::List;

    type Wire = Option<HeldRooms>;

    fn from_wire(wire: Self::Wire) -> Self {
        wire.map_or_else(Vec::new, |HeldRooms(rooms)| rooms)
    }
}

impl<'de> Deserialize<'de> for HeldRooms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rooms;
        impl<'de> Visitor<'de> for Rooms {
            type Value = HeldRooms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rooms with versions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<HeldRooms, A::Error> {
                let mut rooms = Vec::new();
                let mut seen = HashSet::new();
                while let Some(Object(held)) = seq.next_element()? {
                    let HeldRoom { room: Number(room), version: Number(version) } = held;
                    if seen.insert(room) {
                        rooms.push((RoomId(room), Version(version)));
                    }
                    if rooms.len() > HELD_ROOMS_MAX {
                        return Err(A::Error::custom("too many rooms"));
                    }
                }
                Ok(HeldRooms(rooms))
            }
        }
        deserializer.deserialize_seq(Rooms)
    }
}

impl JsonSchema for HeldRooms {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HeldRooms".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let room = generator.subschema_for::<HeldRoom>();
        json_schema!({ "type": "array", "items": room, "maxItems": HELD_ROOMS_MAX })
    }
}
