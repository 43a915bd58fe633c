//! What a v1 client asks, whichever door it came through: each request is a call of its use case, and what
//! comes of it is the same body everywhere. Rates are the doors' business, but for messages, which the use
//! case of sending counts.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_core::{ErrorCode, RoomEntry, RoomId, SessionId, UserId, Version};
use teahouse_protocol::v1::{
    Cards, Changed, Changes, History, HistoryFrom, Marked, Members, PresenceNow, Request, RoomBody, Stored, Users,
    own_reactions,
};
use teahouse_store::{Membership, RoomError, SeqFrom};

use crate::app::App;
use crate::http::refusal::Refusal;
use crate::http::sentence;
use crate::use_cases::browse_rooms::browse_rooms;
use crate::use_cases::catch_up::catch_up;
use crate::use_cases::change_membership::change_membership;
use crate::use_cases::create_room::{RoomWish, create_room};
use crate::use_cases::delete_message::delete_message;
use crate::use_cases::edit_message::edit_message;
use crate::use_cases::list_members::list_members;
use crate::use_cases::look_around::{Present, look_around};
use crate::use_cases::mark_read::mark_read;
use crate::use_cases::open_conversation::open_conversation;
use crate::use_cases::react::react;
use crate::use_cases::read_room_history::read_room_history;
use crate::use_cases::search_users::search_users;
use crate::use_cases::send_message::{Draft, begin_send};
use crate::use_cases::update_room::update_room;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The user.
    pub user: UserId,
    /// Where they are; kept for moderators only.
    pub address: IpAddr,
    /// The session that is answered, when it came over a socket.
    pub session: Option<SessionId>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Performed {
    /// The answer's `data`.
    pub body: Box<RawValue>,
    /// The room that the asker came into by it, and the version of it that the body tells.
    pub entered: Option<(RoomId, Version)>,
}

/// Does what is asked. Dropping the future undoes and halves nothing: every request is at most one write,
/// which its first poll puts into the store's queue, so whoever polls in order is served in order.
///
/// # Errors
/// It was refused, and nothing of it happened.
pub async fn perform(app: Arc<App>, asker: Asker, request: Request) -> Result<Performed, Refusal> {
    let app = &app;
    let user = asker.user;
    match request {
        Request::Message { room, content, client_id, reply_to } => {
            let draft = Draft::room(user, room, content, client_id, asker.address).replying_to(reply_to);
            let stored = begin_send(app, draft)?.await?;
            Ok(done(&Stored {
                id: stored.id.0,
                seq: stored.seq.0,
                version: stored.version.0,
                send_time: stored.sent_at,
                duplicate: stored.duplicate,
            }))
        }
        Request::Edit { message, content } => {
            Ok(done(&Changed::new(edit_message(app, user, message, &content).await?)))
        }
        Request::Delete { message } => Ok(done(&Changed::new(delete_message(app, user, None, message).await?))),
        Request::React { message, emoji, on } => Ok(done(&Changed::new(react(app, user, message, emoji, on).await?))),
        Request::Read { room, seq } => {
            let mark = mark_read(app, user, room, Some(seq)).await?;
            Ok(done(&Marked::new(mark.read_seq, mark.unread)))
        }
        Request::History { room, before, after, around, limit } => {
            let from = match Request::history_from(before, after, around) {
                Some(HistoryFrom::Newest) => SeqFrom::Newest,
                Some(HistoryFrom::Before(seq)) => SeqFrom::Before(seq),
                Some(HistoryFrom::After(seq)) => SeqFrom::After(seq),
                Some(HistoryFrom::Around(seq)) => SeqFrom::Around(seq),
                None => return Err(Refusal::new(ErrorCode::BadRequest).saying(sentence::one_place_only())),
            };
            let page = read_room_history(app, user, room, from, limit).await?;
            let own = own_reactions(page.own_reactions);
            Ok(done(&History::new(&page.messages, (page.has_more_before, page.has_more_after), &own)))
        }
        // Sessions are brought this in brackets, by the hub; whoever asks once has it in one answer.
        Request::Sync { room, since } => {
            let changes = catch_up(app, user, room, since).await.map_err(of_a_stranger)?;
            let own = own_reactions(changes.own_reactions);
            let page = &changes.page;
            Ok(done(&Changes::new(app.store.epoch(), page.reset, &page.messages, page.through, &own)))
        }
        // Sessions are told what changes as well, by the hub; whoever asks once hears how it is now.
        Request::Presence { room, .. } => {
            Ok(done(&presence(look_around(app, user, room).await.map_err(of_a_stranger)?)))
        }
        Request::Rooms { query, after } => {
            let (cards, more) = browse_rooms(app, user, query.as_deref(), after).await?;
            Ok(done(&Cards::new(&cards, more)))
        }
        Request::Create { kind, name, title } => {
            let wish = RoomWish { owner: user, kind, name, title, asker: asker.session };
            Ok(entered(app, &create_room(app, wish).await?))
        }
        Request::Update { room, name, title } => {
            Ok(entry(app, &update_room(app, user, room, name.as_deref(), title.as_deref()).await?))
        }
        Request::Join { room } => {
            Ok(entered(app, &change_membership(app, user, room, Membership::Join, asker.session).await?))
        }
        Request::Leave { room } => Ok(entry(app, &change_membership(app, user, room, Membership::Leave, None).await?)),
        Request::Invite { room, user: guest } => {
            Ok(entry(app, &change_membership(app, user, room, Membership::Invite(guest), None).await?))
        }
        Request::Remove { room, user: member } => {
            Ok(entry(app, &change_membership(app, user, room, Membership::Remove(member), None).await?))
        }
        Request::Role { room, user: member, role } => {
            Ok(entry(app, &change_membership(app, user, room, Membership::Role(member, role), None).await?))
        }
        Request::Open { user: peer } => Ok(entered(app, &open_conversation(app, user, peer, asker.session).await?)),
        Request::Members { room, after } => {
            let (members, more) = list_members(app, user, room, after).await?;
            Ok(done(&Members::new(&members, more)))
        }
        Request::Users { query, after } => {
            let (people, more) = search_users(app, query.as_deref(), after).await?;
            Ok(done(&Users::new(&people, more)))
        }
        // These are of the socket alone, whose door answers them itself.
        Request::Hello { .. } | Request::Typing { .. } | Request::Auth { .. } | Request::Heartbeat {} => {
            Err(Refusal::new(ErrorCode::UnknownType))
        }
    }
}

fn done<T: Serialize>(body: &T) -> Performed {
    Performed { body: teahouse_protocol::classic::http::http_data(body), entered: None }
}

fn entry(app: &App, entry: &RoomEntry) -> Performed {
    done(&RoomBody::new(entry, |user| app.live.is_online(user)))
}

fn entered(app: &App, room: &RoomEntry) -> Performed {
    Performed { entered: Some((room.id, room.version)), ..entry(app, room) }
}

/// The hub, which answers these over a socket, knows of no rooms but those that one is in.
fn of_a_stranger(error: RoomError) -> Refusal {
    match error {
        RoomError::NotFound | RoomError::Forbidden => Refusal::new(ErrorCode::NotFound),
        other => other.into(),
    }
}

fn presence(present: Present) -> PresenceNow {
    match present {
        Present::Listed(users) => {
            let online: Vec<u64> = users.into_iter().map(|user| user.0).collect();
            PresenceNow { count: online.len() as u64, online, truncated: false }
        }
        Present::Counted(count) => PresenceNow { online: Vec::new(), count, truncated: true },
    }
}
