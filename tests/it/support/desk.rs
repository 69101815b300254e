//! A person at the API.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::Value as Json;

use super::within;

pub(crate) struct Desk {
    client: Client,
    base: String,
    token: String,
}

impl Desk {
    pub(crate) fn new(base: &str, token: &str) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().build().unwrap();
        Self { client, base: base.to_owned(), token: token.to_owned() }
    }

    /// A person who trusts the authorities in a PEM file.
    pub(crate) fn trusting(base: &str, pem: &[u8], token: &str) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let authority = reqwest::Certificate::from_pem(pem).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
        Self { client, base: base.to_owned(), token: token.trim().to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Json {
        let (status, body) = self.send(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn list(&self, path: &str) -> Vec<Json> {
        self.get(path).await.as_array().unwrap().clone()
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> (u16, Json) {
        self.send(Method::PUT, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) {
        let (status, body) = self.send(Method::DELETE, path, "").await;
        assert_eq!(status, 200, "{body}");
    }

    /// Asks until the answer holds what is waited for.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&Json) -> bool) -> Json {
        within(path, async {
            loop {
                let body = self.get(path).await;
                if holds(&body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// A path outside the API.
    pub(crate) async fn text(&self, path: &str) -> String {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        response.text().await.unwrap()
    }

    pub(crate) async fn follow(&self, last: Option<&str>) -> Events {
        let mut request = self.client.get(format!("{}/api/v1/events", self.base)).bearer_auth(&self.token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = within("the event stream", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        Events { response, buffer: String::new() }
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> (u16, Json) {
        let request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.base))
            .bearer_auth(&self.token)
            .body(body.to_owned());
        let response = within(path, request.send()).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

pub(crate) struct Events {
    response: Response,
    buffer: String,
}

pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: Json,
}

impl Events {
    /// The next event of a kind; others are passed over.
    pub(crate) async fn next(&mut self, kind: &str) -> Event {
        loop {
            while let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                if field("event").as_deref() == Some(kind) {
                    let data = serde_json::from_str(&field("data").unwrap()).unwrap();
                    return Event { id: field("id"), data };
                }
            }
            let chunk = within("an event", self.response.chunk()).await.unwrap().expect("the stream goes on");
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
