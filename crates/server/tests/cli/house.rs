//! A directory with data in it, a server that runs on it or not, and the commands of the binary.

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

pub use teahouse_testkit::PATIENCE;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    /// What it should have been, and what it should have said.
    #[track_caller]
    pub fn expect(self, status: i32, said: &str) -> Self {
        let heard = self.out.contains(said) || self.err.contains(said);
        assert!(self.status == Some(status) && heard, "{status} and {said:?}, but: {self:?}");
        self
    }
}

/// Runs the binary with only these variables of ours, and this on its standard input.
pub fn run(directory: &Path, arguments: &[&str], environment: &[(&str, &str)], typed: &str) -> Run {
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
    // One that needs no input may have ended without reading it.
    let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The directory, whose data is in `data`.
pub struct House {
    pub directory: tempfile::TempDir,
    environment: Vec<(&'static str, &'static str)>,
    server: Option<teahouse_testkit::Server>,
}

/// Whether a server runs while a command is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum With {
    Server,
    NoServer,
}

impl House {
    /// One that a server has been in, and that one is in now.
    pub fn open(environment: &[(&'static str, &'static str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut house = Self { directory, environment: environment.to_vec(), server: None };
        house.start();
        house
    }

    /// Starts the server.
    pub fn start(&mut self) {
        self.start_on("data");
    }

    /// Starts it on another directory.
    pub fn start_on(&mut self, data: &str) {
        assert!(self.server.is_none(), "it runs already");
        let binary = env!("CARGO_BIN_EXE_teahouse");
        self.server = Some(teahouse_testkit::Server::start_on(binary, &self.environment, &self.path(data)));
    }

    /// Stops it quietly.
    pub fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        server.terminate();
        assert!(server.wait_for_exit_blocking(PATIENCE).success());
    }

    /// Does this with a server or without, and has one again in the end.
    pub fn do_with<T>(&mut self, with: With, what: impl FnOnce(&Self) -> T) -> T {
        if with == With::NoServer {
            self.stop();
        }
        let done = what(self);
        if with == With::NoServer {
            self.start();
        }
        done
    }

    /// A command.
    pub fn command(&self, arguments: &[&str]) -> Run {
        self.typing("", arguments)
    }

    /// A command with this on its standard input.
    pub fn typing(&self, typed: &str, arguments: &[&str]) -> Run {
        let arguments = [arguments, &["--data", "data"]].concat();
        run(self.directory.path(), &arguments, &self.environment, typed)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path of the running server.
    pub fn url(&self, path: &str) -> String {
        self.server.as_ref().unwrap().url(path)
    }

    /// Asks over HTTP: the status and the body's `data`.
    pub async fn ask(&self, method: Method, path: &str, authorization: &str, body: Value) -> (u16, Value) {
        // A connection is used once: one that a server left behind as it went would fail the next request.
        let client = Client::builder().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
        let request = client.request(method, self.url(path)).header("authorization", authorization);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["data"].take())
    }

    /// Logs in; the token, when it is the right password.
    pub async fn log_in(&self, name: &str, password: &str) -> Option<String> {
        let body = json!({ "username": name, "password": password });
        let (status, data) = self.ask(Method::POST, "/api/auth/login", "", body).await;
        assert!([200, 401].contains(&status), "{status} {data}");
        data["token"].as_str().map(str::to_owned)
    }

    /// The status with which one's own account is answered.
    pub async fn me(&self, token: &str) -> (u16, Value) {
        self.ask(Method::GET, "/api/auth/me", &format!("Bearer {token}"), Value::Null).await
    }

    /// Says something in the lobby; the status and what came back.
    pub async fn say(&self, token: &str, content: &str) -> (u16, Value) {
        let body = json!({ "content": content });
        self.ask(Method::POST, "/api/chat/send", &format!("Bearer {token}"), body).await
    }

    /// A page of a classic front end, after the first thing that it hears.
    pub async fn tab(&self, token: &str) -> Tab {
        let url = self.url(&format!("/api/chat/ws?token={token}")).replacen("http", "ws", 1);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut tab = Tab(socket);
        tab.until("online_count").await;
        tab
    }
}

/// A device that speaks v1 and was welcomed.
pub async fn device(house: &House, token: &str) -> Tab {
    let mut request = house.url("/api/chat/ws").replacen("http", "ws", 1).into_client_request().unwrap();
    let protocols = format!("teahouse.v1, bearer.{token}");
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut tab = Tab(socket);
    tab.0.send(Message::text(r#"{"type":"hello","id":"1"}"#)).await.unwrap();
    tab.until("welcome").await;
    tab
}

/// An open socket.
pub struct Tab(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Tab {
    /// Reads on to an envelope of this type: its text. A frame of v1 may hold several.
    pub async fn until(&mut self, kind: &str) -> String {
        let begins = format!("{{\"type\":\"{kind}\"");
        loop {
            match self.next().await {
                Message::Text(text) => {
                    if let Some(line) = text.lines().find(|line| line.starts_with(&begins)) {
                        return line.to_owned();
                    }
                }
                Message::Close(close) => panic!("closed before {kind}: {close:?}"),
                _ => {}
            }
        }
    }

    /// Reads on to the close frame: its code and reason.
    pub async fn until_closed(&mut self) -> (u16, String) {
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

/// Who may do what with a file or directory.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
