//! The connection itself, and the bytes that it carries: what is counted here is what the link really costs, with TLS and
//! HTTP/2, but for the packets' own headers.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic::transport::Uri;

use crate::model::link::LinkStatus;

/// Connects to the hub, below TLS.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    link: watch::Sender<LinkStatus>,
}

impl Connector {
    /// One that counts what it carries in the link's state.
    pub(super) fn new(patience: Duration, link: watch::Sender<LinkStatus>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience));
        Self { tcp, link }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Counted<TcpStream>>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.tcp.call(uri);
        let link = self.link.clone();
        Box::pin(async move { Ok(TokioIo::new(Counted { io: connecting.await?.into_inner(), link })) })
    }
}

/// A connection whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<T> {
    io: T,
    link: watch::Sender<LinkStatus>,
}

impl<T> Counted<T> {
    fn add(&self, sent: usize, received: usize) {
        // Nobody need wake up for it.
        self.link.send_if_modified(|link| {
            link.bytes_sent += sent as u64;
            link.bytes_received += received as u64;
            false
        });
    }

    fn sent(&self, outcome: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.add(bytes, 0);
        }
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.add(0, buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.sent(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.sent(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
