//! The sensors' side of the broker: an MQTT client that publishes what the plant measures, each
//! device once a second, one after the other.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rumqttc::{AsyncClient, Broker, Event, EventLoop, MqttOptions, Packet, PublishOptions};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::plant::{DEVICES, Plant};
use crate::clock::Clock;
use crate::tasks::{self, Stop};

/// How long the broker may take to let the sensors in.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a lost connection rests before the next try.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);

/// The sensors, connected and silent.
pub(super) struct Sensors {
    client: AsyncClient,
    events: EventLoop,
}

/// Host and port of `mqtt://host:port`.
pub(super) fn endpoint(url: &str) -> Result<(String, u16)> {
    let form = "write it as in `mqtt://127.0.0.1:1883`";
    let Some(rest) = url.strip_prefix("mqtt://") else {
        bail!("`{url}` is no broker that the demo can use; {form}");
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().with_context(|| format!("`{port}` is no port; {form}"))?)
        }
        _ => (rest, 1_883),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(['/', '@']) {
        bail!("`{url}` is no broker that the demo can use; {form}");
    }
    Ok((host.to_owned(), port))
}

impl Sensors {
    /// Connects to the broker.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let (host, port) = endpoint(url)?;
        let id = format!("weir-demo-sensors-{:08x}", fastrand::u32(..));
        let mut options = MqttOptions::new(id, Broker::tcp(host, port));
        options.set_keep_alive(30).set_clean_start(true);
        let (client, events) = AsyncClient::builder(options).capacity(64).try_build()?;
        let mut sensors = Self { client, events };
        let connected = timeout(PATIENCE, sensors.connected()).await;
        connected.unwrap_or_else(|_| bail!("it does not answer")).with_context(|| {
            format!("connect the sensors to the broker {url}; does it run, and does it let anyone in?")
        })?;
        Ok(sensors)
    }

    async fn connected(&mut self) -> Result<()> {
        loop {
            // The error tells its cause itself.
            let event = self.events.poll().await.map_err(|error| anyhow!("{error}"))?;
            if let Event::Incoming(Packet::ConnAck(_)) = event {
                return Ok(());
            }
        }
    }

    /// Publishes until the stop.
    pub(super) fn publish(self, plant: Plant, clock: Clock, stop: Stop) -> JoinHandle<()> {
        tasks::spawn("sensors", async move {
            let Self { client, events } = self;
            let network = tasks::spawn("sensors-network", carry(events, stop.clone()));
            measure(&client, plant, clock, &stop).await;
            drop(client.try_disconnect());
            drop(timeout(GOODBYE, network).await);
        })
    }
}

/// Moves packets, and comes back after a lost connection.
async fn carry(mut events: EventLoop, stop: Stop) {
    while let Some(lost) = until_lost(&mut events).await {
        if stop.is_stopped() {
            return;
        }
        tracing::warn!(error = %lost, "the sensors lost the broker; they try again");
        tokio::select! {
            () = sleep(AGAIN_AFTER) => {}
            () = stop.stopped() => return,
        }
    }
}

/// Why the connection was lost; `None` where it was closed on purpose.
async fn until_lost(events: &mut EventLoop) -> Option<rumqttc::ConnectionError> {
    loop {
        match events.poll().await {
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return None,
            Ok(_) => {}
            Err(error) => return Some(error),
        }
    }
}

async fn measure(client: &AsyncClient, mut plant: Plant, clock: Clock, stop: &Stop) {
    let each = Duration::from_secs(1) / u32::try_from(DEVICES.len()).unwrap_or(1);
    let mut beat = interval(each);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for device in (0..DEVICES.len()).cycle() {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.stopped() => return,
        }
        let Some(reading) = plant.read(device, clock.now().wall) else {
            continue;
        };
        // A full queue means that the broker is away: a sensor does not wait for it.
        if client.try_publish(reading.topic, reading.payload, PublishOptions::at_least_once()).is_err() {
            tracing::debug!(device, "a reading found no way to the broker");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn brokers() {
        let found = |url| endpoint(url).ok();
        assert_eq!(found("mqtt://127.0.0.1:1884"), Some(("127.0.0.1".to_owned(), 1_884)));
        assert_eq!(found("mqtt://broker/"), Some(("broker".to_owned(), 1_883)));
        assert_eq!(found("mqtt://[::1]:1884"), Some(("::1".to_owned(), 1_884)));
        assert_eq!(found("mqtt://[::1]"), Some(("::1".to_owned(), 1_883)));
        for wrong in ["broker:1883", "mqtts://broker", "mqtt://", "mqtt://b:x", "mqtt://u:p@b"] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }
}
