//! MQTT ingest against a real broker, in both versions of the protocol.

use std::time::Duration;

use tokio::sync::mpsc;
use weir::clock::Clock;
use weir::ingest::mqtt::{MqttSource, start};
use weir::ingest::{BrokerConfig, MqttVersion, SourceStatus};
use weir::model::message::{AckToken, Message};
use weir::tasks::{Stop, StopSource};

use crate::support::mosquitto::{Mosquitto, Options};

const BOTH: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V311];
const PATIENCE: Duration = Duration::from_secs(20);

/// A source under test, and what holds it.
struct Subject {
    source: MqttSource,
    messages: mpsc::Receiver<Vec<Message>>,
    stop: StopSource,
    waiting: std::collections::VecDeque<Message>,
}

impl Subject {
    fn start(config: BrokerConfig, filters: &[&str]) -> Self {
        Self::with_room(config, filters, 64)
    }

    fn with_room(config: BrokerConfig, filters: &[&str], batches: usize) -> Self {
        let (stop, heard): (_, Stop) = StopSource::new();
        let (out, messages) = mpsc::channel(batches);
        let filters = filters.iter().map(|f| (*f).to_owned()).collect();
        let source = start(config, (3, false), filters, out, Clock::start(), heard).unwrap();
        Self { source, messages, stop, waiting: std::collections::VecDeque::new() }
    }

    async fn until(&mut self, what: &str, holds: impl FnMut(&SourceStatus) -> bool) -> SourceStatus {
        let found = tokio::time::timeout(PATIENCE, self.source.status.wait_for(holds))
            .await
            .map(|s| s.unwrap().clone());
        found.unwrap_or_else(|_| panic!("{what}: {:?}", self.source.status.borrow()))
    }

    async fn connected(&mut self) -> SourceStatus {
        let status = self.until("connects", |s| s.connected).await;
        // The subscription follows the connection; a message published right away would miss it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        status
    }

    async fn next(&mut self) -> Message {
        if self.waiting.is_empty() {
            let batch = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("no message: {:?}", self.source.status.borrow()));
            let batch = batch.expect("the source ended");
            assert!((1..=1_000).contains(&batch.len()));
            self.waiting.extend(batch);
        }
        self.waiting.pop_front().unwrap()
    }

    async fn nothing_for(&mut self, span: Duration) {
        assert!(self.waiting.is_empty());
        if let Ok(got) = tokio::time::timeout(span, self.messages.recv()).await {
            panic!("unexpected: {got:?}");
        }
    }

    async fn ack(&self, token: AckToken) {
        self.source.acks.send(vec![token]).await.unwrap();
    }

    async fn end(self) {
        self.stop.stop();
        drop(self.messages);
        let thread = self.source.thread;
        let joined = weir::tasks::spawn_blocking(move || thread.join());
        tokio::time::timeout(Duration::from_secs(6), joined).await.expect("ends in time").unwrap().unwrap();
    }
}

fn config(broker: &Mosquitto, version: MqttVersion, id: &str) -> BrokerConfig {
    BrokerConfig { version, client_id: Some(id.to_owned()), ..BrokerConfig::new("site", broker.url()) }
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("in time") });
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

#[test]
fn receives_both_qualities_of_service() {
    let broker = Mosquitto::start();
    run(async {
        for version in BOTH {
            let mut subject =
                Subject::start(config(&broker, version, &format!("both-{version:?}")), &["plant/#"]);
            subject.connected().await;
            broker.publish("plant/1", "{\"t\":1}", &["-q", "0"]);
            let message = subject.next().await;
            assert_eq!((&*message.source, &*message.topic, text(&message)), ("site", "plant/1", "{\"t\":1}"));
            assert!(message.ack.is_none() && !message.retained && !message.dup);
            assert!(message.received.micros() > 0);

            broker.publish("plant/2", "two", &["-q", "1", "-D", "PUBLISH", "user-property", "unit", "C"]);
            let message = subject.next().await;
            assert_eq!((&*message.topic, text(&message)), ("plant/2", "two"));
            let token = message.ack.expect("QoS 1 waits for an acknowledgement");
            assert_eq!((token.source, token.generation, token.session), (3, 1, 1));
            let properties: &[(String, String)] = match version {
                MqttVersion::V5 => &[("unit".to_owned(), "C".to_owned())],
                MqttVersion::V311 => &[],
            };
            assert_eq!(&*message.properties, properties);
            subject.ack(token).await;

            let counters = subject.until("counts", |s| s.counters.messages == 2).await.counters;
            assert_eq!((counters.bytes, counters.dropped, counters.stale_acks), (10, 0, 0));
            subject.end().await;
        }
    });
}

#[test]
fn what_was_not_acknowledged_comes_again_on_the_same_session() {
    run(async {
        for version in BOTH {
            let mut broker = Mosquitto::start();
            let mut subject = Subject::start(config(&broker, version, "again"), &["t/+"]);
            subject.connected().await;
            broker.publish("t/1", "one", &["-q", "1"]);
            broker.publish("t/2", "two", &["-q", "1"]);
            let (one, two) = (subject.next().await, subject.next().await);
            subject.ack(one.ack.unwrap()).await;
            tokio::time::sleep(Duration::from_millis(300)).await;

            broker.stop();
            subject.until("loses the broker", |s| !s.connected && s.error.is_some()).await;
            broker.run();
            let status = subject.connected().await;
            assert_eq!(status.counters.gaps, 0, "{version:?}");
            let again = subject.next().await;
            assert_eq!(text(&again), "two");
            assert!(again.dup);
            let (before, after) = (two.ack.unwrap(), again.ack.unwrap());
            assert_eq!((before.session, before.packet), (after.session, after.packet));
            assert_eq!(before.generation + 1, after.generation);

            subject.ack(before).await;
            let status = subject.until("counts the stale token", |s| s.counters.stale_acks == 1);
            broker.publish("t/3", "three", &["-q", "1"]);
            status.await;
            subject.ack(after).await;
            let three = subject.next().await;
            assert_eq!((text(&three), three.dup), ("three", false));
            subject.nothing_for(Duration::from_millis(300)).await;
            subject.end().await;
        }
    });
}

#[test]
fn a_new_process_takes_up_the_session() {
    let mut broker = Mosquitto::start();
    run(async {
        for version in BOTH {
            let id = format!("resume-{version:?}");
            let mut first = Subject::start(config(&broker, version, &id), &["r/1"]);
            first.connected().await;
            first.end().await;
            broker.publish("r/1", "while away", &["-q", "1"]);

            // The broker is away when the process starts.
            broker.stop();
            let again = config(&broker, version, &id);
            let mut second = Subject::start(again, &["r/1", "r/2"]);
            second.until("fails", |s| s.counters.reconnects >= 1).await;
            broker.run();
            let message = second.next().await;
            assert_eq!(text(&message), "while away");
            let token = message.ack.unwrap();
            assert_eq!((token.generation, token.session), (1, 0));
            second.ack(token).await;
            second.connected().await;
            // A resumed session can still be added to.
            broker.publish("r/2", "added", &["-q", "1"]);
            assert_eq!(text(&second.next().await), "added");
            second.end().await;
        }
    });
}

#[test]
fn what_was_handed_on_can_be_acknowledged_after_the_stop() {
    let broker = Mosquitto::start();
    run(async {
        for version in BOTH {
            let id = format!("last-{version:?}");
            let mut first = Subject::start(config(&broker, version, &id), &["l"]);
            first.connected().await;
            let lines: Vec<String> = (0..50).map(|i| i.to_string()).collect();
            broker.publish_lines("l", &lines, &["-q", "1"]);
            let mut tokens = Vec::new();
            while tokens.len() < 20 {
                tokens.push(first.next().await.ack.unwrap());
            }
            first.stop.stop();
            // The channel closes, which says that nothing more will come.
            while let Some(batch) = first.messages.recv().await {
                first.waiting.extend(batch);
            }
            tokens.extend(first.waiting.drain(..).filter_map(|m| m.ack));
            first.source.acks.send(tokens.clone()).await.unwrap();
            first.end().await;

            let mut second = Subject::start(config(&broker, version, &id), &["l"]);
            for _ in tokens.len()..50 {
                let message = second.next().await;
                second.ack(message.ack.unwrap()).await;
            }
            second.nothing_for(Duration::from_millis(300)).await;
            second.end().await;
        }
    });
}

#[test]
fn a_restart_of_the_broker_loses_nothing() {
    run(async {
        for version in BOTH {
            let mut broker = Mosquitto::start();
            let mut subject = Subject::start(config(&broker, version, "restart"), &["n"]);
            subject.connected().await;
            let lines: Vec<String> = (0..300).map(|i| i.to_string()).collect();
            broker.publish_lines("n", &lines, &["-q", "1"]);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let message = subject.next().await;
                seen.insert(text(&message).parse::<u32>().unwrap());
                subject.ack(message.ack.unwrap()).await;
            }
            broker.stop();
            broker.run();
            while seen.len() < 300 {
                let message = subject.next().await;
                seen.insert(text(&message).parse().unwrap());
                subject.ack(message.ack.unwrap()).await;
            }
            assert!(subject.source.status.borrow().counters.reconnects >= 1);
            subject.end().await;
        }
    });
}

#[test]
fn tls_with_a_private_authority_and_a_client_certificate() {
    let broker = Mosquitto::with(&Options { tls: true, ..Options::default() });
    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    run(async {
        for version in BOTH {
            let full = BrokerConfig {
                url: url.clone(),
                ca_file: Some(broker.file("ca.pem")),
                cert_file: Some(broker.file("client.pem")),
                key_file: Some(broker.file("client.key")),
                ..config(&broker, version, "tls")
            };
            let mut subject = Subject::start(full.clone(), &["x"]);
            subject.connected().await;
            subject.end().await;

            for lacking in [
                BrokerConfig { cert_file: None, key_file: None, ..full.clone() },
                BrokerConfig { ca_file: None, ..full.clone() },
            ] {
                let mut subject = Subject::start(lacking, &["x"]);
                let status = subject.until("is refused", |s| s.error.is_some()).await;
                assert!(!status.connected);
                subject.end().await;
            }
        }
    });
}

#[test]
fn a_wrong_password_shows_in_the_status() {
    let broker = Mosquitto::with(&Options { login: Some(("weir", "right")), ..Options::default() });
    let file = broker.file("password");
    run(async {
        for version in BOTH {
            let login = BrokerConfig {
                username: Some("weir".to_owned()),
                password_file: Some(file.clone()),
                ..config(&broker, version, "login")
            };
            std::fs::write(&file, "wrong\n").unwrap();
            let mut subject = Subject::start(login.clone(), &["x"]);
            let status = subject.until("is refused", |s| s.error.is_some()).await;
            assert!(status.error.unwrap().contains("password_file"));
            subject.end().await;

            std::fs::write(&file, "right\n").unwrap();
            let mut subject = Subject::start(login, &["x"]);
            assert_eq!(subject.connected().await.error, None);
            subject.end().await;
        }
    });
}

#[test]
fn a_refused_subscription_shows_in_the_status() {
    // The broker answers a denied subscription with a refusal to MQTT 5 clients.
    let broker = Mosquitto::with(&Options { acl: Some("topic read open/#\n"), ..Options::default() });
    run(async {
        let mut subject =
            Subject::start(config(&broker, MqttVersion::V5, "acl"), &["open/a", "secret/a", "wrong/#/x"]);
        subject.connected().await;
        let status = subject.until("tells of the refusal", |s| s.error.is_some()).await;
        let error = status.error.unwrap();
        assert!(status.connected && error.contains("`wrong/#/x`"), "{error}");
        subject.source.filters.send(vec!["open/a".to_owned()]).unwrap();
        subject.until("forgets the refusal", |s| s.error.is_none()).await;
        subject.end().await;
    });
}

#[test]
fn large_packets_pass_and_larger_ones_are_got_rid_of() {
    let broker = Mosquitto::start();
    run(async {
        for version in BOTH {
            let small = BrokerConfig { max_packet: 400_000, ..config(&broker, version, "large") };
            let mut subject = Subject::start(small, &["big"]);
            subject.connected().await;
            broker.publish("big", &"x".repeat(300_000), &["-q", "1"]);
            let message = subject.next().await;
            assert_eq!(message.payload.len(), 300_000);
            subject.ack(message.ack.unwrap()).await;

            broker.publish("big", &"y".repeat(600_000), &["-q", "1"]);
            broker.publish("big", "after", &["-q", "1"]);
            let message = subject.next().await;
            assert_eq!(text(&message), "after", "{version:?}");
            subject.ack(message.ack.unwrap()).await;
            subject.connected().await;
            subject.nothing_for(Duration::from_millis(300)).await;
            subject.end().await;
        }
    });
}

#[test]
fn a_slow_consumer_loses_no_message_of_quality_1() {
    let broker = Mosquitto::with(&Options { max_inflight: Some(100), ..Options::default() });
    run(async {
        for version in BOTH {
            let quick = BrokerConfig {
                keep_alive: Duration::from_secs(5),
                ..config(&broker, version, &format!("slow-{version:?}"))
            };
            let mut subject = Subject::with_room(quick, &["flood/#"], 1);
            subject.connected().await;
            let none: Vec<String> = (0..30_000).map(|i| i.to_string()).collect();
            let once: Vec<String> = (0..2_000).map(|i| i.to_string()).collect();
            broker.publish_lines("flood/0", &none, &["-q", "0"]);
            broker.publish_lines("flood/1", &once, &["-q", "1"]);
            // Longer than the broker waits for a sign of life.
            tokio::time::sleep(Duration::from_secs(9)).await;
            let mut seen = std::collections::BTreeSet::new();
            let mut taken = 0_u64;
            while seen.len() < once.len() {
                let message = subject.next().await;
                match message.ack {
                    Some(token) => {
                        seen.insert(text(&message).to_owned());
                        subject.ack(token).await;
                    }
                    None => taken += 1,
                }
            }
            let counters = subject.source.status.borrow().counters;
            assert!(counters.paused > 0, "{counters:?}");
            assert_eq!(counters.reconnects, 0, "{counters:?}");
            assert_eq!(
                taken + counters.dropped,
                counters.messages - once.len() as u64,
                "{version:?} {counters:?}"
            );
            subject.end().await;
        }
    });
}

#[test]
fn no_more_messages_are_unacknowledged_than_the_receive_maximum() {
    let broker = Mosquitto::start();
    run(async {
        let few = BrokerConfig { receive_maximum: 5, ..config(&broker, MqttVersion::V5, "few") };
        let mut subject = Subject::start(few, &["few"]);
        subject.connected().await;
        let lines: Vec<String> = (0..20).map(|i| i.to_string()).collect();
        broker.publish_lines("few", &lines, &["-q", "1"]);
        let mut held = std::collections::VecDeque::new();
        for line in &lines[..5] {
            let message = subject.next().await;
            assert_eq!(text(&message), line);
            held.push_back(message.ack.unwrap());
        }
        subject.nothing_for(Duration::from_millis(500)).await;
        // An acknowledgement makes room; for how many, each broker reckons in its own way.
        for line in &lines[5..] {
            subject.ack(held.pop_front().unwrap()).await;
            let message = subject.next().await;
            assert_eq!((text(&message), message.dup), (line.as_str(), false));
            held.push_back(message.ack.unwrap());
        }
        subject.nothing_for(Duration::from_millis(300)).await;
        subject.end().await;
    });
}

#[test]
fn retained_messages_are_marked() {
    let broker = Mosquitto::start();
    run(async {
        for version in BOTH {
            broker.publish("state/door", "open", &["-q", "1", "-r"]);
            let mut subject =
                Subject::start(config(&broker, version, &format!("ret-{version:?}")), &["state/#"]);
            let kept = subject.next().await;
            assert!(kept.retained);
            subject.ack(kept.ack.unwrap()).await;
            subject.connected().await;
            broker.publish("state/door", "shut", &["-q", "1", "-r"]);
            let live = subject.next().await;
            assert!(!live.retained);
            subject.ack(live.ack.unwrap()).await;
            subject.end().await;
        }
    });
}

#[test]
fn filters_change_while_it_runs() {
    let broker = Mosquitto::start();
    run(async {
        for version in BOTH {
            let mut subject = Subject::start(config(&broker, version, &format!("live-{version:?}")), &[]);
            subject.connected().await;
            broker.publish("a", "unheard", &["-q", "0"]);
            subject.nothing_for(Duration::from_millis(200)).await;

            subject.source.filters.send(vec!["a".to_owned(), "b".to_owned()]).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            broker.publish("a", "first", &["-q", "0"]);
            assert_eq!(text(&subject.next().await), "first");

            subject.source.filters.send(vec!["b".to_owned(), "c".to_owned()]).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            broker.publish("a", "gone", &["-q", "0"]);
            broker.publish("c", "second", &["-q", "0"]);
            assert_eq!(text(&subject.next().await), "second");
            subject.end().await;
        }
    });
}

#[test]
fn a_source_stops_at_once_without_a_broker() {
    run(async {
        for version in BOTH {
            let nobody = BrokerConfig {
                version,
                client_id: Some("x".to_owned()),
                ..BrokerConfig::new("site", "mqtt://127.0.0.1:1")
            };
            let mut subject = Subject::start(nobody, &["x"]);
            subject.until("fails", |s| s.counters.reconnects >= 2).await;
            let begun = Clock::start();
            subject.end().await;
            assert!(begun.uptime() < Duration::from_secs(10));
        }
    });
}
