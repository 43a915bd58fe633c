//! Reads what changed in a room since a version, page by page: for live sessions by `socket::history`, for clients over
//! HTTP with one request for each page. If too much changed, the first page is a reset.

use teahouse_core::limits::{CATCH_UP_CHANGES_MAX, PAGE_BYTES_MAX, RESET_MESSAGES};
use teahouse_core::{MessageId, RoomId, UserId, Version};
use teahouse_store::{CatchUpBounds, CatchUpPage, PageLimit, RoomError, Store, StoreError};

use crate::app::App;

/// What changed.
pub(crate) struct Changes {
    /// The first page.
    pub page: CatchUpPage,
    /// The reader's own reactions to these messages.
    pub own_reactions: Vec<(MessageId, String)>,
}

/// From which version a reader reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChangesFrom {
    /// From this version, however much changed.
    Since(Version),
    /// From this version. Where more than `CATCH_UP_CHANGES_MAX` changed, or the version is unknown, the page is a reset.
    SinceOrReset(Version),
    /// A reset: the newest messages replace all that the reader has.
    Reset,
}

/// One page of changes within `limit`.
///
/// # Errors
/// The store failed.
pub(crate) async fn read_changes_page(
    store: &dyn Store,
    room: RoomId,
    from: ChangesFrom,
    limit: PageLimit,
) -> Result<CatchUpPage, StoreError> {
    let (since, changes_max) = match from {
        ChangesFrom::Since(version) => (Some(version), None),
        ChangesFrom::SinceOrReset(version) => (Some(version), Some(CATCH_UP_CHANGES_MAX)),
        ChangesFrom::Reset => (None, None),
    };
    store.catch_up(room, since, CatchUpBounds { limit, changes_max, reset_messages: RESET_MESSAGES }).await
}

/// The first page of changes after `since`.
///
/// # Errors
/// The room does not exist, or the reader is not a member.
pub(crate) async fn read_changes(app: &App, user: UserId, room: RoomId, since: Version) -> Result<Changes, RoomError> {
    app.store.room_entry(room, user, app.now()).await?;
    let from = ChangesFrom::SinceOrReset(since);
    let limit = PageLimit { entries: CATCH_UP_CHANGES_MAX, bytes: PAGE_BYTES_MAX };
    let page = read_changes_page(app.store.as_ref(), room, from, limit).await?;
    let ids: Vec<MessageId> = page.messages.iter().map(|message| message.id).collect();
    let own_reactions = app.store.own_reactions(user, &ids).await?;
    Ok(Changes { page, own_reactions })
}
