//! What a classic tab does, and the faults of its connections, while a run goes on.

use std::time::Duration;

use teahouse_checker::wire::RequestBody;
use teahouse_testkit::Random;

use super::Context;
use crate::clients::{Disconnect, Tab};

/// Runs until the end of the run, and disconnects.
pub(super) async fn run(mut tab: Tab, mut context: Context, mut random: Random) -> Tab {
    while !context.is_over() {
        let result =
            if tab.is_connected() { act(&mut tab, &mut context, &mut random).await } else { tab.connect().await };
        let pause = match result {
            Ok(()) => continue,
            Err(Disconnect::Closed(4501)) => random.time_ms(300, 2500),
            Err(Disconnect::Closed(1012)) => Duration::from_secs(1),
            Err(_) => random.time_ms(20, 500),
        };
        context.wait(pause).await;
    }
    tab.cut(false);
    tab
}

async fn act(tab: &mut Tab, context: &mut Context, random: &mut Random) -> Result<(), Disconnect> {
    tab.read_for(random.time_ms(20, 200)).await?;
    let number = tab.user.next_number();
    let content = format!("{number} of {} in a tab", tab.user.name);
    match random.below(20) {
        0..8 => tab.send_request(RequestBody::Message { room: 1, content, client_id: None, reply_to: None }).await?,
        8 | 9 => {
            context
                .http
                .request(&tab.user, RequestBody::Message { room: 1, content, client_id: None, reply_to: None })
                .await;
        }
        10 | 11 => {
            let users = std::sync::Arc::clone(&context.users);
            let receiver = random.pick(&users).map_or(7, |user| user.id);
            let client_id = Some(format!("{}-{number}", tab.user.name));
            if receiver != tab.user.id {
                let body = RequestBody::Private { receiver, content, client_id };
                // Without an answer the client retries under the same key.
                if context.http.request(&tab.user, body.clone()).await.is_none() {
                    context.http.request(&tab.user, body).await;
                }
            }
        }
        12..15 => tab.heartbeat().await?,
        15 => {
            context.recorder.count_fault("refresh");
            tab.cut(false);
            tab.connect().await?;
        }
        16 => {
            context.recorder.count_fault("stalled reader");
            let time = random.time_ms(500, 4000);
            context.wait(time).await;
        }
        17 => {
            context.recorder.count_fault("cut by a reset");
            tab.send_request(RequestBody::Message { room: 1, content, client_id: None, reply_to: None }).await?;
            tab.cut(true);
        }
        18 if random.one_in(3) => {
            context.recorder.count_fault("goodbye");
            tab.leave().await;
        }
        _ => {}
    }
    Ok(())
}
