//! The classic list of the users who are online, as a body that reads its next page when the one before is written. With
//! ten thousand users online the whole list has megabytes, and each client that does not read would keep them in memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use teahouse_core::UserId;
use teahouse_hub::{AnswerPermit, BoxFuture};
use teahouse_protocol::classic::http::{OnlineUser, OnlineUsers};
use teahouse_protocol::http;
use teahouse_store::StoreError;

use super::caller::PageReader;
use super::context::Context;
use super::response::success_message;
use crate::app::App;
use crate::errors::ApiError;
use crate::use_cases::presence::list_online_users::read_online_users;

/// Users of one page. With the longest avatars they have half a megabyte, usually ten kilobytes.
const PAGE_USERS: usize = 64;
/// The part of an empty list's body in whose place the users are written.
const EMPTY: &str = r#""users":[],"count":0"#;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    PageReader(_, permit): PageReader,
    context: Context,
) -> Result<Response, ApiError> {
    let status = StatusCode::OK;
    let data = http::raw_json(&OnlineUsers::new(&[]));
    let body = http::success(status.as_u16(), success_message(context.language), &data, &context.request_id);
    let around = body.split_once(EMPTY).ok_or_else(|| ApiError::internal("an empty list looks different"))?;
    let users = app.live.online_users().into_iter();
    let text = format!(r#"{}"users":["#, around.0);
    let list = List { app, users, written: 0, text, end: Some(around.1.to_owned()), _permit: permit };
    // A store that cannot be read is reported by the status.
    let first = list.next().await?;
    let body = Body::new(ListBody(Some(Box::pin(std::future::ready(Ok(first))))));
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The part of the list that is not written yet.
struct List {
    app: Arc<App>,
    users: std::vec::IntoIter<UserId>,
    written: usize,
    /// Written before the next page.
    text: String,
    /// Written after the last page; none when that is done.
    end: Option<String>,
    _permit: AnswerPermit,
}

type Piece = Option<(Bytes, List)>;

impl List {
    /// The next piece of the body, and the rest.
    async fn next(mut self) -> Result<Piece, StoreError> {
        if self.end.is_none() {
            return Ok(None);
        }
        let page: Vec<UserId> = self.users.by_ref().take(PAGE_USERS).collect();
        let mut text = std::mem::take(&mut self.text);
        for profile in read_online_users(&self.app, &page).await? {
            if self.written > 0 {
                text.push(',');
            }
            text.push_str(http::raw_json(&OnlineUser::new(&profile)).get());
            self.written += 1;
        }
        if self.users.as_slice().is_empty()
            && let Some(end) = self.end.take()
        {
            text.push_str(&format!(r#"],"count":{}{end}"#, self.written));
        }
        Ok(Some((text.into(), self)))
    }
}

/// The body; `None` when all of it is written.
struct ListBody(Option<BoxFuture<Result<Piece, StoreError>>>);

impl hyper::body::Body for ListBody {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        let piece = ready!(next.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(match piece {
            Ok(None) => None,
            Ok(Some((bytes, rest))) => {
                self.0 = Some(Box::pin(rest.next()));
                Some(Ok(Frame::data(bytes)))
            }
            // The connection ends in the middle of the body, so that no client takes it for the whole.
            Err(error) => Some(Err(error)),
        })
    }
}
