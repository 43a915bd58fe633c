//! The routes of a site's backend, under `/api/server`. Whoever calls has a key; there is no rate, since it is
//! the site itself that calls, but everything has a size.

mod backend;
mod refusals;
mod sentences;

use std::sync::Arc;

use axum::extract::State;
use teahouse_core::{RoomId, UserId};
use teahouse_protocol::classic::http::Done;
use teahouse_protocol::server_api::{
    DisconnectBody, OnlineNow, PostBody, PostedBody, PublishBody, SiteId, SiteUsers, TargetBody, UserBodies, UserBody,
};

use super::answer::{Answer, Handled};
use super::parameters::{Asked, IdempotencyKey, PathId, not_an_id, number};
use super::refusal::Refusal;
use super::sentence;
use crate::app::App;
use crate::use_cases::disconnect_user::disconnect_user;
use crate::use_cases::post_as_site::{SiteDraft, post_as_site};
use crate::use_cases::publish::{self, Target};
use crate::use_cases::put_site_users::{PutUsersError, SiteUserDraft, Whose, put_site_users};
use crate::use_cases::read_presence::{self, read_presence};
use crate::use_cases::update_profile::ProfileWish;
use backend::{Backend, BackendFields, OneOrMany};

pub(super) async fn publish_event(
    _: Backend,
    State(app): State<Arc<App>>,
    BackendFields(body): BackendFields<PublishBody>,
) -> Handled {
    publish::publish(&app, target(body.to)?, &body.kind, body.data.as_deref()).await?;
    Ok(Answer::ok(&Done::OK))
}

fn target(to: TargetBody) -> Result<Target, Refusal> {
    match (to.all, to.users, to.room) {
        (Some(true), None, None) => Ok(Target::All),
        (None, Some(users), None) => Ok(Target::Users(users.into_iter().map(UserId).collect())),
        (None, None, Some(room)) => Ok(Target::Room(RoomId(room))),
        _ => Err(Refusal::field("to").saying(sentences::one_target())),
    }
}

pub(super) async fn post_message(
    _: Backend,
    State(app): State<Arc<App>>,
    PathId(room): PathId,
    IdempotencyKey(header): IdempotencyKey,
    BackendFields(body): BackendFields<PostBody>,
) -> Handled {
    let missing = || Refusal::field("client_id").saying(sentence::missing_field("client_id"));
    let client_id = body.client_id.or(header).ok_or_else(missing)?;
    let speaker = body.speaker.map(UserId);
    let draft = SiteDraft { room: RoomId(room), speaker, content: body.content, client_id };
    let stored = post_as_site(&app, draft).await?;
    let place = (stored.seq, stored.version);
    Ok(Answer::created(&PostedBody::new(stored.id, place, stored.sent_at, stored.duplicate)))
}

pub(super) async fn put_users(
    _: Backend,
    State(app): State<Arc<App>>,
    OneOrMany(bodies): OneOrMany<UserBodies>,
) -> Handled {
    let (listed, bodies) = match bodies {
        UserBodies::One(body) => (false, vec![*body]),
        UserBodies::Many(bodies) => (true, bodies),
    };
    let at = |place: usize, refusal: Refusal| if listed { refusal.within(&format!("[{place}]")) } else { refusal };
    let one = |(place, body)| draft(body).map_err(|refusal| at(place, refusal));
    let drafts = bodies.into_iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()?;
    let users = put_site_users(&app, drafts).await.map_err(|error| match error {
        PutUsersError::User(place, fault) => at(place, fault.into()),
        other => other.into(),
    })?;
    Ok(Answer::ok(&SiteUsers::new(&users)))
}

fn draft(body: UserBody) -> Result<SiteUserDraft, Refusal> {
    let who = match (body.id.map(SiteId::into_text), body.subject) {
        (Some(id), None) => Whose::Id(id),
        (None, Some(subject)) => Whose::Subject(subject),
        (None, None) => return Err(Refusal::field("id").saying(sentence::missing_field("id"))),
        (Some(_), Some(_)) => return Err(Refusal::field("subject").saying(sentences::id_or_subject())),
    };
    let profile = ProfileWish { nickname: body.nickname, avatar: body.avatar, bio: body.bio };
    Ok(SiteUserDraft { who, username: body.username, email: body.email, profile })
}

pub(super) async fn disconnect(
    _: Backend,
    State(app): State<Arc<App>>,
    BackendFields(body): BackendFields<DisconnectBody>,
) -> Handled {
    disconnect_user(&app, UserId(body.user_id), body.reason.as_deref()).await?;
    Ok(Answer::ok(&Done::OK))
}

pub(super) async fn presence(_: Backend, State(app): State<Arc<App>>, asked: Asked) -> Handled {
    let users = user_ids(asked.value("user_ids").ok_or_else(|| not_an_id("user_ids".to_owned()))?)?;
    Ok(Answer::ok(&OnlineNow::new(&read_presence(&app, users))))
}

/// Ids with commas between them; nothing at all is nobody, as a list that happens to be empty is joined.
pub(super) fn user_ids(text: &str) -> Result<Vec<UserId>, Refusal> {
    let pieces = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    let users: Vec<UserId> = pieces
        .map(|piece| number(piece).map(UserId).ok_or_else(|| not_an_id("user_ids".to_owned())))
        .take(read_presence::USERS_MAX + 1)
        .collect::<Result<_, _>>()?;
    if users.len() > read_presence::USERS_MAX {
        let sentence = sentences::too_many(read_presence::USERS_MAX);
        return Err(Refusal::new(teahouse_core::ErrorCode::BadRequest).naming("user_ids").saying(sentence));
    }
    Ok(users)
}
