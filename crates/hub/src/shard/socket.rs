//! Writes a batch to a socket, and returns the progress. It knows no session and decides nothing.

use std::io::{self, ErrorKind, IoSlice};

use bytes::Buf;

use super::connection::Connection;
use crate::session::Batch;

/// Pieces handed to the kernel in one write; a batch has at most two more frames than its bound.
const SLICES_MAX: usize = 68;

/// The progress of a write. Written bytes are no longer in the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// This many bytes, and this many whole frames among them.
    Some { bytes: usize, frames: u64 },
    /// The socket accepts nothing now.
    Nothing,
    /// The connection is gone.
    Gone,
}

/// Writes as much of a batch as the socket accepts, in one system call.
pub(super) fn write(connection: &mut Connection, batch: &mut Batch) -> Written {
    match write_once(connection, batch) {
        Ok(bytes) => Written::Some { bytes, frames: consume(batch, bytes) },
        Err(error) if error.kind() == ErrorKind::WouldBlock => Written::Nothing,
        Err(_) => Written::Gone,
    }
}

fn write_once(connection: &mut Connection, batch: &mut Batch) -> io::Result<usize> {
    if let Some(bytes) = batch.in_one_piece() {
        return connection.write(bytes);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, frame) in slices.iter_mut().zip(&batch.frames) {
        *slice = IoSlice::new(frame);
        count += 1;
    }
    connection.write_vectored(&slices[..count])
}

/// Removes written bytes from the front of a batch. Returns the number of whole frames.
fn consume(batch: &mut Batch, mut bytes: usize) -> u64 {
    let mut frames = 0;
    while let Some(front) = batch.frames.front_mut() {
        if bytes < front.len() {
            front.advance(bytes);
            break;
        }
        bytes -= front.len();
        frames += 1;
        batch.frames.pop_front();
    }
    frames
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn written_bytes_leave_the_batch_and_only_whole_frames_count() {
        let mut batch = Batch::default();
        ["abc", "de", "f"].iter().for_each(|frame| batch.push(Bytes::from_static(frame.as_bytes())));
        assert_eq!(consume(&mut batch, 4), 1);
        assert_eq!(batch.frames, [&b"e"[..], b"f"]);
        assert_eq!(consume(&mut batch, 2), 2);
        assert!(batch.frames.is_empty());
    }
}
