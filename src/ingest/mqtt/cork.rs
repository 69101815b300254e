//! A socket that collects what is written until the next read.
//!
//! The MQTT library flushes after every acknowledgement, which would be a system call and a packet
//! each. It always reads when it has nothing more to write, so holding writes back until then
//! delays none of them, and a batch of acknowledgements leaves in one piece.
//!
//! Acknowledgements need not even pass through the library, which takes longer over one of them than over the
//! message it is for: they are four bytes, and may stand between any two packets. That is for plain
//! sockets; under TLS what is written here is no packet.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// From here on what is held back is written at once.
const HELD: usize = 16 * 1024;

/// Acknowledgements that leave with the next read of whatever connection stands then.
#[derive(Clone, Debug, Default)]
pub(super) struct Acks(Arc<Mutex<Vec<u8>>>);

impl Acks {
    /// Acknowledges a packet of QoS 1, in either version of the protocol.
    pub(super) fn push(&self, packet: u16) {
        let [high, low] = packet.to_be_bytes();
        self.with(|acks| acks.extend([0x40, 2, high, low]));
    }

    /// Forgets those of a connection that is gone.
    pub(super) fn clear(&self) {
        self.with(Vec::clear);
    }

    fn append_to(&self, held: &mut Vec<u8>) {
        self.with(|acks| held.append(acks));
    }

    /// One thread has both ends, so nobody ever waits here.
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) struct Cork {
    stream: TcpStream,
    acks: Acks,
    held: Vec<u8>,
    /// How much of `held` is written.
    written: usize,
}

impl Cork {
    /// A socket whose side takes `acks` along: packets, so it must be a plain one, or none are given.
    pub(super) fn new(stream: TcpStream, acks: Acks) -> Self {
        Self { stream, acks, held: Vec::new(), written: 0 }
    }

    /// Writes what is held back.
    fn release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is held ends with a whole packet: the library hands over whole ones, and all is taken.
        self.acks.append_to(&mut self.held);
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Cork {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A socket that takes no more must not keep us from reading: the other side may be waiting
        // for that.
        if let Poll::Ready(Err(error)) = this.release(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Cork {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.len() >= HELD {
            ready!(this.release(cx))?;
        }
        this.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.release(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// The last packet is a goodbye, and no read follows it.
impl Drop for Cork {
    fn drop(&mut self) {
        self.acks.append_to(&mut self.held);
        if let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            // Best effort: a broker that hears no goodbye notices the closed connection.
            drop(self.stream.try_write(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Cork, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Cork::new(near, Acks::default()), listener.accept().await.unwrap().0)
    }

    fn run<F: Future<Output = ()>>(test: F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), test).await.expect("in time") });
    }

    #[test]
    fn writes_leave_with_the_next_read() {
        run(async {
            let (mut near, mut far) = pair().await;
            near.write_all(b"one").await.unwrap();
            near.flush().await.unwrap();
            near.write_all(b"two").await.unwrap();
            let mut got = [0; 8];
            assert!(tokio::time::timeout(Duration::from_millis(50), far.read(&mut got)).await.is_err());
            far.write_all(b"x").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'x');
            assert_eq!(far.read(&mut got).await.unwrap(), 6);
        });
    }

    #[test]
    fn acknowledgements_stand_between_packets_and_need_no_write() {
        run(async {
            let (mut near, mut far) = pair().await;
            let acks = near.acks.clone();
            acks.push(1);
            acks.clear();
            near.write_all(b"packet").await.unwrap();
            acks.push(0x0102);
            far.write_all(b"x").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'x');
            acks.push(3);
            drop(near);
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"packet\x40\x02\x01\x02\x40\x02\x00\x03");
        });
    }

    #[test]
    fn the_last_word_is_heard_and_much_does_not_wait() {
        run(async {
            let (mut near, mut far) = pair().await;
            let much = vec![7; HELD + 100];
            near.write_all(&much).await.unwrap();
            near.write_all(b"end").await.unwrap();
            drop(near);
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), much.len() + 3);
        });
    }
}
