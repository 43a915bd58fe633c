//! A WebSocket of which everything is recorded: the handshake, requests, and how it ends. Its owner records what it
//! receives, because only the owner understands envelopes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use teahouse_checker::wire::Request;
use teahouse_checker::{Dialect, End, Fact, Socket};
use teahouse_testkit::ws::dial_from;
use teahouse_testkit::{Handshake, HandshakeError, WsClient, WsEvent};
use tokio::time::timeout;

use super::User;
use crate::recorder::Recorder;

/// How long a client waits for the server before it abandons a socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a client connects.
#[derive(Clone, Copy, Default)]
pub struct ConnectOptions<'a> {
    /// The name of the device in the handshake.
    pub device: Option<&'a str>,
    /// Time between the connection and the first byte.
    pub silent: Option<Duration>,
    /// Time between the first byte and the rest of the handshake.
    pub held_back: Option<Duration>,
    /// The kernel holds only a few KiB that the client has not read.
    pub small_buffer: bool,
    /// The address from which it connects; none lets the kernel choose.
    pub source: Option<IpAddr>,
}

/// Why a client has no socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Disconnect {
    /// The server closed it with this code.
    Closed(u16),
    /// The server refused the handshake with this status.
    Refused(u16),
    /// The connection was lost or never made.
    Lost,
}

/// A recorded WebSocket.
pub struct RecordedSocket {
    /// Its identity in the history.
    pub socket: Socket,
    /// The token of its handshake.
    pub token: String,
    recorder: Recorder,
    client: WsClient,
}

impl RecordedSocket {
    /// Connects.
    pub async fn open(
        recorder: &Recorder,
        address: SocketAddr,
        user: &User,
        socket: Socket,
        options: ConnectOptions<'_>,
    ) -> Result<Self, Disconnect> {
        let Ok(Ok(stream)) = timeout(PATIENCE, dial_from(options.source, address, options.small_buffer)).await else {
            return Err(Disconnect::Lost);
        };
        if let Some(silent) = options.silent {
            tokio::time::sleep(silent).await;
        }
        let token = user.token();
        recorder.note(&socket, Fact::HandshakeSent { device: options.device.map(Into::into) });
        let v1 = socket.dialect == Dialect::V1;
        let handshake = Handshake { v1, token: &token, device: options.device, held_back: options.held_back };
        let limit = PATIENCE + options.held_back.unwrap_or_default();
        match timeout(limit, WsClient::handshake(stream, &handshake)).await {
            Ok(Ok(client)) => {
                recorder.note(&socket, Fact::HandshakeAnswered { status: 101 });
                Ok(Self { socket, token, recorder: recorder.clone(), client })
            }
            Ok(Err(HandshakeError::Refused(status))) => {
                recorder.note(&socket, Fact::HandshakeAnswered { status });
                if status == 401 {
                    user.replace_token(&token);
                }
                Err(Disconnect::Refused(status))
            }
            Ok(Err(HandshakeError::Lost(_))) | Err(_) => {
                recorder.note(&socket, Fact::Ended(End::Lost));
                Err(Disconnect::Lost)
            }
        }
    }

    /// Sends a request: the text, and its record in the history.
    pub async fn send_request(&mut self, text: String, request: Request) -> Result<(), Disconnect> {
        self.recorder.note(&self.socket, Fact::RequestSent(request));
        match timeout(PATIENCE, self.client.send_text(text)).await {
            // After an error there may still be something to read.
            Ok(_) => Ok(()),
            Err(_) => Err(self.end(End::Lost, Disconnect::Lost)),
        }
    }

    /// The next text. May be dropped while it waits.
    pub async fn next(&mut self) -> Result<String, Disconnect> {
        match self.client.next().await {
            WsEvent::Text(text) => Ok(text),
            WsEvent::Closed(code, reason) => Err(self.end(End::Closed { code, reason }, Disconnect::Closed(code))),
            WsEvent::Lost => Err(self.end(End::Lost, Disconnect::Lost)),
        }
    }

    fn end(&self, end: End, disconnect: Disconnect) -> Disconnect {
        self.recorder.note(&self.socket, Fact::Ended(end));
        disconnect
    }

    /// Records a fact of this socket.
    pub fn note(&self, fact: Fact) {
        self.recorder.note(&self.socket, fact);
    }

    /// Cuts the connection: by a reset, or as when a process ends.
    pub fn cut(self, by_reset: bool) {
        self.recorder.note(&self.socket, Fact::Ended(End::Cut));
        self.client.cut(by_reset);
    }

    /// Closes the connection as when the user leaves a page, and reads the rest.
    pub async fn leave(mut self, code: u16) {
        self.recorder.note(&self.socket, Fact::Ended(End::Left { code }));
        let _ = timeout(PATIENCE, async {
            let _ = self.client.close(code).await;
            while self.client.next().await != WsEvent::Lost {}
        })
        .await;
    }
}
