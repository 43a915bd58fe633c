//! Builds a request's `data` from its path, query and body. The path and the query take precedence over the body.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use teahouse_core::ErrorCode;
use teahouse_protocol::routes::Route;
use teahouse_protocol::v1::FieldKind;

use crate::app::App;
use crate::crypto::random_hex;
use crate::errors::{ApiError, messages as texts};
use crate::http::body::JsonBody;
use crate::http::parameters::{IDEMPOTENCY_KEY, invalid_id, parse_integer, parse_limit};

/// The parameters of a request's path and query, as JSON.
pub(super) struct Address(Vec<(String, Box<RawValue>)>);

impl Address {
    /// Reads the path, and the query fields of the route. The last of duplicate parameters counts.
    pub(super) async fn read(parts: &mut Parts, route: &Route) -> Result<Self, ApiError> {
        let unreadable = || ApiError::new(ErrorCode::BadRequest);
        let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| unreadable())?;
        let Query(query): Query<Vec<(String, String)>> =
            Query::from_request_parts(parts, &()).await.map_err(|_| unreadable())?;
        let query_fields = query.iter().filter_map(|(name, text)| {
            let (_, kind) = route.query_fields().find(|(field, _)| field == name)?;
            Some((name.as_str(), text.as_str(), kind))
        });
        let path_fields = path.iter().map(|(name, text)| (name, text, route.field_kind(name)));
        query_fields
            .chain(path_fields)
            .map(|(name, text, kind)| Ok((name.to_owned(), value(name, text, kind)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn value(name: &str, text: &str, kind: FieldKind) -> Result<Box<RawValue>, ApiError> {
    match (kind, text) {
        (FieldKind::Flag, "true") => Ok(raw(&true)),
        (FieldKind::Flag, "false") => Ok(raw(&false)),
        // The reader of the request refuses a text in the place of a flag or a list.
        (FieldKind::Text | FieldKind::Flag | FieldKind::List, _) => Ok(raw(&text)),
        (FieldKind::Count, _) => Ok(raw(&parse_limit(text)?)),
        (FieldKind::Number, _) => {
            parse_integer(text).map(|number| raw(&number)).ok_or_else(|| invalid_id(name.to_owned()))
        }
    }
}

/// The fields of a request's `data`. Duplicate fields stay, so that the reader refuses them as over a socket.
#[derive(Default)]
pub(super) struct Data(Vec<(String, Box<RawValue>)>);

impl Data {
    /// Reads the fields of the body; an empty one has none.
    pub(super) async fn read(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let JsonBody(fields) = JsonBody::from_request(request, app).await?;
        Ok(fields)
    }

    /// Sets or replaces a field.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) {
        self.put(name, raw(value));
    }

    /// Sets or replaces every field of the address.
    pub(super) fn set_all(&mut self, address: &Address) {
        address.0.iter().for_each(|(name, value)| self.put(name, value.clone()));
    }

    fn put(&mut self, name: &str, value: Box<RawValue>) {
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), value));
    }

    /// Sets a message's `client_id`: from `Idempotency-Key`, from the body, or a random one.
    pub(super) fn set_client_id(&mut self, header: Option<&str>) -> Result<(), ApiError> {
        const FIELD: &str = "client_id";
        let mut own = self.0.iter().filter(|(name, _)| name == FIELD).map(|(_, own)| own.get());
        match (header, own.next(), own.next()) {
            // The reader refuses duplicate fields.
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

    /// The fields as one JSON object.
    pub(super) fn json(&self) -> String {
        // A map of names to JSON is JSON; this cannot fail.
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

/// Whether two JSON strings are the same text, whatever their escapes.
fn is_same(one: &str, other: &str) -> bool {
    let text = |json: &str| serde_json::from_str::<String>(json).ok();
    text(one).is_some_and(|one| text(other) == Some(one))
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    // Serializing numbers, texts and flags cannot fail.
    to_raw_value(value).unwrap_or_default()
}
