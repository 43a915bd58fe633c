//! Faults of the machine (docs/internals/regressions.md, Faults). A test fails if its fault never happened.

use crate::fixture::{Server, User, wait_until};

mod clock;
mod disk;
mod process;

/// Waits until `/ready` answers with this status. The server keeps the result of a check for a second.
async fn wait_for_ready(server: &Server, status: u16) {
    let anonymous = User::anonymous(server);
    wait_until(async || anonymous.get("/ready").await.status == status).await;
}

/// Asserts that the server is still the same process.
#[track_caller]
fn assert_same_process(server: &mut Server, pid: u32) {
    assert_eq!((server.pid(), server.exit_status()), (pid, None));
}
