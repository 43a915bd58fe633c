//! The baseline: what the kernel alone costs for the same work. One thread, bare epoll, frames encoded once; no accounts
//! and no storage. It supports just enough of the classic dialect for the load generator and is no server for anything
//! else.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

const BUFFER_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;
const BACKLOG: i32 = 65_535;
/// Interval of online counts, as of the server.
const TICK: Duration = Duration::from_millis(250);
/// Event data of the listener.
const LISTENER: u64 = u64::MAX;
/// The response to the constant key of the load generator (the example of RFC 6455).
const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Send every received message to all clients, and do nothing else.
#[derive(Parser)]
struct Baseline {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// One send per frame, or for all frames that came in together
    #[arg(long, value_enum, default_value_t = Send::Batch)]
    send: Send,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Send {
    Frame,
    Batch,
}

struct Peer {
    stream: TcpStream,
    is_upgraded: bool,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Incomplete requests and frames.
    partial: HashMap<usize, Vec<u8>>,
    /// Bytes that the socket did not take.
    unsent: HashMap<usize, Vec<u8>>,
    online: u64,
    /// Whether the online count changed since it was sent.
    count_is_stale: bool,
    next_id: u64,
    sends: u64,
    /// Frames to send to all clients.
    frames: Vec<Vec<u8>>,
}

fn main() -> ExitCode {
    match run(&Baseline::parse()) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("baseline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(baseline: &Baseline) -> io::Result<std::convert::Infallible> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let socket = Socket::new(Domain::for_address(baseline.listen), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&baseline.listen.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener: TcpListener = socket.into();
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    println!("baseline on http://{}", listener.local_addr()?);
    let mut server = Server {
        epoll,
        listener,
        peers: Vec::new(),
        free: Vec::new(),
        partial: HashMap::new(),
        unsent: HashMap::new(),
        online: 0,
        count_is_stale: false,
        next_id: 0,
        sends: 0,
        frames: Vec::new(),
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
    let mut last_tick = Instant::now();
    loop {
        let wait = TICK.saturating_sub(last_tick.elapsed());
        let timeout = Timespec::try_from(wait).map_err(io::Error::other)?;
        match epoll::wait(&server.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            match data {
                LISTENER => server.accept()?,
                index => {
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    if flags.contains(EventFlags::OUT) {
                        server.flush(index);
                    }
                    server.read(index, &mut buffer);
                }
            }
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            if server.count_is_stale {
                server.count_is_stale = false;
                let count = count_frame(server.online);
                server.frames.push(count);
            }
        }
        server.fan_out(baseline.send);
    }
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), flags)?;
            self.peers[index] = Some(Peer { stream, is_upgraded: false });
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) {
        loop {
            let Some(peer) = self.peers.get(index).and_then(Option::as_ref) else { return };
            match (&peer.stream).read(buffer) {
                Ok(0) => return self.disconnect(index),
                Ok(read) => {
                    let whole = read < buffer.len();
                    match self.partial.remove(&index) {
                        None => self.parse(index, &buffer[..read]),
                        Some(mut rest) => {
                            rest.extend_from_slice(&buffer[..read]);
                            self.parse(index, &rest);
                        }
                    }
                    if whole {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.disconnect(index),
            }
        }
    }

    fn parse(&mut self, index: usize, mut bytes: &[u8]) {
        while let Some(peer) = self.peers[index].as_mut() {
            if peer.is_upgraded {
                let Some((opcode, payload, length)) = read_frame(bytes) else { break };
                bytes = &bytes[length..];
                match opcode {
                    0x1 => self.receive(index, &payload),
                    0x8 => return self.disconnect(index),
                    _ => {}
                }
                continue;
            }
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else { break };
            if bytes.starts_with(b"GET /metrics ") {
                let body = format!("teahouse_writes_total {}\n", self.sends);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                self.send(index, format!("{head}{body}").as_bytes());
                return self.disconnect(index);
            }
            bytes = &bytes[end..];
            peer.is_upgraded = true;
            self.online += 1;
            self.count_is_stale = true;
            let mut answer = UPGRADED.as_bytes().to_vec();
            answer.extend_from_slice(&count_frame(self.online));
            self.send(index, &answer);
        }
        if !bytes.is_empty() && self.peers[index].is_some() {
            self.partial.insert(index, bytes.to_vec());
        }
    }

    fn receive(&mut self, index: usize, payload: &[u8]) {
        let Ok(text) = std::str::from_utf8(payload) else { return };
        if text.starts_with(r#"{"type":"heartbeat""#) {
            return self.send(index, &frame(r#"{"type":"heartbeat","data":{"timestamp":1795328736}}"#));
        }
        let Some((_, content)) = text.split_once(r#""content":""#) else { return };
        let Some((content, _)) = content.split_once('"') else { return };
        self.next_id += 1;
        // As long as a server's message, with names and time.
        let message = format!(
            r#"{{"type":"message","data":{{"id":{},"user_id":1001,"username":"load1001","nickname":"load1001","avatar":"","content":"{content}","message_type":1,"send_time":"2026-11-22T06:25:36.120Z","status":1,"created_at":"2026-11-22T06:25:36.120Z"}}}}"#,
            self.next_id
        );
        self.frames.push(frame(&message));
    }

    fn fan_out(&mut self, how: Send) {
        let mut frames = std::mem::take(&mut self.frames);
        if how == Send::Batch && frames.len() > 1 {
            frames = vec![frames.concat()];
        }
        for frame in &frames {
            for index in 0..self.peers.len() {
                if self.peers[index].as_ref().is_some_and(|peer| peer.is_upgraded) {
                    self.send(index, frame);
                }
            }
        }
        frames.clear();
        self.frames = frames;
    }

    fn send(&mut self, index: usize, bytes: &[u8]) {
        if let Some(unsent) = self.unsent.get_mut(&index) {
            unsent.extend_from_slice(bytes);
            return;
        }
        let Some(peer) = self.peers[index].as_ref() else { return };
        self.sends += 1;
        let written = match (&peer.stream).write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return,
        };
        if written < bytes.len() {
            self.unsent.insert(index, bytes[written..].to_vec());
        }
    }

    fn flush(&mut self, index: usize) {
        if let Some(unsent) = self.unsent.remove(&index) {
            self.send(index, &unsent);
        }
    }

    fn disconnect(&mut self, index: usize) {
        if let Some(peer) = self.peers[index].take() {
            self.online -= u64::from(peer.is_upgraded);
            self.count_is_stale = true;
            self.partial.remove(&index);
            self.unsent.remove(&index);
            self.free.push(index);
        }
    }
}

fn count_frame(count: u64) -> Vec<u8> {
    frame(&format!(r#"{{"type":"online_count","data":{{"count":{count}}}}}"#))
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(short @ 0..126) => frame.push(short.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => return Vec::new(),
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// The first frame in `bytes`: opcode, unmasked payload, bytes on the wire.
fn read_frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (header, payload) = match bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short @ 0..126 => (2, usize::from(short)),
        // The load generator sends no longer frames.
        _ => return None,
    };
    let mask: [u8; 4] = bytes.get(header..header + 4)?.try_into().ok()?;
    let length = header + 4 + payload;
    let masked = bytes.get(header + 4..length)?;
    let unmasked = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((bytes[0] & 0x0f, unmasked, length))
}
