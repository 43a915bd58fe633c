//! The classic dialect over a socket: messages to the lobby, and heartbeats.

use std::sync::Arc;

use teahouse_hub::{RequestOutcome, Response, SessionContext};
use teahouse_protocol::classic::{self, ClassicRequest};

use super::check_rate;
use crate::app::App;
use crate::errors::ApiError;
use crate::use_cases::messages::send_message::{MessageDraft, begin_send};

/// Handles one frame.
pub(super) fn receive(app: &Arc<App>, session: &SessionContext, text: &str) -> RequestOutcome {
    match classic::read_request(text) {
        Ok(ClassicRequest::Message { content }) => send(app, session, content),
        Ok(ClassicRequest::Heartbeat) => match check_rate(app, session) {
            Ok(()) => RequestOutcome::Reply(classic::heartbeat(app.now())),
            Err(error) => RequestOutcome::Reply(refuse(app, session, &error)),
        },
        Err(fault) => {
            let error = check_rate(app, session).err().unwrap_or_else(|| fault.into());
            RequestOutcome::Malformed(refuse(app, session, &error))
        }
    }
}

fn send(app: &Arc<App>, session: &SessionContext, content: String) -> RequestOutcome {
    let draft = MessageDraft::lobby(session.user, content, None, session.address);
    match begin_send(app, draft) {
        Ok(sending) => {
            let (app, session) = (Arc::clone(app), *session);
            RequestOutcome::Pending(Box::pin(async move {
                match sending.await {
                    // The sender gets the message's envelope as everybody does; there is no other response.
                    Ok(_) => Response::default(),
                    Err(error) => Response::with_envelope(refuse(&app, &session, &error.into())),
                }
            }))
        }
        Err(error) => RequestOutcome::Reply(refuse(app, session, &error.into())),
    }
}

fn refuse(app: &App, session: &SessionContext, error: &ApiError) -> String {
    app.rejections.count(error.code());
    // The front end shows the message as a toast. The table's message is the one that makes sense without the field.
    classic::refusal(error.code(), session.language)
}
