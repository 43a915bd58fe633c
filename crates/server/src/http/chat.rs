//! The routes of the lobby: `/api/chat/…`. The WebSocket is elsewhere.

use std::sync::Arc;

use axum::extract::State;
use teahouse_core::{LOBBY, MessageId};
use teahouse_protocol::classic::http::{ChatPage, OnlineCount, OnlineUsers, SendBody, Sent};

use super::answer::{Answer, Handled};
use super::body::Fields;
use super::caller::{Actor, Caller, Reader};
use super::parameters::{Asked, IdempotencyKey, PathId};
use super::refusal::Refusal;
use crate::app::App;
use crate::use_cases::delete_message::delete_message;
use crate::use_cases::read_history::{read_backward, read_forward};
use crate::use_cases::send_message::{Draft, send_message};
use crate::use_cases::who_is_online::who_is_online;

pub(super) async fn send(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdempotencyKey(client_id): IdempotencyKey,
    Fields(SendBody { content }): Fields<SendBody>,
) -> Handled {
    let draft = Draft::lobby(caller.id(), content, client_id, caller.address);
    let stored = send_message(&app, draft).await.map_err(|error| Refusal::from(error).with_key_in_a_header())?;
    Ok(Answer::ok(&Sent::new(stored.id, stored.sent_at)))
}

pub(super) async fn messages(State(app): State<Arc<App>>, _: Reader, asked: Asked) -> Handled {
    let page = read_backward(&app, asked.message("before_id")?, asked.limit()?).await?;
    Ok(Answer::ok(&ChatPage::new(&page.messages, page.has_more)))
}

pub(super) async fn new_messages(State(app): State<Arc<App>>, _: Reader, asked: Asked) -> Handled {
    let page = read_forward(&app, asked.message("after_id")?, asked.limit()?).await?;
    Ok(Answer::ok(&ChatPage::new(&page.messages, page.has_more)))
}

pub(super) async fn delete(State(app): State<Arc<App>>, Actor(caller): Actor, PathId(id): PathId) -> Handled {
    delete_message(&app, caller.id(), Some(LOBBY), MessageId(id)).await?;
    Ok(Answer::ok(&()))
}

pub(super) async fn online_count(State(app): State<Arc<App>>, _: Reader) -> Handled {
    Ok(Answer::ok(&OnlineCount { count: app.live.online_count() }))
}

pub(super) async fn online_users(State(app): State<Arc<App>>, _: Reader) -> Handled {
    let profiles = who_is_online(&app).await?;
    Ok(Answer::ok(&OnlineUsers::new(&profiles)))
}
