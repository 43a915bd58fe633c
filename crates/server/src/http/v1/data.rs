//! A request's `data`, put together from what came in its path, its query and its body. What the address
//! says is never overruled by the body.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use teahouse_core::ErrorCode;

use crate::app::App;
use crate::errors::{ApiError, messages as texts};
use crate::http::body::JsonBody;
use crate::http::parameters::{IDEMPOTENCY_KEY, invalid_id, parse_integer, parse_limit};
use crate::secrets::random_hex;

/// What stands in a request's path and query.
pub(super) struct Address(Vec<(String, Box<RawValue>)>);

impl Address {
    /// Everything in the path, and of the query what is in `known`; of one given twice the last counts.
    pub(super) async fn read(parts: &mut Parts, known: &[&str]) -> Result<Self, ApiError> {
        let unreadable = || ApiError::new(ErrorCode::BadRequest);
        let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| unreadable())?;
        let Query(query): Query<Vec<(String, String)>> =
            Query::from_request_parts(parts, &()).await.map_err(|_| unreadable())?;
        let known = query.iter().filter(|(name, _)| known.contains(&name.as_str()));
        let all = known.map(|(name, text)| (name.as_str(), text.as_str())).chain(&path);
        all.map(|(name, text)| Ok((name.to_owned(), value(name, text)?))).collect::<Result<_, _>>().map(Self)
    }
}

/// What the text of a parameter means: words are few, all others are numbers.
fn value(name: &str, text: &str) -> Result<Box<RawValue>, ApiError> {
    match name {
        "query" | "emoji" => Ok(raw(&text)),
        "limit" => Ok(raw(&parse_limit(text)?)),
        _ => parse_integer(text).map(|number| raw(&number)).ok_or_else(|| invalid_id(name.to_owned())),
    }
}

/// The fields of a request's `data`, as they came. One that stands there twice is kept twice, so that whoever reads
/// them refuses it as over a socket.
#[derive(Default)]
pub(super) struct Data(Vec<(String, Box<RawValue>)>);

impl Data {
    /// Those of the body; an empty one has none.
    pub(super) async fn read(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let JsonBody(fields) = JsonBody::from_request(request, app).await?;
        Ok(fields)
    }

    /// Sets a field, whatever it was.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) {
        self.put(name, raw(value));
    }

    /// Sets every field of the address.
    pub(super) fn set_all(&mut self, address: &Address) {
        address.0.iter().for_each(|(name, value)| self.put(name, value.clone()));
    }

    fn put(&mut self, name: &str, value: Box<RawValue>) {
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), value));
    }

    /// Gives a message its `client_id`: from the header, which is another name for the field, or from the
    /// body; a message that has none gets one that nobody else has.
    pub(super) fn name_message(&mut self, header: Option<&str>) -> Result<(), ApiError> {
        const FIELD: &str = "client_id";
        let mut own = self.0.iter().filter(|(name, _)| name == FIELD).map(|(_, own)| own.get());
        match (header, own.next(), own.next()) {
            // One too many, which is refused where all are read.
            (_, Some(_), Some(_)) => {}
            (None, Some(own), None) if own != "null" => {}
            (None, ..) => self.set(FIELD, &random_hex::<16>()),
            (Some(header), own, _) => {
                let header = raw(&header);
                if own.is_some_and(|own| own != "null" && !is_same(own, header.get())) {
                    let error = ApiError::new(ErrorCode::BadRequest).with_field(IDEMPOTENCY_KEY);
                    return Err(error.with_message(texts::two_idempotency_keys()));
                }
                self.put(FIELD, header);
            }
        }
        Ok(())
    }

    /// All of them as one JSON object.
    pub(super) fn json(&self) -> String {
        // Pieces of JSON under names are JSON; there is no way for it to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Data;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Data(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Whether two pieces of JSON are the same text, however it is written.
fn is_same(one: &str, other: &str) -> bool {
    let text = |json: &str| serde_json::from_str::<String>(json).ok();
    text(one).is_some_and(|one| text(other) == Some(one))
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    // Numbers, texts and truth values have no way to fail.
    to_raw_value(value).unwrap_or_default()
}
