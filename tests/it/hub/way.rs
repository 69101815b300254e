//! A way to the hub on which bytes are counted, and which can fall silent without an end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weir::tasks;

/// For one connection.
pub(super) struct Way {
    pub(super) addr: SocketAddr,
    /// Whether nothing passes any more.
    pub(super) silence: watch::Sender<bool>,
    from_hub: Arc<AtomicUsize>,
}

impl Way {
    pub(super) async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (silence, silent) = watch::channel(false);
        let from_hub = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&from_hub);
        drop(tasks::spawn("way", async move {
            let (agent, _) = listener.accept().await.unwrap();
            let hub = TcpStream::connect(hub).await.unwrap();
            let ((from_agent, to_agent), (from_hub, to_hub)) = (agent.into_split(), hub.into_split());
            let uncounted = AtomicUsize::new(0);
            tokio::join!(
                pass(from_agent, to_hub, &silent, &uncounted),
                pass(from_hub, to_agent, &silent, &counted),
            );
        }));
        Self { addr, silence, from_hub }
    }

    /// How many bytes came from the hub.
    pub(super) fn bytes_from_hub(&self) -> usize {
        self.from_hub.load(Ordering::Relaxed)
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    silent: &watch::Receiver<bool>,
    counted: &AtomicUsize,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        counted.fetch_add(count, Ordering::Relaxed);
        if !*silent.borrow() && to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}
