//! The length of a socket's send queue. The only unsafe code of the workspace: no safe library has this ioctl.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::ioctl::{Getter, ioctl};

/// SIOCOUTQ (the same number as TIOCOUTQ) of Linux's `tcp(7)`: unsent and unacknowledged bytes.
const SIOCOUTQ: u32 = 0x5411;

/// Bytes in the kernel's send queue of a TCP socket: not sent, or not acknowledged. Zero when the ioctl fails.
pub(crate) fn unacknowledged_bytes(socket: impl AsFd) -> u64 {
    // SAFETY: tcp(7) documents SIOCOUTQ as writing one `int` through its argument and reading nothing;
    // `Getter` passes a pointer to an uninitialised `c_int` and returns it only when the call succeeded.
    let queued = unsafe { ioctl(socket, Getter::<{ SIOCOUTQ as _ }, std::ffi::c_int>::new()) };
    queued.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}
