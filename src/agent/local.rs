//! What the agent answers on its own machine: its whole status, its rules, or where its time goes, on a
//! socket in the state directory, and `/metrics` and `/healthz` on an optional port.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::model::label::Fingerprint;
use crate::tasks::{self, Stop};

use super::Watcher;
use super::metrics::exposition;

/// A client that takes longer than this for one answer is let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that has not asked anything by then is answered with the status.
const SILENCE: Duration = Duration::from_millis(500);

/// Bytes of the longest question: one that gives a reason.
const LONGEST_QUESTION: usize = 1_024;

/// The most transitions that one answer holds.
const MOST_HISTORY: usize = 10_000;

/// The rest after a connection that could not be taken, as when descriptors have run out.
const REST: Duration = Duration::from_millis(200);

/// Binds the status socket; a socket that a dead agent left behind is replaced.
pub(super) fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Binds the socket as soon as that is possible, and serves it then.
pub(super) async fn serve_socket_later(path: PathBuf, watcher: Arc<Watcher>, stop: Stop) {
    let listener = loop {
        tokio::select! {
            () = sleep(PATIENCE) => {}
            () = stop.stopped() => return,
        }
        if let Ok(listener) = bind_socket(&path) {
            break listener;
        }
    };
    serve_socket(listener, watcher, stop).await;
}

/// Answers each connection with JSON: `rules` with the sets that run, `profile` with the time spent, `alerts` with
/// those that stand, `history N` with the newest N transitions, `outbox AFTER N` with what waits for the hub, `resolve FINGERPRINT REASON` with whether there
/// was such an alert to end; all else, nothing too, with the status.
pub(super) async fn serve_socket(listener: UnixListener, watcher: Arc<Watcher>, stop: Stop) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.stopped() => return,
        };
        let Ok((mut stream, _)) = accepted else {
            sleep(REST).await;
            continue;
        };
        let watcher = watcher.clone();
        let answer = async move {
            // Serialising plain figures and texts cannot fail, and a reader that went away is its
            // own affair.
            let asked = question(&mut stream).await;
            let asked = String::from_utf8_lossy(&asked);
            let mut words = asked.splitn(3, ' ');
            let (verb, first, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
            let json = match verb {
                Some("profile") => watcher.profile().await.map(|profile| serde_json::to_vec(&profile)),
                Some("rules") => watcher.rules().await.map(|rules| serde_json::to_vec(&rules)),
                Some("alerts") => watcher.alerts().await.map(|alerts| serde_json::to_vec(&alerts)),
                Some("history") => {
                    let most = first.parse().unwrap_or(0).min(MOST_HISTORY);
                    watcher.history(most).await.map(|told| serde_json::to_vec(&told))
                }
                Some("outbox") => {
                    let (after, count) = (first.parse().unwrap_or(0), rest.trim().parse().unwrap_or(0));
                    watcher.waiting(after, count).await.map(|page| serde_json::to_vec(&page))
                }
                Some("resolve") => match Fingerprint::parse(first) {
                    Some(alert) => watcher.resolve(alert, rest).await.map(|done| serde_json::to_vec(&done)),
                    None => Some(serde_json::to_vec(&false)),
                },
                _ => watcher.status().await.map(|status| serde_json::to_vec(&status)),
            };
            let Some(json) = json.map(Result::unwrap_or_default) else { return };
            let write = async {
                stream.write_all(&json).await?;
                stream.shutdown().await
            };
            drop(timeout(PATIENCE, write).await);
        };
        // Bounded by the timeout.
        drop(tasks::spawn("status-answer", answer));
    }
}

/// What a connection asks: its first line. Who says nothing for a while wants the status.
async fn question(stream: &mut UnixStream) -> Vec<u8> {
    let mut line = Vec::new();
    let read = async {
        let mut byte = [0];
        while line.len() < LONGEST_QUESTION && matches!(stream.read(&mut byte).await, Ok(1)) {
            if byte == *b"\n" {
                break;
            }
            line.push(byte[0]);
        }
    };
    drop(timeout(SILENCE, read).await);
    line
}

/// Serves `/metrics` and `/healthz`.
pub(super) async fn serve_http(listener: TcpListener, watcher: Arc<Watcher>, stop: Stop) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.stopped() => return,
        };
        let Ok((stream, _)) = accepted else {
            sleep(REST).await;
            continue;
        };
        let watcher = watcher.clone();
        let stop = stop.clone();
        let serve = async move {
            let answer = service_fn(|request| answer(request, &watcher));
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            tokio::select! {
                served = server.serve_connection(TokioIo::new(stream), answer) => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "serve a local request");
                    }
                }
                () = stop.stopped() => {}
            }
        };
        // Bounded by the timeouts above, and ended by the stop.
        drop(tasks::spawn("local-http", serve));
    }
}

async fn answer(request: Request<Incoming>, watcher: &Watcher) -> Result<Response<String>, Infallible> {
    let (status, text) = match (request.uri().path(), watcher.status().await) {
        (_, None) => (StatusCode::SERVICE_UNAVAILABLE, "the agent stops\n".to_owned()),
        ("/healthz", Some(_)) => (StatusCode::OK, "ok\n".to_owned()),
        ("/metrics", Some(status)) => (StatusCode::OK, exposition(&status.metrics())),
        _ => (StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Binds the optional port.
pub(super) async fn bind_http(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
