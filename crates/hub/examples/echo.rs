//! An echo server on the hub's codec for the Autobahn fuzzing client (scripts/autobahn). It prints its address on the
//! first line of output and runs until it is killed.
#![allow(clippy::unwrap_used, reason = "a test tool that cannot continue fails")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use teahouse_core::CloseCode;
use teahouse_core::limits::FRAME_BYTES_MAX;
use teahouse_hub::websocket::{
    Decoder, Event, Flow, bare_close_frame, binary_frame, close_frame, pong_frame, text_frame,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The maximum length of a request's head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a peer may take to end a closed connection, or to accept what is sent.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("ws://{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        // The fuzzing client opens one connection after the other. Connections that it aborts are ignored.
        std::thread::spawn(move || stream.and_then(echo));
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    handshake(&mut stream)?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(());
        }
        let mut answers = Vec::new();
        let mut is_over = false;
        let read = decoder.read(&mut buffer[..bytes], FRAME_BYTES_MAX, |event| {
            answers.extend_from_slice(&match event {
                Event::Text(text) => text_frame(text),
                Event::Binary(payload) => binary_frame(payload),
                Event::Ping(payload) => pong_frame(payload),
                Event::Pong => return Flow::Continue,
                Event::Close(code) => {
                    is_over = true;
                    code.map_or_else(bare_close_frame, |code| close_frame(code, ""))
                }
            });
            if is_over { Flow::Stop } else { Flow::Continue }
        });
        if let Err(error) = read {
            answers.extend_from_slice(&close_frame(CloseCode::from(error).code(), &error.to_string()));
            is_over = true;
        }
        stream.write_all(&answers)?;
        if is_over {
            return leave(&mut stream);
        }
    }
}

/// Ends the connection so that everything that was sent arrives. It reads until the peer closes, since closing a socket
/// with unread data resets it.
fn leave(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    io::copy(stream, &mut io::sink()).map(drop)
}

/// The handshake, as far as a test tool needs one. The client sends nothing after its head before the response.
fn handshake(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| derive_accept_key(value.trim().as_bytes()))
    });
    let accept = key.ok_or(io::ErrorKind::InvalidData)?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())
}
