//! A panic in a handler ends its request with a 500 in the envelope. It affects no other request.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::errors::ApiError;

/// Answers a request whose handler panics.
pub(super) async fn with_panics_caught(request: Request, next: Next) -> Response {
    catch_panic(next.run(request)).await.unwrap_or_else(IntoResponse::into_response)
}

/// Awaits a part of a request; a panic in it becomes an error.
pub(crate) async fn catch_panic<T>(part: impl Future<Output = T>) -> Result<T, ApiError> {
    let mut part = pin!(part);
    // The future is not polled again after a panic, so nothing observes its broken state.
    let outcome = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| part.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    outcome.await.map_err(|panic| ApiError::internal(panic_message(panic.as_ref())))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("no message"))
}
