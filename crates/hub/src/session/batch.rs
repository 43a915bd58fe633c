//! What goes out in one write.

use std::collections::VecDeque;

use bytes::Bytes;

/// How much is gathered for one write: enough to fill a socket's buffer, small beside a slice of the loop.
const BATCH_BYTES: usize = 64 * 1024;
/// And in how many frames; the kernel takes up to 1,024 pieces a write.
const BATCH_FRAMES: usize = 64;

/// Up to here frames are copied behind one another for a write: the kernel takes one piece sooner than a list of
/// them, by more than the copy costs.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// What goes out in one write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) frames: VecDeque<Bytes>,
    bytes: usize,
    copied: Vec<u8>,
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

    /// All of it in one piece, if it is one or is small.
    pub(crate) fn in_one_piece(&mut self) -> Option<&[u8]> {
        if self.frames.len() == 1 {
            return self.frames.front().map(|frame| &frame[..]);
        }
        if self.bytes > COPIED_BYTES_MAX {
            return None;
        }
        self.copied.clear();
        self.frames.iter().for_each(|frame| self.copied.extend_from_slice(frame));
        Some(&self.copied)
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.deliveries = 0;
    }
}
