//! A socket for hyper that reports arriving bytes and times out writes. hyper has a timeout for request heads and none
//! for a peer that does not read its answer.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use teahouse_core::limits::STALL_TIMEOUT;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::RequestOrder;

/// A socket of which some bytes may have been read already.
pub(crate) struct StallTimeoutStream {
    stream: TcpStream,
    /// Already read from the socket; hyper reads them first.
    early_bytes: Bytes,
    order: Arc<RequestOrder>,
    /// The write timeout, while a write is pending.
    write_timeout: Option<Pin<Box<Sleep>>>,
}

impl StallTimeoutStream {
    /// Wraps a socket; `early_bytes` are read before its own.
    #[must_use]
    pub(crate) fn new(stream: TcpStream, early_bytes: Bytes, order: Arc<RequestOrder>) -> Self {
        Self { stream, early_bytes, order, write_timeout: None }
    }

    /// The socket itself.
    #[must_use]
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn poll_with_write_timeout<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_timeout = None;
            return written;
        }
        let timeout = self.write_timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        timeout.as_mut().poll(context).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for StallTimeoutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early_bytes.is_empty() {
            let count = self.early_bytes.len().min(buffer.remaining());
            buffer.put_slice(&self.early_bytes.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.order.note_bytes();
        } else if read.is_pending() && self.write_timeout.is_none() {
            self.order.note_silence();
        }
        read
    }
}

impl AsyncWrite for StallTimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_with_write_timeout(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.poll_with_write_timeout(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
