//! What the service manager hears (`sd_notify`): that the program is ready, that it stops, and that it lives, as long as
//! everything that must go on answers. A part that is stuck is not fed for, so that the manager starts the program anew.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::tasks::Stop;

/// Where the manager listens; nowhere where nobody asked to be told.
#[derive(Debug)]
pub(crate) struct Supervisor {
    line: Option<(UnixDatagram, SocketAddr)>,
    /// The longest silence that the manager takes for life.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(crate) fn of_environment() -> Self {
        let watchdog = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
        let own = std::process::id().to_string();
        let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == own);
        let watchdog = watchdog.filter(|micros| ours && *micros > 0).map(Duration::from_micros);
        let line = env::var_os("NOTIFY_SOCKET").and_then(|name| match open(&name) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::warn!(%error, socket = %name.display(), "the service manager cannot be told anything");
                None
            }
        });
        Self { line, watchdog }
    }

    /// Tells the manager something. One that does not listen misses it.
    pub(crate) fn tell(&self, what: &str) {
        if let Some((socket, manager)) = &self.line
            && let Err(error) = socket.send_to_addr(what.as_bytes(), manager)
        {
            tracing::debug!(%error, what, "tell the service manager");
        }
    }

    /// Feeds the manager's watchdog for as long as `lives` says so in time.
    pub(crate) async fn feed<F: Future<Output = bool>>(&self, lives: impl Fn() -> F, stop: Stop) {
        let Some(patience) = self.watchdog.filter(|_| self.line.is_some()) else { return };
        // Half of it is what the manager advises; a third leaves room for an answer that takes a while.
        let pace = patience / 3;
        let mut doubted = false;
        loop {
            let alive = timeout(pace, lives()).await.unwrap_or(false);
            if alive {
                self.tell("WATCHDOG=1");
            } else if !doubted {
                tracing::error!(
                    "a part of the program does not answer; the service manager's watchdog is not fed"
                );
            }
            doubted = !alive;
            tokio::select! {
                () = sleep(pace) => {}
                () = stop.stopped() => return,
            }
        }
    }
}

/// A socket to send from, and the address of the manager's. A name that begins with `@` is one without a file.
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the agent up.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::StopSource;

    #[test]
    fn a_manager_hears_of_it_under_either_kind_of_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("weir-test-{:032x}", fastrand::u128(..));
        let by_file = UnixDatagram::bind(&path).unwrap();
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
        let names = [path.into_os_string(), format!("@{abstract_name}").into()];
        for (manager, name) in [by_file, by_name].into_iter().zip(names) {
            Supervisor { line: Some(open(&name).unwrap()), watchdog: None }.tell("READY=1");
            let mut heard = [0; 64];
            let count = manager.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"READY=1");
        }
    }

    #[tokio::test]
    async fn it_is_fed_only_while_everything_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let line = Some(open(path.as_os_str()).unwrap());
        let supervisor = Supervisor { line, watchdog: Some(Duration::from_millis(60)) };
        let (_stops, stop) = StopSource::new();
        let asked = std::cell::Cell::new(0);
        // It answers twice, and is stuck then.
        let lives = || {
            asked.set(asked.get() + 1);
            let stuck = asked.get() > 2;
            async move {
                if stuck {
                    std::future::pending::<()>().await;
                }
                true
            }
        };
        timeout(Duration::from_millis(600), supervisor.feed(lives, stop)).await.unwrap_err();
        assert!(asked.get() > 5, "it is asked again and again: {}", asked.get());
        let fed = std::iter::from_fn(|| manager.recv(&mut [0; 64]).ok()).count();
        assert_eq!(fed, 2);
    }
}
