//! A request's `data`, put together from what came in its path, its query and its body. What the address
//! says is never overruled by the body.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use teahouse_core::ErrorCode;

use crate::app::App;
use crate::http::body::Fields;
use crate::http::parameters::{self, not_an_id, number};
use crate::http::refusal::Refusal;
use crate::http::refusals::IDEMPOTENCY_KEY;
use crate::http::sentence;
use crate::secrets::random_hex;

/// What stands in a request's path and query.
pub(super) struct Address(Vec<(String, Box<RawValue>)>);

impl Address {
    /// Everything in the path, and of the query what is in `known`; of one given twice the last counts.
    pub(super) async fn read(parts: &mut Parts, known: &[&str]) -> Result<Self, Refusal> {
        let unreadable = || Refusal::new(ErrorCode::BadRequest);
        let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| unreadable())?;
        let Query(query): Query<Vec<(String, String)>> =
            Query::from_request_parts(parts, &()).await.map_err(|_| unreadable())?;
        let known = query.iter().filter(|(name, _)| known.contains(&name.as_str()));
        let all = known.map(|(name, text)| (name.as_str(), text.as_str())).chain(&path);
        all.map(|(name, text)| Ok((name.to_owned(), value(name, text)?))).collect::<Result<_, _>>().map(Self)
    }
}

/// What the text of a parameter means: words are few, all others are numbers.
fn value(name: &str, text: &str) -> Result<Box<RawValue>, Refusal> {
    match name {
        "query" | "emoji" => Ok(raw(&text)),
        "limit" => Ok(raw(&parameters::limit(text)?)),
        _ => number(text).map(|number| raw(&number)).ok_or_else(|| not_an_id(name.to_owned())),
    }
}

/// The fields of a request's `data`.
#[derive(Default)]
pub(super) struct Data(BTreeMap<String, Box<RawValue>>);

impl Data {
    /// Those of the body; an empty one has none.
    pub(super) async fn read(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let Fields(fields) = Fields::from_request(request, app).await?;
        Ok(Self(fields))
    }

    /// Sets a field, whatever it was.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) {
        self.0.insert(name.to_owned(), raw(value));
    }

    /// Sets every field of the address.
    pub(super) fn set_all(&mut self, address: &Address) {
        self.0.extend(address.0.iter().cloned());
    }

    /// Gives a message its `client_id`: from the header, which is another name for the field, or from the
    /// body; a message that has none gets one that nobody else has.
    pub(super) fn name_message(&mut self, header: Option<&str>) -> Result<(), Refusal> {
        const FIELD: &str = "client_id";
        let own = self.0.get(FIELD).map(|own| own.get()).filter(|own| *own != "null");
        match (header, own) {
            (None, Some(_)) => {}
            (None, None) => self.set(FIELD, &random_hex::<16>()),
            (Some(header), own) => {
                let header = raw(&header);
                if own.is_some_and(|own| !is_same(own, header.get())) {
                    let refusal = Refusal::new(ErrorCode::BadRequest).naming(IDEMPOTENCY_KEY);
                    return Err(refusal.saying(sentence::two_keys()));
                }
                self.0.insert(FIELD.to_owned(), header);
            }
        }
        Ok(())
    }

    /// All of them as one JSON object.
    pub(super) fn json(&self) -> String {
        // A map of text to JSON is JSON; there is no way for it to fail.
        serde_json::to_string(&self.0).unwrap_or_default()
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
