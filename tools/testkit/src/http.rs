//! An HTTP client of one server. It opens a connection for each request: a connection that was kept would fail the
//! first request after a restart of the server.

use std::net::{IpAddr, SocketAddr};

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// An HTTP client. It has no time limit of its own.
#[derive(Clone, Debug)]
pub struct HttpClient {
    address: SocketAddr,
    client: reqwest::Client,
}

impl HttpClient {
    /// A client of the server at this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self::from_source(None, address)
    }

    /// The same, with connections from a source address.
    #[must_use]
    pub fn from_source(source: Option<IpAddr>, address: SocketAddr) -> Self {
        let client =
            reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().local_address(source).build().unwrap();
        Self { address, client }
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request; an empty token is not sent, a body is JSON.
    ///
    /// # Errors
    /// There was no complete response.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Response { status, headers, text: response.text().await? })
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Response {
    /// The body as JSON.
    #[must_use]
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The `data` of the body.
    #[must_use]
    pub fn data(&self) -> Value {
        self.body()["data"].take()
    }

    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts the envelope of an error with this status and this error code; returns the body.
    #[track_caller]
    pub fn expect_error(self, status: u16, error_code: &str) -> Value {
        let body = self.expect(status).body();
        assert_eq!((&body["code"], &body["error_code"]), (&json!(status), &json!(error_code)), "{body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
        assert!(body.as_object().unwrap().contains_key("data"), "{body}");
        body
    }
}
