//! A data directory, a server on it that can be stopped, and the commands of the binary.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) use teahouse_testkit::PATIENCE;

/// The output and exit status of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl CommandOutput {
    /// Asserts the exit status, and that the output contains a text.
    #[track_caller]
    pub(crate) fn assert_output(self, status: i32, text: &str) -> Self {
        let contains = self.out.contains(text) || self.err.contains(text);
        assert!(self.status == Some(status) && contains, "expected {status} and {text:?}, got {self:?}");
        self
    }
}

/// Runs the binary with only these environment variables, and this text on standard input.
pub(crate) fn run(directory: &Path, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> CommandOutput {
    let mut child = Command::new(env!("CARGO_BIN_EXE_teahouse"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no input may have exited without reading it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    CommandOutput { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A directory with the data directory `data`.
pub(crate) struct TestServer {
    pub directory: tempfile::TempDir,
    environment: Vec<(&'static str, &'static str)>,
    server: Option<teahouse_testkit::Server>,
}

/// Whether the server runs during a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerState {
    Running,
    Stopped,
}

impl TestServer {
    /// Starts a server on new data.
    pub(crate) fn open(environment: &[(&'static str, &'static str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self { directory, environment: environment.to_vec(), server: None };
        server.start();
        server
    }

    /// Starts the server.
    pub(crate) fn start(&mut self) {
        self.start_on("data");
    }

    /// Starts the server on another data directory.
    pub(crate) fn start_on(&mut self, data: &str) {
        assert!(self.server.is_none(), "the server is running already");
        let binary = env!("CARGO_BIN_EXE_teahouse");
        self.server = Some(teahouse_testkit::Server::start_on(binary, &self.environment, &self.path(data)));
    }

    /// Stops the server with SIGTERM.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        server.terminate();
        assert!(server.wait_for_exit_blocking(PATIENCE).success());
    }

    /// Calls `run` with the server running or stopped; afterwards it runs again.
    pub(crate) fn with_state<T>(&mut self, state: ServerState, run: impl FnOnce(&Self) -> T) -> T {
        if state == ServerState::Stopped {
            self.stop();
        }
        let result = run(self);
        if state == ServerState::Stopped {
            self.start();
        }
        result
    }

    /// Runs a command.
    pub(crate) fn command(&self, arguments: &[&str]) -> CommandOutput {
        self.command_with_input("", arguments)
    }

    /// Runs a command with this text on standard input.
    pub(crate) fn command_with_input(&self, input: &str, arguments: &[&str]) -> CommandOutput {
        let arguments = [arguments, &["--data", "data"]].concat();
        run(self.directory.path(), &arguments, &self.environment, input)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The URL of a path of the running server.
    pub(crate) fn url(&self, path: &str) -> String {
        self.server.as_ref().unwrap().url(path)
    }

    /// Sends an HTTP request; returns the status and the body's `data`.
    pub(crate) async fn request(&self, method: Method, path: &str, authorization: &str, body: Value) -> (u16, Value) {
        // No connection pool: a pooled connection of a stopped server would fail the next request.
        let client = Client::builder().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
        let request = client.request(method, self.url(path)).header("authorization", authorization);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["data"].take())
    }

    /// Logs in; returns the token if the password is right.
    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Option<String> {
        let body = json!({ "username": name, "password": password });
        let (status, data) = self.request(Method::POST, "/api/auth/login", "", body).await;
        assert!([200, 401].contains(&status), "{status} {data}");
        data["token"].as_str().map(str::to_owned)
    }

    /// Requests the token's own account.
    pub(crate) async fn own_account(&self, token: &str) -> (u16, Value) {
        self.request(Method::GET, "/api/auth/me", &format!("Bearer {token}"), Value::Null).await
    }

    /// Sends a message to the lobby.
    pub(crate) async fn send_message(&self, token: &str, content: &str) -> (u16, Value) {
        let body = json!({ "content": content });
        self.request(Method::POST, "/api/chat/send", &format!("Bearer {token}"), body).await
    }

    /// Connects a classic client and waits for its first envelope.
    pub(crate) async fn connect_classic(&self, token: &str) -> TestSocket {
        let url = self.url(&format!("/api/chat/ws?token={token}")).replacen("http", "ws", 1);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut socket = TestSocket(socket);
        socket.read_until("online_count").await;
        socket
    }
}

/// Connects a v1 client and waits for its welcome.
pub(crate) async fn connect_v1(server: &TestServer, token: &str) -> TestSocket {
    let mut request = server.url("/api/chat/ws").replacen("http", "ws", 1).into_client_request().unwrap();
    let protocols = format!("teahouse.v1, bearer.{token}");
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut socket = TestSocket(socket);
    socket.0.send(Message::text(r#"{"type":"hello","id":"1"}"#)).await.unwrap();
    socket.read_until("welcome").await;
    socket
}

/// An open socket.
pub(crate) struct TestSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl TestSocket {
    /// Reads until an envelope of this type, and returns its text. A v1 frame may contain several envelopes.
    pub(crate) async fn read_until(&mut self, kind: &str) -> String {
        let prefix = format!("{{\"type\":\"{kind}\"");
        loop {
            match self.next().await {
                Message::Text(text) => {
                    if let Some(line) = text.lines().find(|line| line.starts_with(&prefix)) {
                        return line.to_owned();
                    }
                }
                Message::Close(close) => panic!("closed before {kind}: {close:?}"),
                _ => {}
            }
        }
    }

    /// Reads until the close frame, and returns its code and reason.
    pub(crate) async fn read_close(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(close) = self.next().await {
                let close = close.unwrap();
                return (close.code.into(), close.reason.to_string());
            }
        }
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap()
    }
}

/// The permissions of a file or directory.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
