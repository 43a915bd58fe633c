//! What a classic tab does and suffers while the play is on.

use std::time::Duration;

use teahouse_checker::wire::RequestBody;

use super::Stage;
use crate::chance::Chance;
use crate::people::{Gone, Tab};

/// Lives until it is over; its socket is gone then.
pub(super) async fn live(mut tab: Tab, mut stage: Stage, mut chance: Chance) -> Tab {
    while !stage.is_over() {
        let lived = if tab.is_connected() { act(&mut tab, &mut stage, &mut chance).await } else { tab.comes().await };
        let pause = match lived {
            Ok(()) => continue,
            Err(Gone::Closed(4501)) => chance.time_ms(300, 2500),
            Err(Gone::Closed(1012)) => Duration::from_secs(1),
            Err(_) => chance.time_ms(20, 500),
        };
        stage.waits(pause).await;
    }
    tab.cut(false);
    tab
}

async fn act(tab: &mut Tab, stage: &mut Stage, chance: &mut Chance) -> Result<(), Gone> {
    tab.reads_for(chance.time_ms(20, 200)).await?;
    let number = tab.person.number();
    let content = format!("{number} of {} in a tab", tab.person.name);
    match chance.below(20) {
        0..8 => tab.asks(RequestBody::Message { room: 1, content, client_id: None, reply_to: None }).await?,
        8 | 9 => {
            stage
                .http
                .ask(&tab.person, RequestBody::Message { room: 1, content, client_id: None, reply_to: None })
                .await;
        }
        10 | 11 => {
            let people = std::sync::Arc::clone(&stage.people);
            let receiver = chance.pick(&people).map_or(7, |person| person.id);
            let client_id = Some(format!("{}-{number}", tab.person.name));
            if receiver != tab.person.id {
                let ask = RequestBody::Private { receiver, content, client_id };
                // Who is not answered asks again under the same key.
                if stage.http.ask(&tab.person, ask.clone()).await.is_none() {
                    stage.http.ask(&tab.person, ask).await;
                }
            }
        }
        12..15 => tab.beats().await?,
        15 => {
            stage.recorder.fault("refresh");
            tab.cut(false);
            tab.comes().await?;
        }
        16 => {
            stage.recorder.fault("stalled reader");
            let time = chance.time_ms(500, 4000);
            stage.waits(time).await;
        }
        17 => {
            stage.recorder.fault("cut by a reset");
            tab.asks(RequestBody::Message { room: 1, content, client_id: None, reply_to: None }).await?;
            tab.cut(true);
        }
        18 if chance.one_in(3) => {
            stage.recorder.fault("goodbye");
            tab.leaves().await;
        }
        _ => {}
    }
    Ok(())
}
