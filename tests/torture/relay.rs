//! The wire between an agent and the hub, which can be cut, held up, and mended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// It carries.
    Whole,
    /// Connections stand, and nothing comes through: as where a router in the middle forgot them.
    Still,
    /// Connections end, and none comes about.
    Cut,
}

/// A relay; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    wire: watch::Sender<Wire>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a port of its own for whoever wants to reach `target`.
    pub(crate) fn start(runtime: &Handle, port: u16, target: SocketAddr) -> Self {
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, seen) = watch::channel(Wire::Whole);
        let _in_it = runtime.enter();
        let task = weir::tasks::spawn("relay", accept(listener, target, seen));
        Self { address, wire, task }
    }

    /// Cuts, holds up or mends it.
    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, wire: watch::Receiver<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let Ok((from, _)) = taken else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                if *wire.borrow() != Wire::Cut {
                    connections.spawn(carry(from, target, wire.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(from: TcpStream, target: SocketAddr, wire: watch::Receiver<Wire>) -> io::Result<()> {
    let to = TcpStream::connect(target).await?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    let ((from_reader, from_writer), (to_reader, to_writer)) = (from.into_split(), to.into_split());
    let mut cut = wire.clone();
    tokio::select! {
        done = copy(from_reader, to_writer, wire.clone()) => done,
        done = copy(to_reader, from_writer, wire) => done,
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => Ok(()),
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
) -> io::Result<()> {
    let mut chunk = vec![0; 16 * 1_024];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        if wire.wait_for(|wire| *wire != Wire::Still).await.is_err() {
            return Ok(());
        }
        to.write_all(&chunk[..length]).await?;
    }
}
