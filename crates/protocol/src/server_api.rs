//! The server API for a site's backend (docs/protocol.md, "The server API"): bodies of requests, the `data` of
//! responses, and the check of what a backend publishes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use teahouse_core::ids::{ID_MAX, OWN_IDS_START};
use teahouse_core::limits::{
    AVATAR_CHARS_MAX, BIO_CHARS_MAX, CLIENT_ID_CHARS_MAX, CONTENT_CHARS_MAX, DISCONNECT_REASON_BYTES_MAX,
    EMAIL_CHARS_MAX, NICKNAME_CHARS_MAX, PUBLISH_USERS_MAX, SITE_USERS_MAX, SUBJECT_CHARS_MAX,
};
use teahouse_core::{MessageId, Seq, Timestamp, User, UserId, Version};

use crate::number::{id, optional_id, optional_ids, whole};
use crate::object::{Object, object};
use crate::person::PersonBody;
use crate::schema::{EMAIL_OR_EMPTY, NOT_BLANK, VISIBLE, WEB_ADDRESS, exactly_one_of, number};
use crate::v1::{EVENT_TYPES, REQUEST_TYPES, Stored};

/// Characters of a published envelope's type.
pub const PUBLISHED_TYPE_CHARS_MAX: usize = 64;

/// The event types of the classic dialect.
const CLASSIC_TYPES: &[&str] =
    &["message", "heartbeat", "online_count", "private_message", "message_read", "message_deleted", "notification"];

// ── Publishing ──

/// `POST /api/server/publish`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Publication")]
pub struct PublishBody {
    /// The receivers.
    #[serde(deserialize_with = "object")]
    pub to: TargetBody,
    /// The envelope's type: 1 to 64 letters, digits, `_`, `-`, `.` and `:`; none of the server's own.
    #[serde(rename = "type")]
    #[schemars(extend(
        "minLength" = 1, "maxLength" = PUBLISHED_TYPE_CHARS_MAX, "pattern" = "^[A-Za-z0-9_.:\\-]+$", "not" = own_types()
    ))]
    pub kind: String,
    /// The envelope's data; absent and null are an empty object.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub data: Option<Box<RawValue>>,
}

/// The receivers of a publication: exactly one of the fields.
#[derive(Deserialize)]
pub struct TargetBody {
    /// `true`: every connected user.
    pub all: Option<bool>,
    /// These users.
    #[serde(default, deserialize_with = "optional_ids")]
    pub users: Option<Vec<u64>>,
    /// The connected members of a room.
    #[serde(default, deserialize_with = "optional_id")]
    pub room: Option<u64>,
}

impl JsonSchema for TargetBody {
    fn schema_name() -> Cow<'static, str> {
        "PublishTo".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let options = exactly_one_of(&[
            ("all", json!({ "const": true, "description": "Every connected user." })),
            (
                "users",
                json!({
                    "type": "array", "items": number(), "maxItems": PUBLISH_USERS_MAX,
                    "description": "These users, at most 10,000.",
                }),
            ),
            ("room", {
                let mut room = number();
                room.insert("description".to_owned(), "The connected members of a room.".into());
                room.to_value()
            }),
        ]);
        json_schema!({ "description": "The receivers of a publication: exactly one of the fields.", "oneOf": options })
    }
}

fn own_types() -> Value {
    let types: std::collections::BTreeSet<&str> =
        [EVENT_TYPES, REQUEST_TYPES, CLASSIC_TYPES].concat().into_iter().collect();
    json!({ "enum": types })
}

/// Why a backend cannot publish an envelope of some type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TypeFault {
    /// Empty, too long, or with other characters than a type has.
    Spelling,
    /// The server itself uses this type.
    Own,
}

/// Checks the type of a publication.
///
/// # Errors
/// It is malformed, or the server's own.
pub fn check_published_type(kind: &str) -> Result<(), TypeFault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if !(1..=PUBLISHED_TYPE_CHARS_MAX).contains(&kind.len()) || !kind.bytes().all(plain) {
        return Err(TypeFault::Spelling);
    }
    let own = [EVENT_TYPES, REQUEST_TYPES, CLASSIC_TYPES].iter().any(|types| types.contains(&kind));
    if own { Err(TypeFault::Own) } else { Ok(()) }
}

/// Why a backend cannot publish some data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataFault {
    /// No object, or one that not every client can read: nested too deep, with half a surrogate pair, or with a number
    /// that no double holds.
    NotReadable,
    /// A whole number from 2^53 up, which JavaScript would round silently.
    NumberTooLarge,
}

/// A publication's data on one line. Drops white space between tokens and copies everything else, so that neither
/// numbers nor the order of fields change.
///
/// # Errors
/// It is no object, or not every client could read it.
pub fn publishable(data: Option<&RawValue>) -> Result<Box<RawValue>, DataFault> {
    let text = data.map_or("{}", RawValue::get);
    // `RawValue` skips over values that a full parse refuses.
    if !matches!(serde_json::from_str(text), Ok(serde_json::Value::Object(_))) {
        return Err(DataFault::NotReadable);
    }
    RawValue::from_string(on_one_line(text)?).map_err(|_| DataFault::NotReadable)
}

/// Requires well-formed JSON: outside of strings, every digit belongs to a number.
fn on_one_line(text: &str) -> Result<String, DataFault> {
    let mut line = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' => &rest[..string_end(rest)],
            '-' | '0'..='9' => {
                let end = rest.find(|c| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
                let number = &rest[..end];
                let whole = !number.contains(['.', 'e', 'E']);
                if whole && !number.trim_start_matches('-').parse::<u64>().is_ok_and(|size| size <= ID_MAX) {
                    return Err(DataFault::NumberTooLarge);
                }
                number
            }
            other => &rest[..other.len_utf8()],
        };
        if !first.is_ascii_whitespace() {
            line.push_str(token);
        }
        rest = &rest[token.len()..];
    }
    Ok(line)
}

/// The end of the string with which this text begins, after its closing quotation mark.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

// ── Messages ──

/// `POST /api/server/rooms/:id/messages`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Post")]
pub struct PostBody {
    /// The text: 1 to 4000 characters (Unicode scalar values) after trimming.
    #[schemars(extend("minLength" = 1, "maxLength" = CONTENT_CHARS_MAX, "pattern" = NOT_BLANK))]
    pub content: String,
    /// The backend's own reference, unless it is in `Idempotency-Key`. The server stores a message once, however often
    /// the backend sends it.
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = CLIENT_ID_CHARS_MAX))]
    pub client_id: Option<String>,
    /// The user who sends it; absent and null: the site itself.
    #[serde(rename = "as", default, deserialize_with = "optional_id")]
    pub speaker: Option<u64>,
}

/// A message that a site stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Posted")]
pub struct PostedBody {
    /// The same as `id`.
    message_id: u64,
    #[serde(flatten)]
    stored: Stored,
}

impl PostedBody {
    /// A durable message.
    #[must_use]
    pub fn new(id: MessageId, place: (Seq, Version), sent_at: Timestamp, duplicate: bool) -> Self {
        let (seq, version) = place;
        let stored = Stored { id: id.0, seq: seq.0, version: version.0, send_time: sent_at, duplicate };
        Self { message_id: id.0, stored }
    }
}

// ── Users ──

/// `POST /api/server/users`.
pub enum UserBodies {
    /// One user.
    One(Box<UserBody>),
    /// Many.
    Many(Vec<UserBody>),
}

impl JsonSchema for UserBodies {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SiteUserOrList".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let user = generator.subschema_for::<UserBody>();
        json_schema!({ "anyOf": [user, { "type": "array", "items": user, "maxItems": SITE_USERS_MAX }] })
    }
}

/// A user of a site; what is absent or null stays as it is.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SiteUser", extend("oneOf" = [
    { "required": ["id"], "properties": { "id": { "not": { "type": "null" } }, "subject": { "type": "null" } } },
    { "required": ["subject"], "properties": { "subject": { "type": "string" }, "id": { "type": "null" } } },
]))]
pub struct UserBody {
    /// The site's number for the user, which is `sub` of its tokens.
    #[serde(default)]
    pub id: Option<SiteId>,
    /// The site's name for the user, where it has no number.
    #[serde(default)]
    #[schemars(extend("minLength" = 1, "maxLength" = SUBJECT_CHARS_MAX, "pattern" = SUBJECT))]
    pub subject: Option<String>,
    /// The unique name, 1 to 50 characters; a taken one gets a suffix.
    #[schemars(extend("minLength" = 1, "maxLength" = NICKNAME_CHARS_MAX, "pattern" = VISIBLE))]
    pub username: String,
    /// The display name; empty means the username again.
    #[serde(default)]
    #[schemars(extend("maxLength" = NICKNAME_CHARS_MAX))]
    pub nickname: Option<String>,
    /// A picture's address, or empty.
    #[serde(default)]
    #[schemars(extend("maxLength" = AVATAR_CHARS_MAX, "pattern" = WEB_ADDRESS))]
    pub avatar: Option<String>,
    /// A few words about the user, or empty.
    #[serde(default)]
    #[schemars(extend("maxLength" = BIO_CHARS_MAX))]
    pub bio: Option<String>,
    /// The e-mail address, or empty.
    #[serde(default)]
    #[schemars(extend("maxLength" = EMAIL_CHARS_MAX, "pattern" = EMAIL_OR_EMPTY))]
    pub email: Option<String>,
}

/// Anything but a blank text and the subjects of this server's own accounts.
const SUBJECT: &str = r"^(?!teahouse:)[\s\S]*[^\s\u0085]";

/// A user's number, which some backends write as a string.
pub enum SiteId {
    /// As a number.
    Number(u64),
    /// In digits.
    Text(String),
}

impl SiteId {
    /// The spelling in a token's `sub`.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl JsonSchema for SiteId {
    fn schema_name() -> Cow<'static, str> {
        "SiteId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A user's number, which some backends write as a string.",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": OWN_IDS_START - 1, "description": "As a number." },
                // Twelve digits are below 2^40, so that each text that matches is accepted.
                { "type": "string", "pattern": "^[1-9][0-9]{0,11}$", "description": "In digits." },
            ],
        })
    }
}

/// The users that a site created or updated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SiteUsers<'a> {
    users: Vec<PersonBody<'a>>,
}

impl<'a> SiteUsers<'a> {
    /// Keeps the order of the request.
    #[must_use]
    pub fn new(users: &'a [User]) -> Self {
        Self { users: users.iter().map(|user| PersonBody::from(&user.profile)).collect() }
    }
}

/// `POST /api/server/disconnect`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Disconnect")]
pub struct DisconnectBody {
    /// The user whose sessions end.
    #[serde(deserialize_with = "id")]
    pub user_id: u64,
    /// The reason in the close frame, at most 100 bytes; the server's own when absent or empty.
    #[serde(default)]
    #[schemars(extend("maxLength" = DISCONNECT_REASON_BYTES_MAX / 4))]
    pub reason: Option<String>,
}

/// `GET /api/server/presence`: the users of the request who are online.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct OnlineNow {
    online: Vec<u64>,
}

impl OnlineNow {
    /// From ids.
    #[must_use]
    pub fn new(users: &[UserId]) -> Self {
        Self { online: users.iter().map(|user| user.0).collect() }
    }
}

// ── Reading ──

/// By hand, since serde's untagged enum would not name a wrong field.
impl<'de> Deserialize<'de> for UserBodies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = UserBodies;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user or a list of users")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                UserBody::deserialize(MapAccessDeserializer::new(map)).map(|user| UserBodies::One(Box::new(user)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut users = Vec::new();
                while let Some(Object(user)) = seq.next_element()? {
                    users.push(user);
                }
                Ok(UserBodies::Many(users))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for SiteId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = SiteId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text of digits")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<SiteId, E> {
                Ok(SiteId::Number(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<SiteId, E> {
                whole(number).map(SiteId::Number).ok_or_else(|| E::custom("not a whole number below 2^53"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SiteId, E> {
                Ok(SiteId::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests;
