//! The classic dialect over a socket: messages to the lobby, and heartbeats.

use std::sync::Arc;

use teahouse_hub::{Answer, Caller, Receipt};
use teahouse_protocol::classic::{self, Request};

use super::check_rate;
use crate::app::App;
use crate::errors::ApiError;
use crate::use_cases::messages::send_message::{MessageDraft, begin_send};

/// Handles one frame.
pub(super) fn receive(app: &Arc<App>, caller: &Caller, text: &str) -> Receipt {
    match classic::read_request(text) {
        Ok(Request::Message { content }) => send(app, caller, content),
        Ok(Request::Heartbeat) => match check_rate(app, caller) {
            Ok(()) => Receipt::Reply(classic::heartbeat(app.now())),
            Err(error) => Receipt::Reply(refuse(app, caller, &error)),
        },
        Err(fault) => {
            let error = check_rate(app, caller).err().unwrap_or_else(|| fault.into());
            Receipt::Malformed(refuse(app, caller, &error))
        }
    }
}

fn send(app: &Arc<App>, caller: &Caller, content: String) -> Receipt {
    let draft = MessageDraft::lobby(caller.user, content, None, caller.address);
    match begin_send(app, draft) {
        Ok(sending) => {
            let (app, caller) = (Arc::clone(app), *caller);
            Receipt::Later(Box::pin(async move {
                match sending.await {
                    // The sender gets the message's envelope as everybody does; there is no other response.
                    Ok(_) => Answer::default(),
                    Err(error) => Answer::saying(refuse(&app, &caller, &error.into())),
                }
            }))
        }
        Err(error) => Receipt::Reply(refuse(app, caller, &error.into())),
    }
}

fn refuse(app: &App, caller: &Caller, error: &ApiError) -> String {
    app.rejections.count(error.code());
    // The front end shows the message as a toast. The table's message is the one that makes sense without the field.
    classic::refusal(error.code(), caller.language)
}
