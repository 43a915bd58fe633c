//! The body of an answer. Its request ends with it, so that a connection is not idle while an answer waits for more to
//! write.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::StatusCode;
use hyper::body::{Frame, SizeHint};

use super::RequestOrder;

/// A body that ends its request when it is dropped.
pub(crate) struct AnswerBody {
    body: Body,
    /// None after an upgrade, which is never idle.
    order: Option<Arc<RequestOrder>>,
}

impl AnswerBody {
    /// Begins this answer to the current request.
    #[must_use]
    pub(crate) fn begin(answer: Response, order: Arc<RequestOrder>) -> hyper::Response<Self> {
        let status = answer.status();
        order.begin_answer(status);
        let order = (status != StatusCode::SWITCHING_PROTOCOLS).then_some(order);
        answer.map(|body| Self { body, order })
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(order) = &self.order {
            order.end_request();
        }
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
