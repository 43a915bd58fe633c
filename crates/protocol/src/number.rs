//! Whole numbers as clients write them. JSON has one number type, so `7.0` and `7` are the same number.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use teahouse_core::ids::ID_MAX;

use crate::schema;

/// A whole number that JavaScript reads exactly: an id, a seq, a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number(pub(crate) u64);

/// A whole number of any size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(WholeNumber)?;
        if number <= ID_MAX { Ok(Self(number)) } else { Err(D::Error::custom("not below 2^53")) }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeNumber).map(Self)
    }
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 up")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        whole(number).ok_or_else(|| E::custom("not a whole number below 2^53"))
    }
}

/// The whole number that a float is, where floats hold whole numbers exactly. `serde_json` reads exact floats with its
/// feature `float_roundtrip` alone.
pub(crate) fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "a float holds it exactly")]
    let is_whole = number.fract() == 0.0 && (0.0..=ID_MAX as f64).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked")]
    is_whole.then_some(number as u64)
}

macro_rules! number_schema {
    ($( $Type:ident as $name:literal = $schema:expr; )+) => {$(
        impl JsonSchema for $Type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )+};
}

number_schema! { Number as "Number" = schema::number(); Count as "Count" = schema::count(); }

/// Reads a [`Number`] as a plain field of a body.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Number::deserialize(deserializer).map(|Number(number)| number)
}

/// Reads a [`Number`] that may be null.
pub(crate) fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<Number>::deserialize(deserializer)?.map(|Number(number)| number))
}

/// Reads a list of [`Number`]s that may be null.
pub(crate) fn optional_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u64>>, D::Error> {
    let numbers = Option::<Vec<Number>>::deserialize(deserializer)?;
    Ok(numbers.map(|numbers| numbers.into_iter().map(|Number(number)| number).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_json_writes_them() {
        let check = |text: &str, number: Option<u64>, count: Option<u64>| {
            let read = serde_json::from_str::<Number>(text).ok().map(|Number(number)| number);
            assert_eq!(read, number, "{text}");
            let read = serde_json::from_str::<Count>(text).ok().map(|Count(number)| number);
            assert_eq!(read, count, "{text}");
        };
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("7", 7),
            ("7.0", 7),
            ("7e0", 7),
            ("1e3", 1000),
            ("30591789.0", 30_591_789),
            ("9007199254740991", ID_MAX),
            ("9007199254740990.0", ID_MAX - 1),
            ("9007199254740991.0", ID_MAX),
        ] {
            check(text, Some(number), Some(number));
        }
        check("9007199254740992", None, Some(ID_MAX + 1));
        check("18446744073709551615", None, Some(u64::MAX));
        for wrong in
            ["-1", "-1.0", "1.5", "9007199254740992.0", "1e300", "18446744073709551616", "\"7\"", "true", "null"]
        {
            check(wrong, None, None);
        }
    }
}
