//! The ceilings, each a process of its own that subscribes, counts and acknowledges.
//!
//! `client` is the MQTT library with the agent's settings and nothing else. `ingest` is the agent's own
//! source, with nothing behind it: what it is better at than `client` is due to how it reads.
//! Both write the name and the count for every message on `bench/<name>`, and end when their
//! standard input does.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rumqttc::mqttbytes::QoS;
use rumqttc::{AckMode, AsyncClient, Broker, Event, MqttOptions, NetworkOptions, Packet, SubscribeFilter};
use tokio::sync::mpsc;
use weir::clock::Clock;
use weir::ingest::BrokerConfig;
use weir::ingest::mqtt;
use weir::tasks::{self, StopSource};

/// The argument that makes this program a ceiling.
pub(crate) const FLAG: &str = "--bare";
/// What the agent subscribes too, with the rules of the benchmark.
const FILTERS: [&str; 2] = ["site/+/env/+", "bench/+"];

/// Which ceiling, and where the broker listens.
pub(crate) struct Request {
    kind: String,
    port: u16,
}

impl Request {
    pub(crate) fn of(args: &[String]) -> Option<Self> {
        match args {
            [flag, kind, port] if flag == FLAG => {
                Some(Self { kind: kind.clone(), port: port.parse().unwrap() })
            }
            _ => None,
        }
    }
}

pub(crate) fn main(request: &Request) -> ExitCode {
    let (stop, stopped) = StopSource::new();
    tasks::thread("stdin", move || {
        // Nothing is ever written there; its end is the sign.
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        stop.stop();
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let counting = async {
            match request.kind.as_str() {
                "client" => client(request.port).await,
                _ => ingest(request.port).await,
            }
        };
        tokio::select! {
            () = stopped.stopped() => {}
            () = counting => {}
        }
    });
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Count {
    messages: u64,
}

impl Count {
    fn note(&mut self, topic: &[u8]) {
        match topic.strip_prefix(b"bench/") {
            None => self.messages += 1,
            Some(name) => {
                let line = format!("{} {}\n", String::from_utf8_lossy(name), self.messages);
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
            }
        }
    }
}

async fn client(port: u16) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new("bare", Broker::tcp("127.0.0.1", port));
    options
        .set_clean_start(true)
        .set_keep_alive(30)
        .set_max_packet_size(Some(1_024 * 1_024))
        .set_receive_maximum(Some(100))
        .set_ack_mode(AckMode::Manual)
        .set_outgoing_inflight_upper_limit(100)
        .set_max_request_batch(128)
        .set_read_batch_size(128)
        .set_network_options(network);
    let (client, mut events) = AsyncClient::builder(options).capacity(256).try_build().unwrap();
    let filters = FILTERS.map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).unwrap();
    let mut count = Count::default();
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
            count.note(&publish.topic);
            if publish.qos != QoS::AtMostOnce {
                client.try_ack(&publish).unwrap();
            }
        }
    }
}

async fn ingest(port: u16) {
    let mut config = BrokerConfig::new("bench", format!("mqtt://127.0.0.1:{port}"));
    config.client_id = Some("bare".to_owned());
    let (out, mut batches) = mpsc::channel(4);
    let (_stop, stopped) = StopSource::new();
    let filters = FILTERS.map(str::to_owned).to_vec();
    let source = mqtt::start(config, (0, false), filters, out, Clock::start(), stopped).unwrap();
    let mut count = Count::default();
    while let Some(batch) = batches.recv().await {
        for message in &batch {
            count.note(message.topic.as_bytes());
        }
        let acks: Vec<_> = batch.iter().filter_map(|message| message.ack).collect();
        if !acks.is_empty() {
            source.acks.send(acks).await.unwrap();
        }
    }
}
