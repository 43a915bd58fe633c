//! How the fields of requests are spelled, and which of core's nouns they become.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use teahouse_core::ids::ID_MAX;
use teahouse_core::{MessageId, Role, RoomId, RoomKind, Seq, UserId, Version};

use crate::shape::{self, MadeKindWord, RoleWord};

/// The most rooms that `hello` may name; a frame has hardly room for more.
pub const HELD_ROOMS_MAX: usize = 1000;

/// What a request is made of.
pub(super) trait Field: Sized {
    /// How it is read.
    type Wire: DeserializeOwned + JsonSchema;

    /// What was read, as core's noun.
    fn from_wire(wire: Self::Wire) -> Self;
}

macro_rules! plain {
    ($( $Type:ty )+) => {$(
        impl Field for $Type {
            type Wire = Self;

            fn from_wire(wire: Self) -> Self {
                wire
            }
        }
    )+};
}

plain! { String bool u64 }

impl<T: Field> Field for Option<T> {
    type Wire = Option<T::Wire>;

    fn from_wire(wire: Self::Wire) -> Self {
        wire.map(T::from_wire)
    }
}

// ── Numbers ──

/// A number that JavaScript reads exactly.
pub(super) struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number <= ID_MAX { Ok(Self(number)) } else { Err(D::Error::custom("not below 2^53")) }
    }
}

impl JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        shape::number()
    }
}

macro_rules! numbers {
    ($( $Type:ident )+) => {$(
        impl Field for $Type {
            type Wire = Number;

            fn from_wire(Number(number): Number) -> Self {
                Self(number)
            }
        }
    )+};
}

numbers! { RoomId MessageId UserId Seq Version }

// ── Words ──

/// A word that stands for a noun of core.
pub(super) struct Word<T>(T);

macro_rules! words {
    ($( $Type:ty as $Shape:ty, $wrong:literal; )+) => {$(
        impl Field for $Type {
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
                <$Shape>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$Shape>::json_schema(generator)
            }
        }
    )+};
}

words! {
    RoomKind as MadeKindWord, "not a kind of room";
    Role as RoleWord, "not a role";
}

// ── What a returning client holds ──

/// The rooms that a returning client holds. Of one that is named twice the first counts.
pub(super) struct HeldRooms(Vec<(RoomId, Version)>);

/// A room that a returning client holds.
#[derive(Deserialize, JsonSchema)]
struct HeldRoom {
    /// Which room.
    room: Number,
    /// The last version of it that the client applied.
    version: Number,
}

impl Field for Vec<(RoomId, Version)> {
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
                while let Some(HeldRoom { room: Number(room), version: Number(version) }) = seq.next_element()? {
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
