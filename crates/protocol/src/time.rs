//! Times on the wire: RFC 3339 in UTC with exactly three digits of milliseconds.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use teahouse_core::Timestamp;

/// A timestamp that serializes as [`rfc3339`] spells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rfc3339(pub(crate) Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl JsonSchema for Rfc3339 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rfc3339".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A timestamp as the wire has it, for example `2026-11-22T06:25:36.120Z`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => format!("{time:.3}"),
        // A working clock never gives a year beyond 9999.
        Err(_) => format!("{:.3}", jiff::Timestamp::MAX),
    }
}

pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_z() {
        for (ms, expect) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_328_736_120, "2026-11-22T06:25:36.120Z"),
            (1_795_328_736_000, "2026-11-22T06:25:36.000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(ms)), expect);
        }
    }
}
