//! Waits for the head of a connection's first request where it costs nothing: in the kernel's buffer. It reads nothing
//! from the socket and interprets no request.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes of the first peek; most requests are shorter.
pub(crate) const FIRST_BYTES_MAX: usize = 4096;
/// Maximum bytes of a peek. The kernel's buffer has room for them; HTTP reads longer heads itself.
const PEEKED_MAX: usize = 32 * 1024;
/// Maximum header lines of a request, as in hyper.
const HEADERS_MAX: usize = 100;
/// After so many peeks there is a pause before each one, so that a head that arrives byte by byte costs little.
const EAGER_PEEKS: u32 = 8;
const PEEK_PAUSE: Duration = Duration::from_millis(50);

thread_local! {
    /// The buffer for heads that are longer than the first peek. One peek at a time uses it.
    static LONG_HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much of a head has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrived {
    /// Nothing yet.
    Nothing,
    /// A part.
    Part,
    /// All of it, or what can never become a head: HTTP answers either.
    All,
    /// The connection ended, or is broken.
    End,
}

/// Peeks at the bytes that have arrived. A head has at most `bytes_max`.
pub(crate) fn peek(socket: &impl AsFd, bytes_max: usize) -> Arrived {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; FIRST_BYTES_MAX];
    let seen = match recv(socket, &mut buffer[..], RecvFlags::PEEK) {
        Ok(((bytes, _), _)) => bytes,
        Err(Errno::WOULDBLOCK | Errno::INTR) => return Arrived::Nothing,
        Err(_) => return Arrived::End,
    };
    match seen.len() {
        0 => Arrived::End,
        _ if is_settled(seen) => Arrived::All,
        FIRST_BYTES_MAX => peek_long(socket, bytes_max.min(PEEKED_MAX)),
        _ => Arrived::Part,
    }
}

fn peek_long(socket: &impl AsFd, bytes_max: usize) -> Arrived {
    LONG_HEAD.with_borrow_mut(|buffer| {
        buffer.resize(bytes_max, 0);
        match recv(socket, &mut buffer[..], RecvFlags::PEEK) {
            Ok((_, seen)) if seen >= bytes_max || is_settled(&buffer[..seen]) => Arrived::All,
            Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => Arrived::Part,
            Err(_) => Arrived::End,
        }
    })
}

/// Whether these bytes are a complete head, or can never become one.
fn is_settled(bytes: &[u8]) -> bool {
    // Most requests have no body. Empty lines before a request are no head.
    if bytes.ends_with(b"\r\n\r\n") && bytes[0].is_ascii_alphabetic() {
        return true;
    }
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    !matches!(httparse::Request::new(&mut lines).parse(bytes), Ok(httparse::Status::Partial))
}

/// Waits until more has arrived than `before`.
pub(crate) async fn wait_for_more(socket: &TcpStream, bytes_max: usize, before: Arrived) -> Arrived {
    let mut peeks = 0;
    loop {
        let Ok(ready) = socket.ready(Interest::READABLE).await else { return Arrived::End };
        let mut arrived = Arrived::Nothing;
        // A peek that finds nothing new reports "would block", so that the next one waits for more bytes.
        let _ = socket.try_io(Interest::READABLE, || {
            arrived = peek(socket, bytes_max);
            if [Arrived::Nothing, before].contains(&arrived) { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if ![Arrived::Nothing, before].contains(&arrived) {
            return arrived;
        }
        if ready.is_read_closed() {
            return Arrived::End;
        }
        peeks += 1;
        if peeks > EAGER_PEEKS {
            tokio::time::sleep(PEEK_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_head_is_settled_when_it_is_complete_or_can_never_be_one() {
        for (bytes, expect) in [
            ("", false),
            ("G", false),
            ("GET /live HTTP/1.1\r\nHost: localhost\r\n", false),
            ("GET /live HTTP/1.1\r\nHost: localhost\r\n\r", false),
            ("GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n", true),
            ("GET /live HTTP/1.1\nHost: localhost\n\n", true),
            ("POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{", true),
            ("\r\n\r\n", false),
            ("\r\n\r\nGET", false),
            ("\u{16}\u{3}\u{1}", true),
            ("GET / HTTP/9", true),
        ] {
            assert_eq!(is_settled(bytes.as_bytes()), expect, "{bytes:?}");
        }
    }

    #[test]
    fn peeking_takes_nothing_and_sees_long_heads() {
        let (mut client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut check = |bytes: &str, expect| {
            client.write_all(bytes.as_bytes()).unwrap();
            assert_eq!(peek(&server, 16 * 1024), expect, "after {bytes:.20}");
        };
        check("", Arrived::Nothing);
        check("GET / HTTP/1.1\r\n", Arrived::Part);
        check("", Arrived::Part);
        check(&format!("X: {}\r\n", "x".repeat(6000)), Arrived::Part);
        check("\r\n", Arrived::All);
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(&vec![b'G'; 16 * 1024]).unwrap();
        assert_eq!(peek(&server, 16 * 1024), Arrived::All, "HTTP refuses a head of this size");
        drop((client, server));
        let (client, server) = UnixStream::pair().unwrap();
        drop(client);
        assert_eq!(peek(&server, 16 * 1024), Arrived::End);
    }
}
