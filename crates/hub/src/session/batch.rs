//! The frames of one write.

use std::collections::VecDeque;

use bytes::Bytes;

/// Bytes of one write: enough to fill a socket's buffer, small compared with a time slice of the event loop.
const BATCH_BYTES: usize = 64 * 1024;
/// Frames of one write; the kernel takes up to 1,024 pieces.
const BATCH_FRAMES: usize = 64;

/// Up to this size frames are copied into one piece: the kernel takes one piece faster than a list of pieces, by more
/// than the copy costs.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// The frames of one write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) frames: VecDeque<Bytes>,
    bytes: usize,
    /// Reused by every write of the shard.
    copied: Vec<u8>,
    /// Room changes among the frames.
    pub(crate) deliveries: u64,
    /// The bounds that took something from memory which the session still needed, and the figures that reached them.
    pub(crate) bounds_reached: Vec<(&'static str, usize)>,
}

impl Batch {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES
    }

    /// The batch as one piece, if it is a single frame or small enough to copy.
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
