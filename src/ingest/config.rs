//! What can be configured about a broker, and what it resolves to.
//!
//! Resolving reads the files that the configuration names, so that a wrong path or half a client
//! certificate is an error at the start that names its key, and not one at the first connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::message::NODE_SOURCE;
use crate::model::time::span_text;

/// The version of MQTT that a broker is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MqttVersion {
    /// MQTT 5: user properties, a receive maximum, reasons for refusals.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1, for brokers that know nothing else.
    #[serde(rename = "3.1.1")]
    V311,
}

/// One broker to read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// The source's name in rules, status and metrics: letters, digits, `-` and `_`. Required.
    pub name: String,
    /// Where the broker listens: `mqtt://host:port` in plain text, `mqtts://host:port` under TLS.
    /// The port defaults to 1883 and 8883. Required.
    pub url: String,
    /// `"5"` (the default) or `"3.1.1"`. With 3.1.1 messages carry no properties, retained messages
    /// come again after every reconnect, and the broker alone limits what is in flight.
    #[serde(default)]
    pub version: MqttVersion,
    /// The client id, which names the session that the broker keeps. Default: made from the
    /// agent's name. A changed id leaves the old session, and what waits in it, behind; two clients with
    /// one id throw each other out.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The user name. Default: none is sent.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password; line ends at its end do not count. Default: no password. Needs
    /// `username`.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A PEM file with the certificates that may sign the broker's. Default: those that the
    /// system trusts. Only with `mqtts`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's certificate chain. Default: none. Needs `key_file`, and `mqtts`.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the client certificate's private key. Default: none. Needs `cert_file`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The longest silence before a ping, 5s to 18h. Default: 30s. A dead link is found after
    /// twice this; reading pauses for at most a quarter of it.
    #[serde(default = "default_keep_alive", with = "span_text")]
    pub keep_alive: Duration,
    /// How long the broker keeps the session, and queues QoS 1 messages, while the agent is away
    /// (a 3.1.1 broker decides by itself for how long). Default: 7d. `0` keeps nothing.
    #[serde(default = "default_session_expiry", with = "span_text")]
    pub session_expiry: Duration,
    /// The largest packet taken, bytes. Default: 1048576. A larger message is dropped and counted, by
    /// the broker where it can; memory for the largest packet must be there.
    #[serde(default = "default_max_packet")]
    pub max_packet: u32,
    /// How many QoS 1 messages may be unacknowledged at once (MQTT 5 only). Default: 100. More
    /// gives a higher rate on slow storage, and more redeliveries after a crash.
    #[serde(default = "default_receive_maximum")]
    pub receive_maximum: u16,
    /// The quality of service to subscribe with, 0 or 1. Default: 1. With 0 the broker queues
    /// nothing while the agent is away, and what the agent cannot take in time is dropped.
    #[serde(default = "default_qos")]
    pub qos: u8,
}

const fn default_keep_alive() -> Duration {
    Duration::from_secs(30)
}

const fn default_session_expiry() -> Duration {
    Duration::from_secs(7 * 86_400)
}

const fn default_max_packet() -> u32 {
    1024 * 1024
}

const fn default_receive_maximum() -> u16 {
    100
}

const fn default_qos() -> u8 {
    1
}

impl BrokerConfig {
    /// A broker with the defaults for everything that is not required.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            version: MqttVersion::default(),
            client_id: None,
            username: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            keep_alive: default_keep_alive(),
            session_expiry: default_session_expiry(),
            max_packet: default_max_packet(),
            receive_maximum: default_receive_maximum(),
            qos: default_qos(),
        }
    }

    /// Checks everything that needs no network. `start` does it too; here it serves `weir check`.
    ///
    /// # Errors
    /// The first key that cannot work, and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.resolve().map(drop)
    }

    pub(super) fn resolve(&self) -> Result<Settings, ConfigError> {
        let wrong =
            |key: &'static str, why: String| ConfigError::Value { source_name: self.name.clone(), key, why };
        let named = !self.name.is_empty()
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !named {
            return Err(wrong("name", "use letters, digits, `-` and `_`".to_owned()));
        }
        if self.name == NODE_SOURCE {
            return Err(wrong(
                "name",
                format!("`{NODE_SOURCE}` is the node's own metrics; choose another name"),
            ));
        }
        let endpoint = Endpoint::parse(&self.url).map_err(|why| wrong("url", why))?;
        let seconds = self.keep_alive.as_secs();
        let keep_alive = match u16::try_from(seconds) {
            Ok(seconds) if (5..=64_800).contains(&seconds) => seconds,
            _ => return Err(wrong("keep_alive", "must be from 5s to 18h".to_owned())),
        };
        if self.max_packet < 1_024 {
            return Err(wrong("max_packet", "must be at least 1024 bytes".to_owned()));
        }
        if self.receive_maximum == 0 {
            return Err(wrong("receive_maximum", "must be at least 1".to_owned()));
        }
        if self.qos > 1 {
            return Err(wrong("qos", "must be 0 or 1".to_owned()));
        }
        let client_id = match self.client_id.as_deref() {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => {
                return Err(wrong("client_id", "a session that survives a restart needs one".to_owned()));
            }
        };
        Ok(Settings {
            client_id,
            login: self.login()?,
            tls: self.tls_files(endpoint.tls)?,
            endpoint,
            keep_alive,
            session_expiry: u32::try_from(self.session_expiry.as_secs()).unwrap_or(u32::MAX),
        })
    }

    fn login(&self) -> Result<Option<(String, Option<String>)>, ConfigError> {
        match (&self.username, &self.password_file) {
            (Some(user), Some(path)) => {
                let bytes = self.read("password_file", path)?;
                let text = String::from_utf8(bytes).map_err(|_| ConfigError::Value {
                    source_name: self.name.clone(),
                    key: "password_file",
                    why: format!("`{}` holds no UTF-8 text", path.display()),
                })?;
                Ok(Some((user.clone(), Some(text.trim_end_matches(['\r', '\n']).to_owned()))))
            }
            (Some(user), None) => Ok(Some((user.clone(), None))),
            (None, Some(_)) => Err(ConfigError::Value {
                source_name: self.name.clone(),
                key: "password_file",
                why: "a password needs `username` too".to_owned(),
            }),
            (None, None) => Ok(None),
        }
    }

    fn tls_files(&self, tls: bool) -> Result<Option<TlsFiles>, ConfigError> {
        let wrong =
            |key, why: &str| ConfigError::Value { source_name: self.name.clone(), key, why: why.to_owned() };
        if !tls {
            let set =
                [("ca_file", &self.ca_file), ("cert_file", &self.cert_file), ("key_file", &self.key_file)]
                    .into_iter()
                    .find(|(_, file)| file.is_some());
            return match set {
                Some((key, _)) => Err(wrong(key, "has a meaning only with a `mqtts://` url")),
                None => Ok(None),
            };
        }
        let client = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Some((self.read("cert_file", cert)?, self.read("key_file", key)?)),
            (Some(_), None) => {
                return Err(wrong("cert_file", "a client certificate needs its `key_file` too"));
            }
            (None, Some(_)) => {
                return Err(wrong("key_file", "a private key needs its `cert_file` too"));
            }
            (None, None) => None,
        };
        let ca = self.ca_file.as_deref().map(|path| self.read("ca_file", path)).transpose()?;
        Ok(Some(TlsFiles { ca, client }))
    }

    fn read(&self, key: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
        fs::read(path).map_err(|source| ConfigError::File {
            source_name: self.name.clone(),
            key,
            path: path.to_owned(),
            source,
        })
    }
}

/// What a configured broker resolves to: files read, text parsed.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) client_id: String,
    pub(super) endpoint: Endpoint,
    pub(super) login: Option<(String, Option<String>)>,
    pub(super) tls: Option<TlsFiles>,
    /// Seconds.
    pub(super) keep_alive: u16,
    /// Seconds; the greatest value means forever.
    pub(super) session_expiry: u32,
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// The contents of PEM files.
pub(super) struct TlsFiles {
    /// Who may sign the broker's certificate; `None` means those that the system trusts.
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate chain and private key.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Without the contents: one of them is a private key.
impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFiles")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self, String> {
        let form = "write `mqtt://host:port` or `mqtts://host:port`";
        let (tls, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!("`{scheme}` is no scheme for a broker; {form}"));
            }
            None => return Err(format!("`{url}` has no scheme; {form}")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(format!("a broker has no path; {form}"));
        }
        if rest.contains('@') {
            return Err("a url is no place for a login; use `username` and `password_file`".to_owned());
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, tail) = inner.split_once(']').ok_or_else(|| format!("`[` has no `]`; {form}"))?;
                (host, tail.strip_prefix(':').or((!tail.is_empty()).then_some(tail)))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() {
            return Err(format!("there is no host; {form}"));
        }
        let port = match port {
            None => {
                if tls {
                    8_883
                } else {
                    1_883
                }
            }
            Some(text) => match text.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(format!("`{text}` is no port; {form}")),
            },
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

/// What is wrong with a configured broker.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot work.
    #[error("broker `{source_name}`: key `{key}`: {why}")]
    Value {
        /// The broker.
        source_name: String,
        /// The key in its configuration.
        key: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A file that cannot be read.
    #[error("broker `{source_name}`: key `{key}`: read `{}`: {source}; check the path and who may read it", path.display())]
    File {
        /// The broker.
        source_name: String,
        /// The key in its configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> BrokerConfig {
        BrokerConfig { client_id: Some("weir-test".to_owned()), ..BrokerConfig::new("site", url) }
    }

    #[test]
    fn urls() {
        let parsed = |url| Endpoint::parse(url).map(|e| (e.tls, e.host, e.port));
        assert_eq!(parsed("mqtt://broker"), Ok((false, "broker".to_owned(), 1_883)));
        assert_eq!(parsed("mqtts://10.0.0.1:9000/"), Ok((true, "10.0.0.1".to_owned(), 9_000)));
        assert_eq!(parsed("mqtts://[::1]"), Ok((true, "::1".to_owned(), 8_883)));
        assert_eq!(parsed("mqtt://[fe80::1]:1884"), Ok((false, "fe80::1".to_owned(), 1_884)));
        for wrong in [
            "broker:1883",
            "ws://broker",
            "mqtt://",
            "mqtt://b:0",
            "mqtt://b:x",
            "mqtt://b/x",
            "mqtt://u:p@b",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_names_its_key() {
        let cases: &[(BrokerConfig, &str)] = &[
            (BrokerConfig { name: "a b".into(), ..broker("mqtt://b") }, "`name`"),
            (BrokerConfig { name: "node".into(), ..broker("mqtt://b") }, "`name`"),
            (broker("http://b"), "`url`"),
            (BrokerConfig { client_id: None, ..broker("mqtt://b") }, "`client_id`"),
            (BrokerConfig { qos: 2, ..broker("mqtt://b") }, "`qos`"),
            (BrokerConfig { keep_alive: Duration::from_secs(1), ..broker("mqtt://b") }, "`keep_alive`"),
            (BrokerConfig { ca_file: Some("/x".into()), ..broker("mqtt://b") }, "`ca_file`"),
            (BrokerConfig { ca_file: Some("/nowhere/ca".into()), ..broker("mqtts://b") }, "/nowhere/ca"),
            (BrokerConfig { cert_file: Some("/x".into()), ..broker("mqtts://b") }, "`key_file`"),
            (BrokerConfig { key_file: Some("/x".into()), ..broker("mqtts://b") }, "`cert_file`"),
            (BrokerConfig { password_file: Some("/x".into()), ..broker("mqtt://b") }, "`username`"),
        ];
        for (config, expected) in cases {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn defaults_and_unknown_keys() {
        let read = |text: &str| serde_json::from_str::<BrokerConfig>(text);
        assert_eq!(
            read(r#"{"name": "site", "url": "mqtt://b"}"#).unwrap(),
            BrokerConfig::new("site", "mqtt://b")
        );
        let set =
            read(r#"{"name": "site", "url": "mqtt://b", "version": "3.1.1", "keep_alive": "1m"}"#).unwrap();
        assert_eq!((set.version, set.keep_alive), (MqttVersion::V311, Duration::from_secs(60)));
        assert!(read(r#"{"name": "site", "url": "mqtt://b", "user": "x"}"#).is_err());
    }
}
