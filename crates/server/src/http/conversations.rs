//! The classic routes of private messages: `/api/conversations…` and `/api/messages/send`.

use std::sync::Arc;

use axum::extract::State;
use teahouse_core::{ErrorCode, RoomId, UserId};
use teahouse_protocol::classic::http::{
    ConversationBody, ConversationPage, ConversationReader, Conversations, PrivateBody, PrivateSent, Started,
    UnreadCount,
};
use teahouse_store::AppendError;

use super::body::JsonBody;
use super::caller::{Actor, PageReader, Reader, Sender, WholeReader};
use super::parameters::{IdempotencyKey, PathId, QueryParams, blame_idempotency_key};
use super::response::{ApiResponse, ApiResult};
use crate::app::App;
use crate::errors::{ApiError, messages as texts};
use crate::use_cases::messages::read_conversation::read_conversation;
use crate::use_cases::messages::send_message::{MessageDraft, SendError, send_message};
use crate::use_cases::rooms::count_unread::count_unread;
use crate::use_cases::rooms::list_conversations::list_conversations;
use crate::use_cases::rooms::mark_read::mark_conversation_read;
use crate::use_cases::rooms::open_direct_room::open_direct_room;

pub(super) async fn list(State(app): State<Arc<App>>, WholeReader(caller, permit): WholeReader) -> ApiResult {
    let conversations = list_conversations(&app, caller.id()).await?;
    let entries = conversations.iter().map(|entry| {
        let last = entry.last_message.as_ref().map(|(text, time)| (text.as_str(), *time));
        ConversationBody::new(entry.room, &entry.peer, last, entry.unread, entry.created_at)
    });
    Ok(ApiResponse::ok(&Conversations::new(entries.collect())).holding(Some(permit)))
}

pub(super) async fn unread(State(app): State<Arc<App>>, Reader(caller): Reader) -> ApiResult {
    let unread_count = count_unread(&app, caller.id()).await?;
    Ok(ApiResponse::ok(&UnreadCount { unread_count }))
}

pub(super) async fn start(State(app): State<Arc<App>>, Actor(caller): Actor, PathId(peer): PathId) -> ApiResult {
    let opened = open_direct_room(&app, caller.id(), UserId(peer), None).await;
    let room = opened.map_err(|error| ApiError::from(error).rename_field("user", "userId"))?;
    Ok(ApiResponse::ok(&Started::new(room.id)))
}

pub(super) async fn messages(
    State(app): State<Arc<App>>,
    PageReader(caller, permit): PageReader,
    PathId(room): PathId,
    query: QueryParams,
) -> ApiResult {
    let (before, limit) = (query.message("before_id")?, query.limit()?);
    let page = read_conversation(&app, caller.id(), RoomId(room), before, limit).await?;
    let direct = &page.room;
    let reader = ConversationReader {
        own: &direct.own,
        peer: &direct.peer,
        read_seq: direct.read_seq,
        peer_read_seq: direct.peer_read_seq,
    };
    Ok(ApiResponse::ok(&ConversationPage::new(&page.messages, &reader)).holding(Some(permit)))
}

pub(super) async fn read(State(app): State<Arc<App>>, Actor(caller): Actor, PathId(room): PathId) -> ApiResult {
    mark_conversation_read(&app, caller.id(), RoomId(room)).await?;
    Ok(ApiResponse::ok(&()))
}

pub(super) async fn send(
    State(app): State<Arc<App>>,
    Sender(caller, (IdempotencyKey(client_id), JsonBody(body))): Sender<(IdempotencyKey, JsonBody<PrivateBody>)>,
) -> ApiResult {
    let PrivateBody { receiver_id, content } = body;
    let draft = MessageDraft::private(caller.id(), UserId(receiver_id), content, client_id, caller.address);
    let stored = send_message(&app, draft).await.map_err(private_error)?;
    Ok(ApiResponse::ok(&PrivateSent::new(stored.id, stored.room)).created())
}

/// The errors of sending, for a request that names a user instead of a room.
fn private_error(error: SendError) -> ApiError {
    match error {
        SendError::Append(AppendError::NotFound) => {
            ApiError::new(ErrorCode::NotFound).with_message(texts::user_not_found())
        }
        error => blame_idempotency_key(ApiError::from(error).rename_field("user", "receiver_id")),
    }
}
