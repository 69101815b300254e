//! The MQTT 5 face: options, requests and events of `rumqttc`.
//!
//! A fresh client of the library does not continue a session that only the broker remembers: either it refuses
//! the connection, or it accepts it and then silently refuses to subscribe. Both protect messages that a
//! client has published and not seen acknowledged. This client never publishes, so its true state
//! after a restart is the empty one, and it says so with a checkpoint.

use std::sync::Arc;

use rumqttc::mqttbytes::{Error as PacketError, QoS};
use rumqttc::{
    AckMode, AsyncClient, Broker, BrokerSessionResumePolicy, ConnAckProperties, ConnectReturnCode,
    ConnectionError, Event, EventLoop, IncomingPacketSizeLimit, MqttOptions, NetworkOptions, Packet,
    PersistedAckMode, PersistedSession, Publish as Packet5, RetainForwardRule, SessionStore,
    SessionStoreError, SessionStoreKey, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    Transport,
};
use rustls::ClientConfig;

use super::cork::{Acks, Cork};
use super::face::{CONNECT_TIMEOUT, HARD_LIMIT, Happening, Lost, OUTGOING, Publish, READ_BATCH, REQUESTS};
use super::probe::Granted;
use crate::ingest::config::{BrokerConfig, Settings};

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
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT);
    options
        .set_clean_start(false)
        .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly)
        .set_session_store(NothingInFlight)
        .set_session_expiry_interval(Some(settings.session_expiry))
        .set_keep_alive(settings.keep_alive)
        .set_max_packet_size(Some(config.max_packet))
        .set_receive_maximum(Some(config.receive_maximum))
        .set_ack_mode(AckMode::Manual)
        .set_outgoing_inflight_upper_limit(OUTGOING)
        .set_max_request_batch(READ_BATCH)
        .set_read_batch_size(READ_BATCH)
        .set_connect_timeout(std::time::Duration::from_secs(CONNECT_TIMEOUT))
        .set_network_options(network);
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
            Ok(Cork::new(rumqttc::default_socket_connect(host, network).await?, acks))
        }
    });
    let (client, events) =
        AsyncClient::builder(options).capacity(REQUESTS).try_build().map_err(|e| e.to_string())?;
    Ok((Requests { client, acks: plain.then_some(acks) }, Events { events }))
}

impl Requests {
    pub(super) fn ack(&self, packet: u16) -> bool {
        if let Some(acks) = &self.acks {
            acks.push(packet);
            return true;
        }
        let publish = Packet5 { qos: QoS::AtLeastOnce, pkid: packet, ..Packet5::default() };
        self.client.try_ack(&publish).is_ok()
    }

    pub(super) fn subscribe(&self, filters: &[String], level: u8) -> bool {
        let list = filters.iter().map(|filter| {
            let qos = if level == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let mut filter = SubscribeFilter::new(filter.clone(), qos);
            // Without this a broker clears the retained flag on what it forwards later.
            filter.preserve_retain = false;
            filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
            filter
        });
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
            Ok(event) => {
                let happening = happening(event);
                if matches!(happening, Happening::Connected { .. }) {
                    // The checkpoint has done its work; without a store the library makes none for
                    // every packet.
                    self.events.options.clear_session_store();
                }
                Ok(happening)
            }
            Err(error) => Err(lost(&error)),
        }
    }

    pub(super) fn ready(&mut self) -> Option<Happening> {
        self.events.state.events.pop_front().map(happening)
    }

    pub(super) fn raise_limit(&mut self, limit: u32) {
        let limit = IncomingPacketSizeLimit::Bytes(limit.min(HARD_LIMIT));
        self.events.options.set_incoming_packet_size_limit(limit);
    }
}

/// The checkpoint of a client that never publishes: there is one, and nothing is in flight.
#[derive(Debug)]
struct NothingInFlight;

type Stored<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingInFlight {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: None,
            outgoing_inflight_upper_limit: Some(OUTGOING),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

fn happening(event: Event) -> Happening {
    match event {
        Event::Incoming(Packet::Publish(publish)) => Happening::Publish(Publish {
            packet: (publish.qos != QoS::AtMostOnce).then_some(publish.pkid),
            topic: publish.topic,
            payload: publish.payload,
            retained: publish.retain,
            dup: publish.dup,
            properties: publish.properties.map(|p| p.user_properties.into_boxed_slice()).unwrap_or_default(),
        }),
        Event::Incoming(Packet::ConnAck(ack)) => {
            Happening::Connected { resumed: ack.session_present, granted: granted(ack.properties.as_ref()) }
        }
        Event::Incoming(Packet::SubAck(ack)) => Happening::Subscribed(
            ack.return_codes
                .iter()
                .map(|code| match code {
                    SubscribeReasonCode::Success(_) => None,
                    SubscribeReasonCode::NotAuthorized => Some("not authorised".to_owned()),
                    other => Some(format!("{other:?}")),
                })
                .collect(),
        ),
        Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => Happening::Other,
    }
}

/// What a broker says of its bounds with its consent. What it does not say is as the protocol has it.
fn granted(said: Option<&ConnAckProperties>) -> Granted {
    said.map_or_else(Granted::default, |said| Granted {
        receive_maximum: said.receive_max,
        max_qos: said.max_qos,
        keep_alive: said.server_keep_alive,
        no_wildcards: said.wildcard_subscription_available == Some(0),
    })
}

fn lost(error: &ConnectionError) -> Lost {
    let too_large = match error {
        ConnectionError::MqttState(StateError::Deserialization(PacketError::PayloadSizeLimitExceeded {
            pkt_size,
            ..
        })) => Some(*pkt_size),
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
        ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => {
            "the broker refused the client id; set another `client_id`".to_owned()
        }
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
            "the broker does not speak MQTT 5; set `version = \"3.1.1\"`".to_owned()
        }
        other => format!("the broker refused the connection ({other:?})"),
    }
}
