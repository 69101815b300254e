//! A relay between two programs on loopback that counts the bytes of each way, as they go over the socket.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use weir::tasks;

/// Bytes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// From who dialled to who was dialled.
    pub(crate) up: u64,
    /// The other way.
    pub(crate) down: u64,
}

impl Carried {
    /// What came since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { up: self.up - earlier.up, down: self.down - earlier.down }
    }
}

/// A relay; dropped, it cuts what goes through it.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    up: AtomicU64,
    down: AtomicU64,
    over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Listens on a port of its own, and passes on to `target` whoever dials there.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        tasks::thread("relay", move || {
            for dialled in listener.incoming().map_while(Result::ok) {
                if ours.over.load(Ordering::Relaxed) {
                    return;
                }
                // Nobody there: who dialled is hung up on, as without a relay.
                if let Ok(target) = TcpStream::connect(target) {
                    ours.carry(&dialled, &target);
                }
            }
        })
        .unwrap();
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has gone through it.
    pub(crate) fn carried(&self) -> Carried {
        let count = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        Carried { up: count(&self.shared.up), down: count(&self.shared.down) }
    }
}

impl Shared {
    fn carry(self: &Arc<Self>, dialled: &TcpStream, target: &TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        for (from, to, is_up) in [(dialled, target, true), (target, dialled, false)] {
            from.set_nodelay(true).unwrap();
            self.open.lock().unwrap().push(clone(from));
            let (mut from, mut to, ours) = (clone(from), clone(to), self.clone());
            tasks::thread("relay", move || {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(count) = from.read(&mut bytes) {
                    let way = if is_up { &ours.up } else { &ours.down };
                    way.fetch_add(count as u64, Ordering::Relaxed);
                    if count == 0 || to.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                // Who is cut on one side hears nothing more on the other.
                to.shutdown(Shutdown::Both).ok();
            })
            .unwrap();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        // The thread that listens wakes, and sees that it is over.
        TcpStream::connect(self.address).ok();
    }
}
