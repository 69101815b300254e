//! The MQTT 3.1.1 face: options, requests and events of `rumqttc-v4`.

use std::sync::Arc;

use rumqttc_v4::mqttbytes::{Error as PacketError, QoS};
use rumqttc_v4::{
    AckMode, AsyncClient, Broker, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions,
    NetworkOptions, Packet, Publish as Packet3, StateError, SubscribeFilter, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use rustls::ClientConfig;

use super::cork::{Acks, Cork};
use super::face::{CONNECT_TIMEOUT, HARD_LIMIT, Happening, Lost, OUTGOING, Publish, READ_BATCH, REQUESTS};
use super::probe::Granted;
use crate::ingest::config::{BrokerConfig, Settings};

/// A subscription is far smaller, and nothing else of size is sent.
const MAX_OUTGOING: usize = 256 * 1024;

pub(super) struct Requests {
    client: AsyncClient,
    /// Where acknowledgements go past the library; under TLS they cannot.
    acks: Option<Acks>,
}

pub(super) struct Events {
    events: EventLoop,
}

pub(super) fn open(
    config: &BrokerConfig,
    settings: &Settings,
    tls: Option<Arc<ClientConfig>>,
) -> Result<(Requests, Events), String> {
    let broker = Broker::tcp(settings.endpoint.host.clone(), settings.endpoint.port);
    let mut options = MqttOptions::new(settings.client_id.clone(), broker);
    options
        .try_set_clean_session(settings.session_expiry == 0)
        .map_err(|e| e.to_string())?
        .try_set_inflight(OUTGOING)
        .map_err(|e| e.to_string())?;
    options
        .set_keep_alive(settings.keep_alive)
        .set_max_packet_size(size(config.max_packet), MAX_OUTGOING)
        .set_ack_mode(AckMode::Manual)
        .set_max_request_batch(READ_BATCH)
        .set_read_batch_size(READ_BATCH);
    match &settings.login {
        Some((user, Some(password))) => {
            options.set_credentials(user.clone(), password.clone());
        }
        Some((user, None)) => {
            options.set_username(user.clone());
        }
        None => {}
    }
    let plain = tls.is_none();
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    let acks = Acks::default();
    let own = acks.clone();
    options.set_socket_connector(move |host, network| {
        let acks = own.clone();
        async move {
            acks.clear();
            Ok(Cork::new(rumqttc_v4::default_socket_connect(host, network).await?, acks))
        }
    });
    let (client, mut events) =
        AsyncClient::builder(options).capacity(REQUESTS).try_build().map_err(|e| e.to_string())?;
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT);
    events.set_network_options(network);
    Ok((Requests { client, acks: plain.then_some(acks) }, Events { events }))
}

impl Requests {
    pub(super) fn ack(&self, packet: u16) -> bool {
        if let Some(acks) = &self.acks {
            acks.push(packet);
            return true;
        }
        let mut publish = Packet3::from_bytes("", QoS::AtLeastOnce, bytes::Bytes::new());
        publish.pkid = packet;
        self.client.try_ack(&publish).is_ok()
    }

    pub(super) fn subscribe(&self, filters: &[String], level: u8) -> bool {
        let list = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos(level)));
        self.client.try_subscribe_many(list).is_ok()
    }

    pub(super) fn unsubscribe(&self, filters: &[String]) -> bool {
        self.client.try_unsubscribe_many(filters.iter().cloned()).is_ok()
    }

    pub(super) fn disconnect(&self) -> bool {
        self.client.try_disconnect().is_ok()
    }
}

impl Events {
    pub(super) async fn poll(&mut self) -> Result<Happening, Lost> {
        match self.events.poll().await {
            Ok(event) => Ok(happening(event)),
            Err(error) => Err(lost(&error)),
        }
    }

    pub(super) fn ready(&mut self) -> Option<Happening> {
        self.events.state.events.pop_front().map(happening)
    }

    pub(super) fn raise_limit(&mut self, limit: u32) {
        self.events.mqtt_options.set_max_packet_size(size(limit.min(HARD_LIMIT)), MAX_OUTGOING);
    }
}

fn qos(level: u8) -> QoS {
    if level == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}

fn size(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn happening(event: Event) -> Happening {
    match event {
        Event::Incoming(Packet::Publish(publish)) => Happening::Publish(Publish {
            packet: (publish.qos != QoS::AtMostOnce).then_some(publish.pkid),
            topic: publish.topic,
            payload: publish.payload,
            retained: publish.retain,
            dup: publish.dup,
            properties: Box::default(),
        }),
        Event::Incoming(Packet::ConnAck(ack)) => {
            Happening::Connected { resumed: ack.session_present, granted: Granted::default() }
        }
        Event::Incoming(Packet::SubAck(ack)) => Happening::Subscribed(
            ack.return_codes
                .iter()
                .map(|code| match code {
                    SubscribeReasonCode::Success(_) => None,
                    SubscribeReasonCode::Failure => Some("refused".to_owned()),
                })
                .collect(),
        ),
        Event::Incoming(_) | Event::Outgoing(_) => Happening::Other,
    }
}

fn lost(error: &ConnectionError) -> Lost {
    let too_large = match error {
        ConnectionError::MqttState(StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(
            size,
        ))) => Some(*size),
        _ => None,
    };
    let why = match error {
        ConnectionError::ConnectionRefused(code) => refusal(*code),
        other => other.to_string(),
    };
    Lost { why, too_large }
}

fn refusal(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword => {
            "the broker refused the user name or password; check `username` and `password_file`".to_owned()
        }
        ConnectReturnCode::NotAuthorized => {
            "the broker says that this client is not authorised; check `username`, `password_file` and its access rules".to_owned()
        }
        ConnectReturnCode::BadClientId => "the broker refused the client id; set another `client_id`".to_owned(),
        ConnectReturnCode::RefusedProtocolVersion => "the broker does not speak MQTT 3.1.1; set `version = \"5\"`".to_owned(),
        other => format!("the broker refused the connection ({other:?})"),
    }
}
