//! Faults of the machine (FAULTS.md, "In the process"), each counted: a test whose fault never happened fails.

use crate::stage::{Person, Server, settles};

mod clock;
mod disk;
mod process;

/// Waits until `/ready` answers with this status; what it was found out with is kept for a second.
async fn becomes_ready(server: &Server, status: u16) {
    let nobody = Person::stranger(server);
    settles(async || nobody.get("/ready").await.status == status).await;
}

/// The server has been the same process all along.
#[track_caller]
fn assert_one_life(server: &mut Server, pid: u32) {
    assert_eq!((server.pid(), server.has_ended()), (pid, None));
}
