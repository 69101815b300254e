//! The driver where messages always wait.

use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::agent::casefile::admit;
use crate::agent::core::Limits;
use crate::model::link::LinkStatus;

const RULES: &str = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device')
rules:
  - {id: mean, sql: 'SELECT device, avg(v) AS m FROM a GROUP BY device, TUMBLINGWINDOW(hh, 1)', when: m > 3}
";

/// So many that the time that a snapshot of this size keeps from the one before passes several times.
const BATCHES: usize = 60;

/// So many messages.
fn batch(count: usize) -> Vec<Message> {
    let message = |i: usize| Message {
        source: "test".into(),
        topic: format!("a/{}", i % 7).into(),
        payload: br#"{"v": 1}"#.as_slice().into(),
        received: clock::wall(),
        retained: false,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    };
    (0..count).map(message).collect()
}

#[tokio::test]
async fn a_snapshot_that_is_due_is_taken_though_messages_always_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = spool::Config { snapshot_interval: Duration::from_micros(1), ..spool::Config::default() };
    let (spool, loaded) =
        Spool::open_or_stand_in(&dir.path().join("spool.db"), &config, clock::spool_time()).unwrap();
    let clock = Clock::start();
    let (_link, link) = watch::channel(LinkStatus::default());
    let (batches, messages) = mpsc::channel(BATCHES);
    let (asks, commands) = mpsc::channel(1);
    let (drained, has_drained) = oneshot::channel();
    let lines = Lines {
        messages,
        commands,
        acks: Vec::new(),
        filters: Vec::new(),
        newest: watch::channel(0).0,
        disk: watch::channel(false).0,
        drained: Some(drained),
    };
    let core = Core::new("edge".into(), Limits::default());
    let times = (clock, Calendar::new(clock, link));
    let mut driver = Driver::new(core, spool, (&config, Vec::new()), times, "boot".into(), lines);
    driver.recover(vec![admit("set", RULES).unwrap()], loaded).unwrap();
    for _ in 0..BATCHES {
        batches.try_send(batch(ENOUGH)).unwrap();
    }
    // Until nobody sends any more there is always another batch.
    drop(batches);
    let look = async {
        has_drained.await.unwrap();
        let (reply, answer) = oneshot::channel();
        asks.send(Command::Status(status::Detail::Sets, reply)).await.unwrap();
        drop(asks);
        answer.await.unwrap()
    };
    let (ended, status) = tokio::join!(driver.run(), look);
    ended.unwrap();
    assert_eq!(status.messages, (BATCHES * ENOUGH) as u64);
    // One at the end comes in any case.
    assert!(status.figures.snapshots > 1, "{} snapshots", status.figures.snapshots);
}
