//! What goes out in one write.

use std::collections::VecDeque;

use bytes::Bytes;

/// How much is gathered for one write: enough to fill a socket's buffer, small beside a slice of the loop.
const BATCH_BYTES: usize = 64 * 1024;
/// And in how many frames; the kernel takes up to 1,024 pieces a write.
const BATCH_FRAMES: usize = 64;

/// What goes out in one write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) frames: VecDeque<Bytes>,
    bytes: usize,
    /// Room changes among the frames.
    pub(crate) deliveries: u64,
}

impl Batch {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.deliveries = 0;
    }
}
