//! The store contract, call by call: writes go to the writer, reads to a reader. No SQL here.

use std::cmp::Reverse;

use async_trait::async_trait;
use teahouse_core::{
    DirectsPosition, Message, MessageId, Profile, Role, RoomCard, RoomEntry, RoomId, RoomList, Seq, SessionId,
    Timestamp, TokenKey, TokenMark, User, UserId, UserRole, Version,
};
use teahouse_store::*;
use tokio::sync::oneshot;

use crate::append::Prepared;
use crate::changes::PreparedEdit;
use crate::group::Group;
use crate::queue::PushError;
use crate::row::Sql;
use crate::writer::{JobError, Write};
use crate::{
    SqliteStore, accounts, api_keys, append, changes, direct, entries, membership, messages, read_marks, room_list,
    room_search, rooms, row, site_users, tokens, user_search,
};

impl SqliteStore {
    /// Gives `work` to the writer and waits. From then on it runs to its end, even when the future is dropped.
    pub(crate) async fn write<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: FnMut(&mut Group<'_>) -> Result<T, JobError<E>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        match self.writes.try_push(Box::new(Write::new(work, reply))) {
            Ok(()) => {}
            Err(PushError::Full) => {
                self.metrics.common.count_overload(OverloadReason::WriteQueue);
                self.metrics.common.on_bound.record("store.queue_max", self.writes.len_max as u64);
                return Err(StoreError::Overloaded("too many writes are waiting".to_owned()).into());
            }
            Err(PushError::Closed) => return Err(StoreError::Closed.into()),
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// The same for work that only fails when SQLite does.
    pub(crate) async fn change<T, W>(&self, mut work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnMut(&mut Group<'_>) -> Sql<T> + Send + 'static,
    {
        self.write(move |group| Ok(work(group)?)).await
    }

    /// Reads in one snapshot; for work that only fails when SQLite does.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&rusqlite::Connection) -> Sql<T> + Send + 'static,
    {
        self.readers.read(move |conn| Ok(work(conn)?)).await
    }
}

#[async_trait]
impl Accounts for SqliteStore {
    async fn create_user(&self, user: NewUser) -> Result<User, CreateUserError> {
        self.write(move |group| accounts::create(group, &user)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.read(move |conn| row::user(conn, id)).await
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<(User, Option<String>)>, StoreError> {
        let login = login.to_owned();
        self.read(move |conn| accounts::by_login(conn, &login)).await
    }

    async fn profiles(&self, ids: &[UserId]) -> Result<Vec<Profile>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |conn| accounts::profiles(conn, &ids)).await
    }

    async fn search_users(
        &self,
        prefix: &str,
        after: UserId,
        limit: PageLimit,
    ) -> Result<(Vec<Profile>, bool), StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |conn| user_search::search(conn, &prefix, after, limit)).await
    }

    async fn list_users(&self, after: UserId, limit: u32) -> Result<Vec<User>, StoreError> {
        self.read(move |conn| user_search::list(conn, after, limit)).await
    }

    async fn update_profile(&self, user: UserId, change: ProfileChange) -> Result<Option<User>, StoreError> {
        self.change(move |group| accounts::update_profile(group, user, &change)).await
    }

    async fn password_hash(&self, user: UserId) -> Result<Option<String>, StoreError> {
        self.read(move |conn| accounts::password_hash(conn, user)).await
    }

    async fn renew_password_hash(&self, user: UserId, expected: &str, hash: &str) -> Result<bool, StoreError> {
        let (expected, hash) = (expected.to_owned(), hash.to_owned());
        self.change(move |group| accounts::renew_hash(group, user, &expected, &hash)).await
    }

    async fn change_password(
        &self,
        user: UserId,
        hash: &str,
        now: Timestamp,
        except: Option<TokenKey>,
    ) -> Result<(), StoreError> {
        let hash = hash.to_owned();
        self.change(move |group| accounts::change_password(group, user, &hash, now, except)).await
    }

    async fn login_prefix_seen(&self, user: UserId, prefix: TokenKey) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |conn| accounts::login_prefix_seen(conn, user, prefix)).await
    }

    async fn remember_login_prefix(&self, user: UserId, prefix: TokenKey, now: Timestamp) -> Result<(), StoreError> {
        self.change(move |group| accounts::remember_login_prefix(group, user, prefix, now)).await
    }

    async fn set_role(&self, username: &str, role: UserRole) -> Result<Option<User>, StoreError> {
        let username = username.to_owned();
        self.change(move |group| accounts::set_role(group, &username, role)).await
    }

    async fn set_disabled(&self, username: &str, disabled: bool) -> Result<Option<User>, StoreError> {
        let username = username.to_owned();
        self.change(move |group| accounts::set_disabled(group, &username, disabled)).await
    }

    async fn set_muted(
        &self,
        username: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let username = username.to_owned();
        let muted = self.change(move |group| accounts::set_muted(group, &username, until)).await?;
        let Some(user) = muted.as_ref().map(|user| user.profile.id) else { return Ok(None) };
        // The mute is in force already. Several jobs publish its entries, so that other writes run in between.
        let mut next = Some(RoomId(0));
        while let Some(after) = next {
            next = self.change(move |group| entries::publish_some_of(group, user, after, now)).await?;
        }
        Ok(muted)
    }
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn token_status(&self, user: UserId, mark: &TokenMark) -> Result<TokenStatus, StoreError> {
        let mark = *mark;
        self.readers.read_small(move |conn| tokens::token_status(conn, user, &mark)).await
    }

    async fn user_by_subject(&self, subject: &str) -> Result<Option<UserId>, StoreError> {
        let subject = subject.to_owned();
        self.read(move |conn| tokens::user_by_subject(conn, &subject)).await
    }

    async fn revoke(&self, user: UserId, key: TokenKey, until: Timestamp) -> Result<(), StoreError> {
        self.change(move |group| tokens::revoke(group, user, key, until)).await
    }

    async fn issue_not_before(&self, user: UserId) -> Result<i64, StoreError> {
        self.read(move |conn| tokens::issue_not_before(conn, user)).await
    }

    async fn add_refresh_token(&self, token: RefreshToken) -> Result<(), StoreError> {
        self.change(move |group| tokens::add_refresh_token(group, &token)).await
    }

    async fn rotate_refresh_token(
        &self,
        old: TokenKey,
        new: TokenKey,
        new_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>, StoreError> {
        self.change(move |group| tokens::rotate_refresh_token(group, old, new, new_expires_at, now)).await
    }

    async fn refresh_token(&self, key: TokenKey, now: Timestamp) -> Result<Option<RefreshToken>, StoreError> {
        self.read(move |conn| tokens::refresh_token(conn, key, now)).await
    }

    async fn forget_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        while self.change(move |group| tokens::forget_expired(group, now)).await? {}
        while self.change(changes::delete_left_reactions).await? {}
        Ok(())
    }
}

#[async_trait]
impl Messages for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let prepared = Prepared::new(append);
        self.write(move |group| append::append(group, &prepared)).await
    }

    async fn appended(&self, append: &Append) -> Result<Option<Appended>, AppendError> {
        if append.client_id.is_none() {
            return Ok(None);
        }
        let append = append.clone();
        self.readers.read(move |conn| append::earlier(conn, &append)).await
    }

    async fn edit_message(&self, edit: Edit) -> Result<Version, ChangeError> {
        let prepared = PreparedEdit::new(edit);
        self.write(move |group| changes::edit(group, &prepared)).await
    }

    async fn delete_message(
        &self,
        room: Option<RoomId>,
        message: MessageId,
        actor: UserId,
    ) -> Result<Version, ChangeError> {
        self.write(move |group| changes::delete(group, room, message, actor)).await
    }

    async fn react(&self, reaction: Reaction) -> Result<Version, ChangeError> {
        self.write(move |group| changes::react(group, &reaction)).await
    }

    async fn history(&self, room: RoomId, query: HistoryQuery) -> Result<HistoryPage, StoreError> {
        let (HistoryQuery { from, limit }, mut messages, mut start) = (query, Vec::new(), None);
        // Several snapshots skip very many deleted messages, so that other reads run in between.
        let has_more = loop {
            let left = PageLimit {
                entries: limit.entries - u32::try_from(messages.len()).unwrap_or(u32::MAX),
                bytes: limit.bytes.saturating_sub(messages.iter().map(Message::size).sum()),
            };
            let read = move |conn: &rusqlite::Connection| messages::history_part(conn, room, from, start, left);
            let ((part, has_more), next) = self.read(read).await?;
            messages.extend(part);
            start = next;
            // The part has its first message even if that does not fit.
            let has_more = limit.cut(&mut messages) || has_more;
            if has_more || start.is_none() {
                break has_more;
            }
        };
        if !matches!(from, HistoryFrom::After(_)) {
            messages.reverse();
        }
        Ok(HistoryPage { messages, has_more })
    }

    async fn room_history(&self, user: UserId, query: RoomHistoryQuery) -> Result<RoomHistoryPage, RoomError> {
        self.readers.read(move |conn| messages::room_history(conn, user, query)).await
    }

    async fn catch_up(
        &self,
        room: RoomId,
        since: Option<Version>,
        bounds: CatchUpBounds,
    ) -> Result<CatchUpPage, StoreError> {
        self.read(move |conn| messages::catch_up(conn, room, since, bounds)).await
    }

    async fn own_reactions(
        &self,
        user: UserId,
        messages: &[MessageId],
    ) -> Result<Vec<(MessageId, String)>, StoreError> {
        let messages = messages.to_vec();
        self.read(move |conn| messages::own_reactions(conn, user, &messages)).await
    }

    async fn page_by_seq(
        &self,
        room: RoomId,
        since: Version,
        after: Seq,
        limit: PageLimit,
    ) -> Result<SeqPage, StoreError> {
        self.read(move |conn| messages::page_by_seq(conn, room, since, after, limit)).await
    }

    async fn room_head(&self, room: RoomId) -> Result<Option<RoomHead>, StoreError> {
        self.read(move |conn| messages::room_head(conn, room)).await
    }
}

#[async_trait]
impl Rooms for SqliteStore {
    async fn rooms_of(&self, query: RoomListQuery) -> Result<RoomList, StoreError> {
        self.read(move |conn| room_list::rooms_of(conn, &query)).await
    }

    async fn welcome(&self, query: RoomListQuery) -> Result<Option<(User, RoomList)>, StoreError> {
        let read = move |conn: &rusqlite::Connection| {
            let Some(found) = row::user(conn, query.user)? else { return Ok(None) };
            Ok(Some((found, room_list::rooms_of(conn, &query)?)))
        };
        self.readers.read_small(read).await
    }

    async fn directs(
        &self,
        user: UserId,
        after: Option<DirectsPosition>,
        limit: u32,
        now: Timestamp,
    ) -> Result<(Vec<RoomEntry>, Option<DirectsPosition>), StoreError> {
        self.read(move |conn| room_list::directs(conn, user, after, limit, now)).await
    }

    async fn room_entry(&self, room: RoomId, user: UserId, now: Timestamp) -> Result<RoomEntry, RoomError> {
        self.readers.read(move |conn| entries::entry(conn, room, user, now)).await
    }

    async fn room_entries(
        &self,
        room: RoomId,
        users: &[UserId],
        now: Timestamp,
    ) -> Result<Vec<(UserId, RoomEntry)>, StoreError> {
        let users = users.to_vec();
        self.read(move |conn| entries::of_members(conn, room, &users, now)).await
    }

    async fn browse_rooms(
        &self,
        user: UserId,
        query: &str,
        after: RoomId,
        limit: u32,
    ) -> Result<(Vec<RoomCard>, Option<RoomId>), StoreError> {
        let query = query.to_owned();
        self.read(move |conn| room_search::browse(conn, user, &query, after, limit)).await
    }

    async fn create_room(&self, room: NewRoom) -> Result<RoomEntry, RoomError> {
        self.write(move |group| rooms::create(group, &room)).await
    }

    async fn update_room(
        &self,
        room: RoomId,
        actor: UserId,
        name: Option<String>,
        title: Option<String>,
        now: Timestamp,
    ) -> Result<RoomEntry, RoomError> {
        self.write(move |group| rooms::update(group, room, actor, (name.as_deref(), title.as_deref()), now)).await
    }

    async fn change_membership(&self, change: MembershipChange) -> Result<MembershipChanged, RoomError> {
        self.write(move |group| membership::change(group, &change)).await
    }

    async fn accept(
        &self,
        room: RoomId,
        user: UserId,
        now: Timestamp,
        requester: Option<SessionId>,
    ) -> Result<RoomEntry, RoomError> {
        self.write(move |group| membership::accept(group, room, user, now, requester)).await
    }

    async fn decline(&self, room: RoomId, user: UserId) -> Result<(), RoomError> {
        self.write(move |group| membership::decline(group, room, user)).await
    }

    async fn members(
        &self,
        room: RoomId,
        actor: UserId,
        after: UserId,
        limit: PageLimit,
    ) -> Result<(Vec<(Profile, Role)>, bool), RoomError> {
        self.readers.read(move |conn| rooms::members(conn, room, actor, after, limit)).await
    }

    async fn member_ids(&self, room: RoomId) -> Result<Vec<UserId>, StoreError> {
        let (mut members, mut after) = (Vec::new(), Some(UserId(0)));
        // Several snapshots read the members of a large room, so that other reads run in between.
        while let Some(from) = after {
            let (some, more) = self.read(move |conn| rooms::member_ids(conn, room, from)).await?;
            members.extend(some);
            after = members.last().copied().filter(|_| more);
        }
        Ok(members)
    }

    async fn mark_read(&self, room: RoomId, user: UserId, seq: Option<Seq>) -> Result<ReadMark, StoreError> {
        self.write(move |group| read_marks::mark_read(group, room, user, seq)).await
    }
}

#[async_trait]
impl Conversations for SqliteStore {
    async fn open_direct(
        &self,
        user: UserId,
        peer: UserId,
        now: Timestamp,
        requester: Option<SessionId>,
    ) -> Result<RoomEntry, OpenDirectError> {
        self.write(move |group| direct::open(group, user, peer, now, requester)).await
    }

    async fn conversations(&self, user: UserId) -> Result<Vec<Conversation>, StoreError> {
        let (mut found, mut next) = (Vec::new(), Some(RoomId(0)));
        while let Some(after) = next {
            let (some, last) = self.read(move |conn| direct::some_conversations(conn, user, after)).await?;
            found.extend(some);
            next = last;
        }
        found.sort_unstable_by_key(|(newest, _)| Reverse(*newest));
        Ok(found.into_iter().map(|(_, conversation)| conversation).collect())
    }

    async fn direct_room(&self, room: RoomId, user: UserId) -> Result<DirectRoom, DirectRoomError> {
        self.readers.read(move |conn| direct::direct_room(conn, room, user)).await
    }

    async fn unread_total(&self, user: UserId) -> Result<u32, StoreError> {
        let (mut unread, mut next) = (0, Some(RoomId(0)));
        while let Some(after) = next {
            let (some, last) = self.read(move |conn| direct::some_unread(conn, user, after)).await?;
            (unread, next) = (unread + some, last);
        }
        Ok(unread)
    }
}

#[async_trait]
impl Site for SqliteStore {
    async fn ensure_site_user(&self, user: SiteUser) -> Result<User, StoreError> {
        self.change(move |group| site_users::ensure(group, &user)).await
    }

    async fn put_site_users(&self, users: Vec<SiteUserRecord>) -> Result<Vec<User>, StoreError> {
        self.change(move |group| site_users::put(group, &users)).await
    }

    async fn add_api_key(&self, name: &str, key: TokenKey, now: Timestamp) -> Result<(), ApiKeyError> {
        let name = name.to_owned();
        self.write(move |group| api_keys::add(group, &name, key, now)).await
    }

    async fn api_key(&self, key: TokenKey) -> Result<Option<String>, StoreError> {
        self.read(move |conn| api_keys::name_of(conn, key)).await
    }

    async fn api_keys(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.read(api_keys::list).await
    }

    async fn revoke_api_key(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.change(move |group| api_keys::revoke(group, &name)).await
    }
}

#[async_trait]
impl Lifecycle for SqliteStore {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    async fn check(&self) -> Result<(), StoreError> {
        // A growing number, since SQLite would not write a page that does not change.
        self.change(|group| {
            group
                .conn
                .prepare_cached(
                    "INSERT INTO meta (key, value) VALUES ('checks', '1') \
                     ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
                )?
                .execute([])
                .map(|_| ())
        })
        .await
    }

    async fn close(&self) {
        self.writes.close();
        self.readers.close();
        self.backups.stop();
        // The sender sends nothing; an error means that the writer, which ends last, is gone.
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}
