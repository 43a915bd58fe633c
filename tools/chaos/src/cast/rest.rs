//! How the cast comes to rest: what nobody acknowledged is said again, then everybody comes back, as many of each as
//! may be live at once, loads everything and stays, so that their views can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use teahouse_checker::wire::RequestBody;

use super::{Actor, Cast, Stage};
use crate::people::{Gone, Handshake};

/// Tries of one device to come to rest.
const TRIES: usize = 20;
/// Between them.
const PAUSE: Duration = Duration::from_millis(300);
/// What the server may take to tell of what happened last.
pub(super) const SETTLING: Duration = Duration::from_secs(2);

/// Says again what was said and not acknowledged, until it is.
pub(super) async fn says_what_is_open(actor: &mut Actor, stage: &Stage) {
    let Actor::Device(device) = actor else { return };
    for _ in 0..TRIES {
        if device.open.is_empty() || device.is_broken {
            break;
        }
        let said = async {
            device.comes(Handshake::default()).await?;
            device.catches_up().await?;
            let open: Vec<RequestBody> = device.open.values().cloned().collect();
            for ask in open {
                stage.recorder.fault("said again");
                device.does(ask).await?;
            }
            Ok::<(), Gone>(())
        };
        if said.await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    device.cut(false);
}

/// Brings everybody to rest, and lets them look around there.
pub(super) async fn rest(cast: &mut Cast, linger: Duration) {
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut stayers, mut others): (Vec<Actor>, Vec<Actor>) = cast.actors.drain(..).partition(|actor| {
        let person = match actor {
            Actor::Device(device) => device.person.id,
            Actor::Tab(tab) => tab.person.id,
        };
        let taken = places.entry(person).or_default();
        *taken += 1;
        // One in six is away: nobody may show them.
        person % 6 != 5 && *taken <= cast.sessions_per_user
    });
    join_all(stayers.iter_mut().map(comes)).await;
    // Whoever went lingers, and then is told of as gone.
    join_all(stayers.iter_mut().map(|actor| reads(actor, linger + SETTLING * 3))).await;
    for actor in &stayers {
        match actor {
            Actor::Device(device) => device.rests(),
            Actor::Tab(tab) => tab.rests(),
        }
    }
    cast.stage.http.ask(&cast.stage.people[0], RequestBody::OnlineUsers {}).await;
    join_all(stayers.iter_mut().map(looks_around)).await;
    join_all(stayers.iter_mut().map(|actor| reads(actor, SETTLING))).await;
    join_all(stayers.iter_mut().map(beats)).await;
    cast.actors = stayers;
    cast.actors.append(&mut others);
}

async fn comes(actor: &mut Actor) {
    for _ in 0..TRIES {
        let came = match actor {
            Actor::Device(device) if device.is_broken => return,
            Actor::Device(device) => {
                async {
                    device.comes(Handshake::default()).await?;
                    device.catches_up().await?;
                    watches(device).await?;
                    device.loads_all().await
                }
                .await
            }
            Actor::Tab(tab) => {
                async {
                    tab.comes().await?;
                    tab.beats().await
                }
                .await
            }
        };
        if came.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn watches(device: &mut crate::people::Device) -> Result<(), Gone> {
    let rooms: Vec<u64> = device.view.rooms.keys().copied().collect();
    for room in rooms {
        device.does(RequestBody::Presence { room, on: true }).await?;
    }
    Ok(())
}

/// Who is gone by now is seen to be not at rest: the judge counts who is.
async fn reads(actor: &mut Actor, time: Duration) {
    let _ = match actor {
        Actor::Device(device) => device.reads_for(time).await,
        Actor::Tab(tab) => tab.reads_for(time).await,
    };
}

async fn looks_around(actor: &mut Actor) {
    let _ = match actor {
        Actor::Device(device) => watches(device).await,
        Actor::Tab(tab) => tab.beats().await,
    };
}

async fn beats(actor: &mut Actor) {
    let _ = match actor {
        Actor::Device(device) => device.does(RequestBody::Heartbeat {}).await.map(|_| ()),
        Actor::Tab(tab) => tab.beats().await,
    };
}
