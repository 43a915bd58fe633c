//! The server API, by which a site's backend speaks (docs/protocol.md): what it asks, what it is answered,
//! and what it may publish. It has the envelope around its answers in common with the classic routes.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use teahouse_core::ids::ID_MAX;
use teahouse_core::{MessageId, Seq, Timestamp, User, UserId, Version};

use crate::person::Person;
use crate::v1::{EVENT_TYPES, REQUEST_TYPES, Stored};

/// Characters of a published envelope's type.
pub const PUBLISHED_TYPE_CHARS_MAX: usize = 64;

/// Types of the classic dialect that are not of the other one as well.
const CLASSIC_TYPES: &[&str] =
    &["message", "heartbeat", "online_count", "private_message", "message_read", "message_deleted", "notification"];

// ── Publishing ──

/// `POST /api/server/publish`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Publication")]
pub struct PublishBody {
    /// To whom.
    pub to: TargetBody,
    /// The envelope's type: 1 to 64 letters, digits, `_`, `-`, `.` and `:`; none of the server's own.
    #[serde(rename = "type")]
    pub kind: String,
    /// The envelope's data; absent and null are an empty object.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub data: Option<Box<RawValue>>,
}

/// To whom something is published: exactly one of these.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PublishTo")]
pub struct TargetBody {
    /// `true`: everybody who is connected.
    pub all: Option<bool>,
    /// These users, at most 10,000.
    #[serde(default, deserialize_with = "ids")]
    pub users: Option<Vec<u64>>,
    /// The members of a room who are connected.
    #[serde(default, deserialize_with = "some_id")]
    pub room: Option<u64>,
}

/// Why something cannot be an envelope's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TypeFault {
    /// Empty, too long, or with other characters than a type has.
    Spelling,
    /// The server speaks under this name itself.
    Own,
}

/// Checks the type of something to be published.
///
/// # Errors
/// It is not spelled like one, or is one of ours.
pub fn check_published_type(kind: &str) -> Result<(), TypeFault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if !(1..=PUBLISHED_TYPE_CHARS_MAX).contains(&kind.len()) || !kind.bytes().all(plain) {
        return Err(TypeFault::Spelling);
    }
    let own = [EVENT_TYPES, REQUEST_TYPES, CLASSIC_TYPES].iter().any(|types| types.contains(&kind));
    if own { Err(TypeFault::Own) } else { Ok(()) }
}

/// Why something cannot be published as an envelope's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataFault {
    /// Not an object, or one that not every client can read: nested too deep, with half a surrogate pair,
    /// with a number beyond what a double holds.
    NotReadable,
    /// A whole number from 2^53 up, which JavaScript would round without a word.
    NumberTooLarge,
}

/// An envelope's data for publishing, anew on one line: white space between its tokens goes, everything else
/// stays as it was written, so that no number or order of fields changes on the way.
///
/// # Errors
/// It is no object, or not every client could read it as it is meant.
pub fn publishable(data: Option<&RawValue>) -> Result<Box<RawValue>, DataFault> {
    let text = data.map_or("{}", RawValue::get);
    // Whoever only looks for a value's end reads more leniently than whoever reads the value.
    if !matches!(serde_json::from_str(text), Ok(serde_json::Value::Object(_))) {
        return Err(DataFault::NotReadable);
    }
    RawValue::from_string(on_one_line(text)?).map_err(|_| DataFault::NotReadable)
}

/// `text` is JSON: outside of strings, every digit belongs to a number.
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

/// Where the string ends that this text begins with, its quotation marks included.
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

// ── Saying something ──

/// `POST /api/server/rooms/:id/messages`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Post")]
pub struct PostBody {
    /// The text: 1 to 4000 characters (Unicode scalar values) after trimming.
    pub content: String,
    /// Under which sending again stores nothing twice; may come as a header instead.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The user who says it; nobody: the site itself.
    #[serde(rename = "as", default, deserialize_with = "some_id")]
    pub speaker: Option<u64>,
}

/// Where a site's message came to lie.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Posted")]
pub struct PostedBody {
    message_id: u64,
    #[serde(flatten)]
    stored: Stored,
}

impl PostedBody {
    /// This message, which is durable.
    #[must_use]
    pub fn new(id: MessageId, place: (Seq, Version), sent_at: Timestamp, duplicate: bool) -> Self {
        let (seq, version) = place;
        let stored = Stored { id: id.0, seq: seq.0, version: version.0, send_time: sent_at, duplicate };
        Self { message_id: id.0, stored }
    }
}

// ── People ──

/// `POST /api/server/users`.
pub enum UserBodies {
    /// One user.
    One(Box<UserBody>),
    /// Many.
    Many(Vec<UserBody>),
}

/// What a site says of one of its users; what is absent or null stays as it is.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SiteUser")]
pub struct UserBody {
    /// The site's number for the user, as its tokens' `sub` has it.
    #[serde(default)]
    pub id: Option<SiteId>,
    /// The site's name for the user, where it has no number.
    #[serde(default)]
    pub subject: Option<String>,
    /// The unique name, 1 to 50 characters; one that is taken gets a suffix.
    pub username: String,
    /// The name that is shown; empty means the username again.
    #[serde(default)]
    pub nickname: Option<String>,
    /// A picture's address, or empty.
    #[serde(default)]
    pub avatar: Option<String>,
    /// A few words, or empty.
    #[serde(default)]
    pub bio: Option<String>,
    /// The e-mail address.
    #[serde(default)]
    pub email: Option<String>,
}

/// A user's number, as some backends write it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "SiteId")]
pub enum SiteId {
    /// As a number.
    Number(u64),
    /// In digits.
    Text(String),
}

impl SiteId {
    /// As a token's `sub` spells it.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// The users that a site made or updated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SiteUsers<'a> {
    users: Vec<Person<'a>>,
}

impl<'a> SiteUsers<'a> {
    /// These, in the order in which they were given.
    #[must_use]
    pub fn new(users: &'a [User]) -> Self {
        Self { users: users.iter().map(|user| Person::from(&user.profile)).collect() }
    }
}

/// `POST /api/server/disconnect`.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Disconnect")]
pub struct DisconnectBody {
    /// Whose sockets close.
    #[serde(deserialize_with = "id")]
    pub user_id: u64,
    /// What the user is told, at most 100 bytes; a word of the server's when absent or empty.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `GET /api/server/presence`: who of those who were asked for is online.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct OnlineNow {
    online: Vec<u64>,
}

impl OnlineNow {
    /// These.
    #[must_use]
    pub fn new(users: &[UserId]) -> Self {
        Self { online: users.iter().map(|user| user.0).collect() }
    }
}

// ── Reading ──

/// By hand, since serde's own untagged enum would say of a wrong field only that nothing fits.
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
                while let Some(user) = seq.next_element()? {
                    users.push(user);
                }
                Ok(UserBodies::Many(users))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// A number that JavaScript reads exactly.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(u64::deserialize(deserializer)?)
}

fn some_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<u64>::deserialize(deserializer)?.map(within).transpose()
}

fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u64>>, D::Error> {
    let ids = Option::<Vec<u64>>::deserialize(deserializer)?;
    ids.map(|ids| ids.into_iter().map(within).collect()).transpose()
}

fn within<E: serde::de::Error>(number: u64) -> Result<u64, E> {
    if number <= ID_MAX { Ok(number) } else { Err(E::custom("not below 2^53")) }
}

#[cfg(test)]
mod tests;
