//! The server API: the routes of a site's backend, under `/api/server`. A caller has an API key. No rate applies, but
//! every request is bounded in size.

mod backend;

use std::sync::Arc;

use axum::extract::State;
use teahouse_core::{ErrorCode, RoomId, UserId};
use teahouse_protocol::http::Done;
use teahouse_protocol::server_api::{
    DisconnectBody, OnlineNow, PostBody, PostedBody, PublishBody, SiteId, SiteUsers, TargetBody, UserBodies, UserBody,
};

use super::parameters::{IdempotencyKey, PathId, QueryParams, invalid_id, parse_integer};
use super::response::{ApiResponse, ApiResult};
use crate::app::App;
use crate::errors::{ApiError, messages as texts};
use crate::use_cases::presence::filter_online::{USERS_MAX, filter_online};
use crate::use_cases::site::disconnect_user::disconnect_user;
use crate::use_cases::site::post_message::{self, SiteMessage};
use crate::use_cases::site::publish::{self, Target};
use crate::use_cases::site::put_users::{self, ProfileUpdate, PutUsersError, SiteUserDraft, SiteUserKey};
use backend::{Backend, BackendBody, OneOrMany};

pub(super) async fn publish_event(
    _: Backend,
    State(app): State<Arc<App>>,
    BackendBody(body): BackendBody<PublishBody>,
) -> ApiResult {
    publish::publish(&app, target(body.to)?, &body.kind, body.data.as_deref()).await?;
    Ok(ApiResponse::ok(&Done::OK))
}

fn target(to: TargetBody) -> Result<Target, ApiError> {
    match (to.all, to.users, to.room) {
        (Some(true), None, None) => Ok(Target::All),
        (None, Some(users), None) => Ok(Target::Users(users.into_iter().map(UserId).collect())),
        (None, None, Some(room)) => Ok(Target::Room(RoomId(room))),
        _ => Err(ApiError::invalid_field("to").with_message(texts::invalid_target())),
    }
}

pub(super) async fn post_message(
    _: Backend,
    State(app): State<Arc<App>>,
    PathId(room): PathId,
    IdempotencyKey(header): IdempotencyKey,
    BackendBody(body): BackendBody<PostBody>,
) -> ApiResult {
    let missing = || ApiError::invalid_field("client_id").with_message(texts::missing_field("client_id"));
    let client_id = body.client_id.or(header).ok_or_else(missing)?;
    let sender = body.speaker.map(UserId);
    let message = SiteMessage { room: RoomId(room), sender, content: body.content, client_id };
    let stored = post_message::post_message(&app, message).await?;
    let position = (stored.seq, stored.version);
    let posted = PostedBody::new(stored.id, position, stored.sent_at, stored.duplicate);
    Ok(ApiResponse::ok(&posted).created())
}

pub(super) async fn put_users(
    _: Backend,
    State(app): State<Arc<App>>,
    OneOrMany(bodies): OneOrMany<UserBodies>,
) -> ApiResult {
    let (is_list, bodies) = match bodies {
        UserBodies::One(body) => (false, vec![*body]),
        UserBodies::Many(bodies) => (true, bodies),
    };
    let at = |index: usize, error: ApiError| if is_list { error.prefix_field(&format!("[{index}]")) } else { error };
    let read = |(index, body)| draft(body).map_err(|error| at(index, error));
    let drafts = bodies.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let users = put_users::put_users(&app, drafts).await.map_err(|error| match error {
        PutUsersError::User(index, error) => at(index, error.into()),
        other => other.into(),
    })?;
    Ok(ApiResponse::ok(&SiteUsers::new(&users)))
}

fn draft(body: UserBody) -> Result<SiteUserDraft, ApiError> {
    let key = match (body.id.map(SiteId::into_text), body.subject) {
        (Some(id), None) => SiteUserKey::Id(id),
        (None, Some(subject)) => SiteUserKey::Subject(subject),
        (None, None) => return Err(ApiError::invalid_field("id").with_message(texts::missing_field("id"))),
        (Some(_), Some(_)) => return Err(ApiError::invalid_field("subject").with_message(texts::id_and_subject())),
    };
    let profile = ProfileUpdate { nickname: body.nickname, avatar: body.avatar, bio: body.bio };
    Ok(SiteUserDraft { key, username: body.username, email: body.email, profile })
}

pub(super) async fn disconnect(
    _: Backend,
    State(app): State<Arc<App>>,
    BackendBody(body): BackendBody<DisconnectBody>,
) -> ApiResult {
    disconnect_user(&app, UserId(body.user_id), body.reason.as_deref()).await?;
    Ok(ApiResponse::ok(&Done::OK))
}

pub(super) async fn presence(_: Backend, State(app): State<Arc<App>>, query: QueryParams) -> ApiResult {
    let users = user_ids(query.value("user_ids").ok_or_else(|| invalid_id("user_ids".to_owned()))?)?;
    Ok(ApiResponse::ok(&OnlineNow::new(&filter_online(&app, users))))
}

/// Ids separated by commas. An empty text is an empty list.
pub(super) fn user_ids(text: &str) -> Result<Vec<UserId>, ApiError> {
    let pieces = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    let users: Vec<UserId> = pieces
        .map(|piece| parse_integer(piece).map(UserId).ok_or_else(|| invalid_id("user_ids".to_owned())))
        .take(USERS_MAX + 1)
        .collect::<Result<_, _>>()?;
    if users.len() > USERS_MAX {
        let message = texts::too_many_users(USERS_MAX);
        return Err(ApiError::new(ErrorCode::BadRequest).with_field("user_ids").with_message(message));
    }
    Ok(users)
}
