//! Which proxies are trusted, and with what.

use reqwest::Method;

use crate::fixture::{RawSocket, Server, User, request_head, site_token};

#[tokio::test]
async fn a_forwarded_address_is_trusted_only_from_a_listed_proxy() {
    // One bad token a second is allowed for each address, so the limit shows which address the server saw.
    let limits = [("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "3")];
    let statuses = async |server: &Server| {
        let anonymous = User::anonymous(server).with_token("bad");
        let mut statuses = Vec::new();
        for number in 0..30 {
            let spoofed = format!("203.0.113.{number}");
            let headers = [("X-Forwarded-For", spoofed.as_str()), ("X-Real-IP", &spoofed), ("Forwarded", &spoofed)];
            statuses.push(anonymous.request(Method::GET, "/api/auth/me", &headers, None).await.status);
        }
        statuses
    };
    let nobody = ("TEAHOUSE_SERVER__TRUSTED_PROXIES", "");
    let direct = Server::of_site(&[&limits[..], &[nobody]].concat());
    assert!(statuses(&direct).await.contains(&429), "thirty bad tokens are of one address");
    let behind_a_proxy = Server::of_site(&[&limits[..], &[("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1")]].concat());
    assert_eq!(statuses(&behind_a_proxy).await, [401; 30]);
    // The server names the address once, and the key to set.
    let named = |log: &str| log.lines().filter(|line| line.contains("server.trusted_proxies")).count();
    assert!(direct.wait_for_log_line("server.trusted_proxies").contains("127.0.0.1"));
    assert_eq!((named(&direct.log()), named(&behind_a_proxy.log())), (1, 0));
}

#[tokio::test]
async fn a_proxy_on_loopback_is_trusted_while_the_server_listens_there() {
    let limits = [("TEAHOUSE_LIMITS__BAD_TOKENS_PER_SECOND", "1"), ("TEAHOUSE_LIMITS__BAD_TOKENS_BURST", "2")];
    let server = Server::of_site(&limits);
    let anonymous = User::anonymous(&server).with_token("bad");
    for number in 0..30 {
        let client = format!("203.0.113.{number}");
        let headers = [("X-Forwarded-For", client.as_str())];
        anonymous.request(Method::GET, "/api/auth/me", &headers, None).await.expect(401);
    }
}

#[tokio::test]
async fn of_several_lines_with_a_forwarded_host_the_last_counts() {
    let server = Server::of_site(&[("TEAHOUSE_SERVER__TRUSTED_PROXIES", "127.0.0.1")]);
    let token = site_token(7, "amy");
    // The client wrote the first line, and the proxy added the second.
    let lines = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: chat.example\r\n";
    for (origin, expect) in [("https://evil.example", "HTTP/1.1 403 "), ("https://chat.example", "HTTP/1.1 101 ")] {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.write(request_head(&token, &format!("Origin: {origin}\r\n{lines}")).as_bytes()).await;
        let head = socket.read_head().await;
        assert!(head.starts_with(expect), "{origin}: {head}");
    }
}
