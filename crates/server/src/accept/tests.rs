use std::convert::Infallible;

use axum::body::Body as AnswerText;
use axum::routing::get;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;
use crate::config::{self, Sources};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A listener with one place, whose answers have two pieces; the second is there once it is allowed.
async fn serve_pieces(allowed: &Arc<Notify>) -> SocketAddr {
    let environment = vec![("TEAHOUSE_SERVER__TRUSTED_PROXIES".into(), "".into())];
    let config = config::load(Sources { environment, ..Sources::default() }).unwrap().config.server;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let allowed = Arc::clone(allowed);
    let pieces = move || {
        let second = async move {
            allowed.notified().await;
            Ok::<_, Infallible>("second")
        };
        std::future::ready(AnswerText::from_stream(stream::iter([Ok("first")]).chain(stream::once(second))))
    };
    let serving = Serving {
        router: Router::new().route("/", get(pieces)),
        router_when_full: Router::new(),
        handshakes: None,
        rules: PlaceRules { places: 1, unauthenticated_max: 1, per_prefix_max: 1 },
        names: BoundNames { places: "places", unauthenticated: "unauthenticated", per_prefix: "per_prefix" },
        bounds: Bounds::default(),
    };
    tokio::spawn(async move { serve(listener, serving, &config, CancellationToken::new()).await });
    address
}

async fn ask(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(REQUEST).await.unwrap();
    socket
}

/// Reads until this text or the end, and returns what came.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut bytes = [0; 1024];
        match socket.read(&mut bytes).await {
            Ok(count @ 1..) => read.push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
            _ => break,
        }
    }
    read
}

/// Whether a newcomer finds no place.
async fn is_refused(address: SocketAddr) -> bool {
    read_until(&mut ask(address).await, "\r\n").await.starts_with("HTTP/1.1 404")
}

#[tokio::test]
async fn a_connection_is_not_idle_while_its_answer_waits_for_more_to_write() {
    let allowed = Arc::new(Notify::new());
    let address = serve_pieces(&allowed).await;
    let mut first = ask(address).await;
    assert!(read_until(&mut first, "first").await.contains("first"));
    for _ in 0..10 {
        assert!(is_refused(address).await, "every place is taken");
    }
    allowed.notify_one();
    assert!(read_until(&mut first, "0\r\n\r\n").await.contains("second"), "the answer is whole");
    // From now on the connection is idle, and gives way sooner or later.
    while is_refused(address).await {}
    assert_eq!(read_until(&mut first, "more").await, "");
}
