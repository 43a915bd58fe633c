//! Quiescence at the end of a run: clients resend what has no ack, then every user reconnects as many devices as may be
//! live at once. Each loads everything and stays, so that the checker can compare their views.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use teahouse_checker::wire::RequestBody;

use super::{Actor, Context, Workload};
use crate::clients::{ConnectOptions, Device, Disconnect};

/// Attempts of one client.
const ATTEMPTS: usize = 20;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(300);
/// Time in which the server delivers the last events.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// Resends messages without an ack until each has one.
pub(super) async fn resend_unacknowledged(actor: &mut Actor, context: &Context) {
    let Actor::Device(device) = actor else { return };
    for _ in 0..ATTEMPTS {
        if device.unacknowledged.is_empty() || device.is_broken {
            break;
        }
        let resending = async {
            device.connect(ConnectOptions::default()).await?;
            device.catch_up().await?;
            let open: Vec<RequestBody> = device.unacknowledged.values().cloned().collect();
            for body in open {
                context.recorder.count_fault("said again");
                device.request(body).await?;
            }
            Ok::<(), Disconnect>(())
        };
        if resending.await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    device.cut(false);
}

/// Reconnects all clients, and lets them read and send requests until nothing changes any more.
pub(super) async fn quiesce(workload: &mut Workload, linger: Duration) {
    let (mut live, mut tabs): (BTreeMap<u64, usize>, BTreeSet<u64>) = (BTreeMap::new(), BTreeSet::new());
    let (mut stayers, mut others): (Vec<Actor>, Vec<Actor>) = workload.actors.drain(..).partition(|actor| {
        let (user, is_device) = match actor {
            Actor::Device(device) => (device.user.id, true),
            // All tabs of a user are one device.
            Actor::Tab(tab) => (tab.user.id, tabs.insert(tab.user.id)),
        };
        let count = live.entry(user).or_default();
        *count += usize::from(is_device);
        // One user in six stays away: nobody may see them online.
        user % 6 != 5 && is_device && *count <= workload.devices_per_user
    });
    join_all(stayers.iter_mut().map(connect)).await;
    // Users who stay away go offline after the linger.
    join_all(stayers.iter_mut().map(|actor| read(actor, linger + SETTLING * 3))).await;
    for actor in &stayers {
        match actor {
            Actor::Device(device) => device.note_rested(),
            Actor::Tab(tab) => tab.note_rested(),
        }
    }
    workload.context.http.request(&workload.context.users[0], RequestBody::OnlineUsers {}).await;
    join_all(stayers.iter_mut().map(ask_for_presence)).await;
    join_all(stayers.iter_mut().map(|actor| read(actor, SETTLING))).await;
    join_all(stayers.iter_mut().map(heartbeat)).await;
    workload.actors = stayers;
    workload.actors.append(&mut others);
}

async fn connect(actor: &mut Actor) {
    for _ in 0..ATTEMPTS {
        let connected = match actor {
            Actor::Device(device) if device.is_broken => return,
            Actor::Device(device) => {
                async {
                    device.connect(ConnectOptions::default()).await?;
                    device.catch_up().await?;
                    watch_presence(device).await?;
                    device.load_all().await
                }
                .await
            }
            Actor::Tab(tab) => {
                async {
                    tab.connect().await?;
                    tab.heartbeat().await
                }
                .await
            }
        };
        if connected.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn watch_presence(device: &mut Device) -> Result<(), Disconnect> {
    let rooms: Vec<u64> = device.view.rooms.keys().copied().collect();
    for room in rooms {
        device.request(RequestBody::Presence { room, on: true }).await?;
    }
    Ok(())
}

/// Errors are ignored: the checker counts which clients are quiescent.
async fn read(actor: &mut Actor, time: Duration) {
    let _ = match actor {
        Actor::Device(device) => device.read_for(time).await,
        Actor::Tab(tab) => tab.read_for(time).await,
    };
}

async fn ask_for_presence(actor: &mut Actor) {
    let _ = match actor {
        Actor::Device(device) => watch_presence(device).await,
        Actor::Tab(tab) => tab.heartbeat().await,
    };
}

async fn heartbeat(actor: &mut Actor) {
    let _ = match actor {
        Actor::Device(device) => device.request(RequestBody::Heartbeat {}).await.map(|_| ()),
        Actor::Tab(tab) => tab.heartbeat().await,
    };
}
