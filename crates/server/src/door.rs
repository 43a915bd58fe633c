//! The socket's door: classic requests become use cases, and refusals become envelopes. Its HTTP sister
//! is in `http/`; both lead to the same use cases.

use std::sync::Arc;

use teahouse_core::text::TextError;
use teahouse_core::{ErrorCode, Language, RoomId, Seq, Version};
use teahouse_hub::{BoxFuture, Caller, ClassicPage, Door, History, Receipt};
use teahouse_protocol::classic::{self, Request, RequestError};
use teahouse_store::{AppendError, Store, StoreError};

use crate::app::App;
use crate::limits::UserLimit;
use crate::use_cases::send_message::{Draft, SendError, begin_send};

/// Answers classic clients.
pub struct ClassicDoor {
    app: Arc<App>,
}

impl ClassicDoor {
    /// The door of this app.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// Every frame counts: messages at the rate of sending, all others at the rate of envelopes.
    fn within_rate(&self, caller: &Caller) -> bool {
        self.app.limits.user(UserLimit::Envelope, caller.user).is_ok()
    }
}

impl ClassicDoor {
    fn refusal(&self, code: ErrorCode, caller: &Caller) -> String {
        refusal(&self.app, code, caller.language)
    }
}

impl Door for ClassicDoor {
    fn receive(&self, caller: &Caller, text: &str) -> Receipt {
        match classic::read_request(text) {
            Ok(Request::Message { content }) => {
                let language = caller.language;
                let draft = Draft::lobby(caller.user, content, None, caller.address);
                match begin_send(&self.app, draft) {
                    // The sender hears of the message as everybody does: by its envelope.
                    Ok(sending) => {
                        let app = Arc::clone(&self.app);
                        Receipt::Later(Box::pin(async move {
                            sending.await.err().map(|error| refusal(&app, code_of(&error), language))
                        }))
                    }
                    Err(error) => Receipt::Reply(self.refusal(code_of(&error), caller)),
                }
            }
            Ok(Request::Heartbeat) if !self.within_rate(caller) => {
                Receipt::Reply(self.refusal(ErrorCode::RateLimited, caller))
            }
            Ok(Request::Heartbeat) => Receipt::Reply(classic::heartbeat(self.app.now())),
            Err(_) if !self.within_rate(caller) => Receipt::Malformed(self.refusal(ErrorCode::RateLimited, caller)),
            Err(RequestError::UnknownType) => Receipt::Malformed(self.refusal(ErrorCode::UnknownType, caller)),
            Err(RequestError::Malformed { .. }) => Receipt::Malformed(self.refusal(ErrorCode::BadRequest, caller)),
        }
    }
}

fn refusal(app: &App, code: ErrorCode, language: Language) -> String {
    app.rejections.count(code);
    classic::refusal(code, language)
}

fn code_of(error: &SendError) -> ErrorCode {
    match error {
        SendError::Text(TextError::Empty) => ErrorCode::Empty,
        SendError::Text(TextError::TooLong { .. }) => ErrorCode::TooLong,
        SendError::ClientId | SendError::Append(AppendError::Oneself) => ErrorCode::BadRequest,
        SendError::TooFast(_) => ErrorCode::RateLimited,
        SendError::Append(AppendError::Conflict) => ErrorCode::Conflict,
        SendError::Append(AppendError::NotFound) => ErrorCode::NotFound,
        SendError::Append(AppendError::Forbidden) => ErrorCode::Forbidden,
        SendError::Append(AppendError::Muted) => ErrorCode::Muted,
        SendError::Append(AppendError::Store(StoreError::Overloaded(_) | StoreError::Closed)) => ErrorCode::Overloaded,
        SendError::Append(AppendError::Store(error @ StoreError::Internal(_))) => {
            tracing::error!(%error, "a message could not be stored");
            ErrorCode::Internal
        }
    }
}

/// Messages in one page for a session that fell behind; about as many as one write takes.
const PAGE_MESSAGES: u32 = 200;

/// The store, as sessions that fell behind read it.
pub struct StoredHistory {
    store: Arc<dyn Store>,
}

impl StoredHistory {
    /// The history in this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

impl History for StoredHistory {
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            match store.page_by_seq(room, after.0, after.1, PAGE_MESSAGES).await {
                Ok(page) => Some(ClassicPage {
                    deleted: page.deleted,
                    messages: page.messages,
                    reached: (page.version, page.seq),
                    complete: page.complete,
                    pair: page.pair,
                }),
                // The hub asks again; a store that is closing or busy is no news of this reader.
                Err(StoreError::Overloaded(_) | StoreError::Closed) => None,
                Err(error @ StoreError::Internal(_)) => {
                    tracing::error!(%room, %error, "a page for a slow session could not be read");
                    None
                }
            }
        })
    }
}
