//! The classic routes of the lobby: `/api/chat/…`. The WebSocket's route is in `websocket`.

use std::sync::Arc;

use axum::extract::State;
use teahouse_core::{LOBBY, MessageId};
use teahouse_protocol::classic::http::{ChatPage, OnlineCount, SendBody, Sent};

use super::body::JsonBody;
use super::caller::{Actor, PageReader, Reader, Sender};
use super::parameters::{IdempotencyKey, PathId, QueryParams, blame_idempotency_key};
use super::response::{ApiResponse, ApiResult};
use crate::app::App;
use crate::use_cases::messages::delete_message::delete_message;
use crate::use_cases::messages::read_lobby::{read_lobby_backward, read_lobby_forward};
use crate::use_cases::messages::send_message::{MessageDraft, send_message};

pub(super) async fn send(
    State(app): State<Arc<App>>,
    Sender(caller, (IdempotencyKey(client_id), JsonBody(body))): Sender<(IdempotencyKey, JsonBody<SendBody>)>,
) -> ApiResult {
    let draft = MessageDraft::lobby(caller.id(), body.content, client_id, caller.address);
    let stored = send_message(&app, draft).await.map_err(|error| blame_idempotency_key(error.into()))?;
    Ok(ApiResponse::ok(&Sent::new(stored.id, stored.sent_at)))
}

pub(super) async fn messages(
    State(app): State<Arc<App>>,
    PageReader(_, permit): PageReader,
    query: QueryParams,
) -> ApiResult {
    let page = read_lobby_backward(&app, query.message("before_id")?, query.limit()?).await?;
    Ok(ApiResponse::ok(&ChatPage::new(&page.messages, page.has_more)).holding(Some(permit)))
}

pub(super) async fn new_messages(
    State(app): State<Arc<App>>,
    PageReader(_, permit): PageReader,
    query: QueryParams,
) -> ApiResult {
    let page = read_lobby_forward(&app, query.message("after_id")?, query.limit()?).await?;
    Ok(ApiResponse::ok(&ChatPage::new(&page.messages, page.has_more)).holding(Some(permit)))
}

pub(super) async fn delete(State(app): State<Arc<App>>, Actor(caller): Actor, PathId(id): PathId) -> ApiResult {
    delete_message(&app, caller.id(), Some(LOBBY), MessageId(id)).await?;
    Ok(ApiResponse::ok(&()))
}

pub(super) async fn online_count(State(app): State<Arc<App>>, _: Reader) -> ApiResult {
    Ok(ApiResponse::ok(&OnlineCount { count: app.live.online_count() }))
}
