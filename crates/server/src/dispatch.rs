//! Dispatches a v1 request to its use case and gives the response, the same for every transport. Transports read the
//! request, check the sender's rates (a use case counts sends itself) and write the response.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_core::{DirectsPosition, ErrorCode, RoomEntry, RoomId, SessionId, UserId, Version};
use teahouse_hub::{AnswerPermit, Entered};
use teahouse_protocol::v1::{
    Cards, Changed, Changes, Directs, History, HistoryFrom, Marked, Members, Nothing, PresenceNow, Request, RoomBody,
    Stored, Users, own_reactions,
};
use teahouse_store::{Membership, MembershipChanged, RoomError, SeqFrom};

use crate::app::App;
use crate::errors::{ApiError, messages as texts};
use crate::use_cases::accounts::search_users::search_users;
use crate::use_cases::messages::delete_message::delete_message;
use crate::use_cases::messages::edit_message::edit_message;
use crate::use_cases::messages::react::react;
use crate::use_cases::messages::read_changes::read_changes;
use crate::use_cases::messages::read_history::read_history;
use crate::use_cases::messages::send_message::{MessageDraft, begin_send};
use crate::use_cases::presence::list_room_presence::{RoomPresence, list_room_presence};
use crate::use_cases::rooms::answer_request::{accept, decline};
use crate::use_cases::rooms::browse_rooms::browse_rooms;
use crate::use_cases::rooms::change_membership::change_membership;
use crate::use_cases::rooms::create_room::{RoomDraft, create_room};
use crate::use_cases::rooms::list_directs::list_directs;
use crate::use_cases::rooms::list_members::list_members;
use crate::use_cases::rooms::mark_read::mark_read;
use crate::use_cases::rooms::open_direct_room::open_direct_room;
use crate::use_cases::rooms::update_room::update_room;

/// The sender of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestContext {
    /// The user.
    pub user: UserId,
    /// The client's address; kept for moderators only.
    pub address: IpAddr,
    /// The session that receives the response; `None` over HTTP.
    pub session: Option<SessionId>,
}

/// The response to a request.
#[derive(Debug)]
pub(crate) struct Response {
    /// The response's `data`.
    pub body: Box<RawValue>,
    /// The room that the sender entered with this request, as the body has it.
    pub entered: Option<Entered>,
    /// The permit of a large body, held until it is written.
    pub permit: Option<AnswerPermit>,
}

/// Runs the request's use case. Each request makes at most one write, which the future's first poll puts into the store's
/// queue: requests are served in the order of first polls, and dropping the future leaves nothing half done.
///
/// # Errors
/// The request failed and changed nothing.
pub(crate) async fn dispatch(app: Arc<App>, context: RequestContext, request: Request) -> Result<Response, ApiError> {
    let permit = if is_large(&request) { Some(app.begin_answer(context.user).await?) } else { None };
    Ok(Response { permit, ..run(&app, context, request).await? })
}

/// Whether the response is a page of messages, rooms or users. Other responses are short and need no permit.
fn is_large(request: &Request) -> bool {
    match request {
        Request::History { .. }
        | Request::Sync { .. }
        | Request::Rooms { .. }
        | Request::Directs { .. }
        | Request::Members { .. }
        | Request::Users { .. } => true,
        Request::Hello { .. }
        | Request::Typing { .. }
        | Request::Auth { .. }
        | Request::Heartbeat {}
        | Request::Message { .. }
        | Request::Edit { .. }
        | Request::Delete { .. }
        | Request::React { .. }
        | Request::Read { .. }
        | Request::Presence { .. }
        | Request::Create { .. }
        | Request::Update { .. }
        | Request::Join { .. }
        | Request::Leave { .. }
        | Request::Accept { .. }
        | Request::Decline { .. }
        | Request::Invite { .. }
        | Request::Remove { .. }
        | Request::Role { .. }
        | Request::Open { .. } => false,
    }
}

async fn run(app: &Arc<App>, context: RequestContext, request: Request) -> Result<Response, ApiError> {
    let RequestContext { user, address, session } = context;
    match request {
        Request::Message { room, content, client_id, reply_to } => {
            let draft = MessageDraft::room(user, room, content, client_id, address).replying_to(reply_to);
            let stored = begin_send(app, draft)?.await?;
            Ok(respond(&Stored {
                id: stored.id.0,
                seq: stored.seq.0,
                version: stored.version.0,
                send_time: stored.sent_at,
                duplicate: stored.duplicate,
            }))
        }
        Request::Edit { message, content } => {
            Ok(respond(&Changed::new(edit_message(app, user, message, &content).await?)))
        }
        Request::Delete { message } => Ok(respond(&Changed::new(delete_message(app, user, None, message).await?))),
        Request::React { message, emoji, on } => {
            Ok(respond(&Changed::new(react(app, user, message, emoji, on).await?)))
        }
        Request::Read { room, seq } => {
            let mark = mark_read(app, user, room, Some(seq)).await?;
            Ok(respond(&Marked::new(mark.read_seq, mark.unread)))
        }
        Request::History { room, before, after, around, limit } => {
            let from = Request::history_from(before, after, around)
                .ok_or_else(|| ApiError::new(ErrorCode::BadRequest).with_message(texts::conflicting_positions()))?;
            history(app, user, room, from, limit).await
        }
        Request::Sync { room, since } => changes(app, user, room, since).await,
        Request::Presence { room, .. } => presence(app, user, room).await,
        Request::Rooms { query, after } => {
            let (cards, next) = browse_rooms(app, user, query.as_deref(), after).await?;
            Ok(respond(&Cards::new(&cards, next)))
        }
        Request::Directs { after } => directs(app, user, after).await,
        Request::Create { kind, name, title } => {
            let draft = RoomDraft { owner: user, kind, name, title, requester: session };
            Ok(respond_entering(app, &create_room(app, draft).await?))
        }
        Request::Update { room, name, title } => {
            Ok(respond_room(app, &update_room(app, user, room, name.as_deref(), title.as_deref()).await?))
        }
        Request::Join { room } => {
            Ok(respond_entering(app, &change_membership(app, user, room, Membership::Join, session).await?.entry))
        }
        Request::Leave { room } => membership(app, user, room, Membership::Leave).await,
        Request::Accept { room } => Ok(respond_entering(app, &accept(app, user, room, session).await?)),
        Request::Decline { room } => Ok(decline(app, user, room).await.map(|()| respond(&Nothing {}))?),
        Request::Invite { room, user: guest } => membership(app, user, room, Membership::Invite(guest)).await,
        Request::Remove { room, user: member } => membership(app, user, room, Membership::Remove(member)).await,
        Request::Role { room, user: member, role } => membership(app, user, room, Membership::Role(member, role)).await,
        Request::Open { user: peer } => Ok(respond_entering(app, &open_direct_room(app, user, peer, session).await?)),
        Request::Members { room, after } => {
            let (members, more) = list_members(app, user, room, after).await?;
            Ok(respond(&Members::new(&members, more)))
        }
        Request::Users { query, after } => {
            let (users, more) = search_users(app, query.as_deref(), after).await?;
            Ok(respond(&Users::new(&users, more)))
        }
        // These concern a session; `socket` handles them, and HTTP has no route for them.
        Request::Hello { .. } | Request::Typing { .. } | Request::Auth { .. } | Request::Heartbeat {} => {
            Err(ApiError::new(ErrorCode::UnknownType))
        }
    }
}

async fn history(
    app: &App,
    user: UserId,
    room: RoomId,
    from: HistoryFrom,
    limit: Option<u64>,
) -> Result<Response, ApiError> {
    let from = match from {
        HistoryFrom::Newest => SeqFrom::Newest,
        HistoryFrom::Before(seq) => SeqFrom::Before(seq),
        HistoryFrom::After(seq) => SeqFrom::After(seq),
        HistoryFrom::Around(seq) => SeqFrom::Around(seq),
    };
    let page = read_history(app, user, room, from, limit).await?;
    let own = own_reactions(page.own_reactions);
    Ok(respond(&History::new(&page.messages, (page.has_more_before, page.has_more_after), &own)))
}

async fn directs(app: &App, user: UserId, after: Option<DirectsPosition>) -> Result<Response, ApiError> {
    let (rooms, next) = list_directs(app, user, after).await?;
    Ok(respond(&Directs::new(&rooms, next, |user| app.live.is_online(user))))
}

/// Over a socket the hub sends the changes as envelopes between `catch_up` and `caught_up`; this is the single response.
async fn changes(app: &App, user: UserId, room: RoomId, since: Version) -> Result<Response, ApiError> {
    let changes = read_changes(app, user, room, since).await.map_err(hide_room)?;
    let own = own_reactions(changes.own_reactions);
    let page = &changes.page;
    Ok(respond(&Changes::new(app.store.epoch(), page.reset, &page.messages, (page.through, !page.complete), &own)))
}

/// Over a socket this also subscribes to what changes, so the hub handles it; this is the single response.
async fn presence(app: &App, user: UserId, room: RoomId) -> Result<Response, ApiError> {
    Ok(respond(&match list_room_presence(app, user, room).await.map_err(hide_room)? {
        RoomPresence::Listed(users) => PresenceNow::listed(&users),
        RoomPresence::Counted(count) => PresenceNow::counted(count),
    }))
}

async fn membership(app: &App, actor: UserId, room: RoomId, change: Membership) -> Result<Response, ApiError> {
    let MembershipChanged { entry, pending } = change_membership(app, actor, room, change, None).await?;
    Ok(respond(&RoomBody::new(&entry, |user| app.live.is_online(user)).with_pending(pending)))
}

fn respond<T: Serialize>(body: &T) -> Response {
    Response { body: teahouse_protocol::http::raw_json(body), entered: None, permit: None }
}

fn respond_room(app: &App, entry: &RoomEntry) -> Response {
    respond(&RoomBody::new(entry, |user| app.live.is_online(user)))
}

fn respond_entering(app: &App, entry: &RoomEntry) -> Response {
    Response { entered: Some(entry.into()), ..respond_room(app, entry) }
}

/// Over a socket the hub responds `not_found` for every room of which the user is not a member; so does HTTP.
fn hide_room(error: RoomError) -> ApiError {
    match error {
        RoomError::NotFound | RoomError::Forbidden => ApiError::new(ErrorCode::NotFound),
        other => other.into(),
    }
}
