//! The hub's parts together, with agents over the generated client: what needs a hand on the store's thread.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::*;
use crate::wire::v1::{self, agent_message::Message as Up, hub_message::Message as Down};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_hub_that_lost_a_part_ends_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for lost in [API, DATABASE] {
        let (store, store_thread) = Store::open(&dir.path().join("hub.db")).unwrap();
        let (source, within) = StopSource::new();
        let file = dir.path().join("agent-tokens");
        let core =
            Core::open(store, Clock::start(), within, TokenDigest::of("t"), file, 1 << 20).await.unwrap();
        let core = Arc::new(core);
        let local = "127.0.0.1:0".parse().unwrap();
        let (grpc, http) = (listen(local).await.unwrap().0, listen(local).await.unwrap().0);
        let mut services = servers(&core, None, grpc, http).unwrap();
        if lost == DATABASE {
            let broken = core.store.call(|_| -> Result<(), store::Error> { panic!("a fault of the hub") });
            broken.await.unwrap_err();
        } else {
            services.push((API, tasks::spawn("ends", async { Ok(()) })));
        }
        let (_running, stop) = StopSource::new();
        let manager = Supervisor::of_environment();
        let error = serve(core, store_thread, services, source, stop, &manager).await.unwrap_err();
        assert!(matches!(error, Error::Ended(name) if name == lost), "{error}");
    }
}

#[test]
fn targets_have_names_of_their_own() {
    let targets =
        |names: &[&str]| names.iter().map(|name| Target::new(name, "http://x/")).collect::<Vec<_>>();
    distinct_names(&targets(&["a", "b"])).unwrap();
    let error = distinct_names(&targets(&["a", "b", "a"])).unwrap_err();
    assert!(error.to_string().contains("two targets are named `a`"), "{error}");
}

/// A hub whose store can be stopped.
struct Hub {
    core: Arc<Core>,
    addr: SocketAddr,
    token: String,
    _source: StopSource,
    _dir: tempfile::TempDir,
}

impl Hub {
    async fn start(most_waiting: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _thread) = Store::open(&dir.path().join("hub.db")).unwrap();
        let (source, within) = StopSource::new();
        let file = dir.path().join("agent-tokens");
        let token = tokens::add(&file, "*").unwrap();
        let digest = TokenDigest::of("t");
        let core = Core::open(store, Clock::start(), within, digest, file, most_waiting).await.unwrap();
        let core = Arc::new(core);
        let local = "127.0.0.1:0".parse().unwrap();
        let ((grpc, addr), (http, _)) = (listen(local).await.unwrap(), listen(local).await.unwrap());
        servers(&core, None, grpc, http).unwrap();
        Self { core, addr, token, _source: source, _dir: dir }
    }

    /// Stops the store's thread until the answer is used.
    async fn stop_store(&self) -> SyncSender<()> {
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let (begun, begins) = oneshot::channel();
        let core = Arc::clone(&self.core);
        drop(tasks::spawn("blocks", async move {
            let blocked = core.store.call(move |_| {
                begun.send(()).unwrap();
                Ok(wait.recv().is_ok())
            });
            assert!(blocked.await.unwrap());
        }));
        begins.await.unwrap();
        go
    }

    async fn agent(&self, id: &str, boot: &str) -> Agent {
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", self.addr)).unwrap();
        let mut client = v1::hub_client::HubClient::new(channel.connect().await.unwrap());
        let (up, stream) = mpsc::channel(4);
        let hello = v1::Hello {
            protocol: 2,
            agent: id.to_owned(),
            boot_id: boot.to_owned(),
            epoch: 1,
            ..Default::default()
        };
        let agent = Agent { up, down: None };
        agent.send(Up::Hello(hello)).await;
        let mut request = Request::new(ReceiverStream::new(stream));
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        Agent { down: Some(client.session(request).await.unwrap().into_inner()), ..agent }
    }
}

struct Agent {
    up: mpsc::Sender<v1::AgentMessage>,
    down: Option<Streaming<v1::HubMessage>>,
}

impl Agent {
    async fn send(&self, message: Up) {
        self.up.send(v1::AgentMessage { message: Some(message) }).await.unwrap();
    }

    async fn batch(&self, seq: u64) {
        let transitions = vec![v1::Transition { seq, fingerprint: 1, ..Default::default() }];
        self.send(Up::Batch(v1::Batch { epoch: 1, transitions, complete: seq, ..Default::default() })).await;
    }

    async fn next(&mut self) -> Down {
        let next = self.down.as_mut().unwrap().message();
        tokio::time::timeout(PATIENCE, next).await.unwrap().unwrap().unwrap().message.unwrap()
    }

    async fn welcome(&mut self) -> v1::Welcome {
        match self.next().await {
            Down::Welcome(welcome) => welcome,
            other => panic!("{other:?} came instead of a welcome"),
        }
    }

    async fn ack(&mut self) -> u64 {
        match self.next().await {
            Down::Ack(ack) => ack.committed,
            other => panic!("{other:?} came instead of an ack"),
        }
    }

    async fn retry_after(&mut self) -> String {
        match self.next().await {
            Down::RetryAfter(retry) => {
                assert!(retry.milliseconds > 0);
                retry.why
            }
            other => panic!("{other:?} came instead of a goodbye"),
        }
    }
}

/// Waits until so much waits for the disk.
async fn waits(core: &Core) {
    while core.load.bytes() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_slow_disk_asks_agents_to_come_back_later_and_holds_no_more_than_it_may() {
    let hub = Hub::start(8).await;
    let (mut one, mut two) = (hub.agent("one", "a").await, hub.agent("two", "a").await);
    one.welcome().await;
    two.welcome().await;
    let go = hub.stop_store().await;
    one.batch(1).await;
    waits(&hub.core).await;
    two.batch(1).await;
    assert!(two.retry_after().await.contains("disk"));
    let mut three = hub.agent("three", "a").await;
    assert!(three.retry_after().await.contains("disk"));
    assert_eq!(hub.core.counters.overloaded.load(std::sync::atomic::Ordering::Relaxed), 2);
    go.send(()).unwrap();
    assert_eq!(one.ack().await, 1);
    assert_eq!(hub.core.load.bytes(), 0);
    // Nothing of it was lost: who comes back has it taken.
    let mut two = hub.agent("two", "a").await;
    assert_eq!(two.welcome().await.committed, 0);
    two.batch(1).await;
    assert_eq!(two.ack().await, 1);
}

#[tokio::test]
async fn an_agent_shows_that_it_is_there_while_the_disk_is_slow() {
    let hub = Hub::start(1 << 20).await;
    let mut first = hub.agent("gw", "a").await;
    first.welcome().await;
    let go = hub.stop_store().await;
    first.batch(1).await;
    waits(&hub.core).await;
    first.batch(2).await;
    let mut second = hub.agent("gw", "b").await;
    assert!(matches!(first.next().await, Down::Probe(_)));
    first.send(Up::Alive(v1::Alive {})).await;
    // All of this while nothing can be stored.
    assert!(matches!(second.next().await, Down::Notice(notice) if notice.code == "clone"));
    assert!(second.retry_after().await.contains("two agents have the id gw"));
    assert!(matches!(first.next().await, Down::Notice(notice) if notice.code == "clone"));
    go.send(()).unwrap();
    assert_eq!((first.ack().await, first.ack().await), (1, 2));
}
