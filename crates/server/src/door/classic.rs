//! The classic dialect over a socket: saying something in the lobby, and signs of life.

use std::sync::Arc;

use teahouse_hub::{RequestOutcome, Response, SessionContext};
use teahouse_protocol::classic::{self, Request};

use super::within_rate;
use crate::app::App;
use crate::http::refusal::Refusal;
use crate::use_cases::send_message::{Draft, begin_send};

/// Takes one frame.
pub(super) fn receive(app: &Arc<App>, caller: &SessionContext, text: &str) -> RequestOutcome {
    match classic::read_request(text) {
        Ok(Request::Message { content }) => say(app, caller, content),
        Ok(Request::Heartbeat) => match within_rate(app, caller) {
            Ok(()) => RequestOutcome::Reply(classic::heartbeat(app.now())),
            Err(refusal) => RequestOutcome::Reply(refused(app, caller, &refusal)),
        },
        Err(error) => {
            let refusal = within_rate(app, caller).err().unwrap_or_else(|| error.into());
            RequestOutcome::Malformed(refused(app, caller, &refusal))
        }
    }
}

fn say(app: &Arc<App>, caller: &SessionContext, content: String) -> RequestOutcome {
    let draft = Draft::lobby(caller.user, content, None, caller.address);
    match begin_send(app, draft) {
        // The sender hears of the message as everybody does: by its envelope.
        Ok(sending) => {
            let (app, caller) = (Arc::clone(app), *caller);
            RequestOutcome::Pending(Box::pin(async move {
                match sending.await {
                    Ok(_) => Response::default(),
                    Err(error) => Response::with_envelope(refused(&app, &caller, &error.into())),
                }
            }))
        }
        Err(error) => RequestOutcome::Reply(refused(app, caller, &error.into())),
    }
}

fn refused(app: &App, caller: &SessionContext, refusal: &Refusal) -> String {
    app.rejections.count(refusal.code);
    // The front end shows the sentence as a toast: the table's own, which needs no field beside it.
    classic::refusal(refusal.code, caller.language)
}
