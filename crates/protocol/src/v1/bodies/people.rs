//! Users and members, and who of them is online.

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::{Profile, Role, User};

use crate::person::PersonBody;
use crate::schema::{RoleWord, UserRoleWord};

/// `members`: a page of a room's members.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Members<'a> {
    /// In the order of their ids.
    members: Vec<MemberBody<'a>>,
    /// `after` of the next page; null on the last page.
    next: Option<u64>,
}

/// A member of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Member")]
struct MemberBody<'a> {
    #[serde(flatten)]
    person: PersonBody<'a>,
    /// Their role in it.
    #[schemars(with = "RoleWord")]
    role: &'static str,
}

impl<'a> Members<'a> {
    /// `more` tells whether others follow the last of these members.
    #[must_use]
    pub fn new(members: &'a [(Profile, Role)], more: bool) -> Self {
        let body = |(profile, role): &'a (Profile, Role)| MemberBody { person: profile.into(), role: role.as_str() };
        let next = members.last().filter(|_| more).map(|(profile, _)| profile.id.0);
        Self { members: members.iter().map(body).collect(), next }
    }
}

/// `users`: a page of users whose name matches the query.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Users<'a> {
    /// In the order of their ids.
    users: Vec<PersonBody<'a>>,
    /// `after` of the next page; null on the last page.
    next: Option<u64>,
}

impl<'a> Users<'a> {
    /// `more` tells whether others follow the last of these users.
    #[must_use]
    pub fn new(people: &'a [Profile], more: bool) -> Self {
        let next = people.last().filter(|_| more).map(|profile| profile.id.0);
        Self { users: people.iter().map(PersonBody::from).collect(), next }
    }
}

/// The caller, in `welcome`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct OwnUser<'a> {
    #[serde(flatten)]
    person: PersonBody<'a>,
    /// The caller's role on the whole server.
    #[schemars(with = "UserRoleWord")]
    role: &'static str,
}

impl<'a> From<&'a User> for OwnUser<'a> {
    fn from(user: &'a User) -> Self {
        Self { person: (&user.profile).into(), role: user.role.as_str() }
    }
}

/// `presence`: the members of a room who are online.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct PresenceNow {
    /// Ids in order; empty in large rooms, which only count.
    pub online: Vec<u64>,
    /// The number of members online.
    pub count: u64,
    /// Whether `online` leaves members out.
    pub truncated: bool,
}
