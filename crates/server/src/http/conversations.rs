//! The routes of private messages: `/api/conversations…` and `/api/messages/send`.

use std::sync::Arc;

use axum::extract::State;
use teahouse_core::{ErrorCode, RoomId, UserId};
use teahouse_protocol::classic::http::{
    ConversationEntry, ConversationPage, Conversations, Glance, PrivateBody, PrivateSent, Started, UnreadCount,
};
use teahouse_store::AppendError;

use super::answer::{Answer, Handled};
use super::body::Fields;
use super::caller::{Actor, Caller, Reader};
use super::parameters::{Asked, IdempotencyKey, PathId};
use super::refusal::Refusal;
use super::sentence;
use crate::app::App;
use crate::use_cases::list_conversations::{count_unread, list_conversations};
use crate::use_cases::mark_read::mark_conversation_read;
use crate::use_cases::open_conversation::open_conversation;
use crate::use_cases::read_conversation::{ConversationView, read_conversation};
use crate::use_cases::send_private::{Draft, SendError, send_private};

pub(super) async fn list(State(app): State<Arc<App>>, Reader(caller): Reader) -> Handled {
    let found = list_conversations(&app, caller.id()).await?;
    let entries = found.iter().map(|entry| {
        let last = entry.last_message.as_ref().map(|(text, time)| (text.as_str(), *time));
        ConversationEntry::new(entry.room, &entry.peer, last, entry.unread, entry.created_at)
    });
    Ok(Answer::ok(&Conversations::new(entries.collect())))
}

pub(super) async fn unread(State(app): State<Arc<App>>, Reader(caller): Reader) -> Handled {
    let unread_count = count_unread(&app, caller.id()).await?;
    Ok(Answer::ok(&UnreadCount { unread_count }))
}

pub(super) async fn start(State(app): State<Arc<App>>, Actor(caller): Actor, PathId(peer): PathId) -> Handled {
    let opened = open_conversation(&app, caller.id(), UserId(peer), None).await;
    let room = opened.map_err(|error| Refusal::from(error).renaming("user", "userId"))?;
    Ok(Answer::ok(&Started::new(room.id)))
}

pub(super) async fn messages(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    PathId(room): PathId,
    asked: Asked,
) -> Handled {
    let (before, limit) = (asked.message("before_id")?, asked.limit()?);
    let ConversationView { room, messages } = read_conversation(&app, caller.id(), RoomId(room), before, limit).await?;
    let (read_seq, peer_read_seq) = (room.read_seq, room.peer_read_seq);
    let glance = Glance { own: &room.own, peer: &room.peer, read_seq, peer_read_seq };
    Ok(Answer::ok(&ConversationPage::new(&messages, &glance)))
}

pub(super) async fn read(State(app): State<Arc<App>>, Actor(caller): Actor, PathId(room): PathId) -> Handled {
    mark_conversation_read(&app, caller.id(), RoomId(room)).await?;
    Ok(Answer::ok(&()))
}

pub(super) async fn send(
    State(app): State<Arc<App>>,
    caller: Caller,
    IdempotencyKey(client_id): IdempotencyKey,
    Fields(PrivateBody { receiver_id, content }): Fields<PrivateBody>,
) -> Handled {
    let draft = Draft::private(caller.id(), UserId(receiver_id), content, client_id, caller.address);
    let stored = send_private(&app, draft).await.map_err(refusal)?;
    Ok(Answer::created(&PrivateSent::new(stored.id, stored.room)))
}

/// A private message goes to a user, where others go into a room.
fn refusal(error: SendError) -> Refusal {
    match error {
        SendError::Append(AppendError::NotFound) => Refusal::new(ErrorCode::NotFound).saying(sentence::no_such_user()),
        error => Refusal::from(error).renaming("user", "receiver_id").with_key_in_a_header(),
    }
}
