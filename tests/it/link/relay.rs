//! A wire that can be cut, or fall silent, at any place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weir::tasks;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// Between agent and hub.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    hub: SocketAddr,
    /// Bytes carried each way.
    bytes: [AtomicU64; 2],
    /// The piece of a way at which the connection is cut, once.
    cut: (Way, u64),
    pieces: AtomicU64,
    was_cut: AtomicBool,
    /// Whether it carries nothing any more, and closes nothing either.
    silent: AtomicBool,
}

impl Relay {
    /// One to a hub that cuts the connection at the n-th piece that goes a way; 0 for never.
    pub(crate) async fn start(hub: SocketAddr, way: Way, n: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            hub,
            bytes: Default::default(),
            cut: (way, n),
            pieces: AtomicU64::new(0),
            was_cut: AtomicBool::new(false),
            silent: AtomicBool::new(false),
        });
        drop(tasks::spawn("relay", listen(listener, Arc::clone(&state))));
        Self { address, state }
    }

    pub(crate) fn bytes(&self, way: Way) -> u64 {
        self.state.bytes[way as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.state.was_cut.load(Ordering::Relaxed)
    }

    /// From here on nothing goes through, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.state.silent.store(true, Ordering::Relaxed);
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((agent, _)) = listener.accept().await {
        agent.set_nodelay(true).unwrap();
        let Ok(hub) = TcpStream::connect(state.hub).await else { continue };
        hub.set_nodelay(true).unwrap();
        let (from_agent, to_agent) = agent.into_split();
        let (from_hub, to_hub) = hub.into_split();
        let (cut, seen) = watch::channel(false);
        let cut = Arc::new(cut);
        for (way, from, to) in [(Way::Up, from_agent, to_hub), (Way::Down, from_hub, to_agent)] {
            let carrying = carry(way, from, to, Arc::clone(&state), Arc::clone(&cut), seen.clone());
            drop(tasks::spawn("relay", carrying));
        }
    }
}

async fn carry(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: Arc<State>,
    cut: Arc<watch::Sender<bool>>,
    mut seen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = seen.wait_for(|cut| *cut) => return,
        };
        if state.silent.load(Ordering::Relaxed) {
            if count == 0 {
                std::future::pending::<()>().await;
            }
            continue;
        }
        if count == 0 {
            cut.send_replace(true);
            return;
        }
        if way == state.cut.0 && state.pieces.fetch_add(1, Ordering::Relaxed) + 1 == state.cut.1 {
            state.was_cut.store(true, Ordering::Relaxed);
            // Half of it arrives.
            drop(to.write_all(&buffer[..count / 2]).await);
            cut.send_replace(true);
            return;
        }
        state.bytes[way as usize].fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).await.is_err() {
            cut.send_replace(true);
            return;
        }
    }
}
