//! The brokers, each by a client of its own.

use std::time::Duration;

use super::config::{Set, expiry};
use super::disk::millis;
use super::report::{Line, ok, problem, skipped, warning};
use crate::agent::status::Status;
use crate::cli::table::count;
use crate::ingest::mqtt::probe::{self, Found, Trouble};
use crate::ingest::{BrokerConfig, MqttVersion};
use crate::model::stream::filters;
use crate::model::time::Timestamp;
use crate::reach::{self, Distrust, is_loopback};

/// Looks at a broker.
pub(super) async fn look(
    config: BrokerConfig,
    sets: &[Set],
    status: Option<&Status>,
    patience: Duration,
    now: Timestamp,
) -> Vec<Line> {
    let check = format!("broker {}", config.name);
    if config.check().is_err() {
        return vec![skipped(&check, "not tried: its configuration comes first")];
    }
    let streams = sets.iter().flat_map(|set| &set.plan.streams);
    let filters = filters(streams, &config.name);
    let mut lines = match probe::probe(&config, &filters, patience).await {
        Ok(found) => well(&check, &config, &found, &filters, now),
        Err(trouble) => vec![ill(&check, &config, &trouble)],
    };
    if config.url.starts_with("mqtt://") && config.username.is_some() && !is_loopback(host(&config.url)) {
        lines.push(warning(
            &check,
            "the password travels readable over the network",
            "use `mqtts://` where the broker offers it",
        ));
    }
    lines.extend(status.and_then(|status| agents_own(&check, &config, status)));
    lines
}

/// What the running agent says of its own connection.
fn agents_own(check: &str, config: &BrokerConfig, status: &Status) -> Option<Line> {
    let source = status.sources.iter().find(|source| source.name == config.name)?;
    if source.connected && source.error.is_none() {
        return None;
    }
    let why = source.error.as_deref().unwrap_or("it says nothing of why");
    let found = match source.connected {
        true => format!("the agent is connected, but: {why}"),
        false => format!("the agent itself is not connected since {}: {why}", source.since),
    };
    let advice =
        "where all else of this broker is ok, wait half a minute for its next attempt, or restart the agent";
    Some(problem(check, found, advice))
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => rest.split([':', '/']).next().unwrap_or_default(),
    }
}

fn well(check: &str, config: &BrokerConfig, found: &Found, filters: &[String], now: Timestamp) -> Vec<Line> {
    let version = match config.version {
        MqttVersion::V5 => "MQTT 5",
        MqttVersion::V311 => "MQTT 3.1.1",
    };
    let tls = found.reached.peer.as_ref().map(|peer| format!(", {}", peer.version)).unwrap_or_default();
    let login = match config.username {
        Some(_) => "takes the login",
        None => "takes this client without a login",
    };
    let window = found.granted.receive_maximum.map(|n| format!(", receive maximum {n}")).unwrap_or_default();
    let mut lines = vec![ok(
        check,
        format!(
            "{} speaks {version}{tls} and {login} (connected in {}, accepted in {}){window}",
            found.reached.address,
            millis(found.reached.connect),
            millis(found.login)
        ),
    )];
    if let Some((_, until)) = found.reached.peer.as_ref().and_then(|peer| peer.valid) {
        lines.extend(expiry(check, "its certificate", until, now));
    }
    if found.granted.max_qos.is_some_and(|most| most < config.qos) {
        lines.push(warning(
            check,
            format!("it grants QoS {} at most", found.granted.max_qos.unwrap_or(0)),
            "it queues nothing while the agent is away: allow QoS 1 there, or expect gaps",
        ));
    }
    if found.granted.no_wildcards && filters.iter().any(|filter| filter.contains(['+', '#'])) {
        lines.push(problem(
            check,
            "it refuses filters with `+` and `#`, and the rules need them",
            "allow wildcard subscriptions on the broker",
        ));
    }
    for (filter, why) in &found.refused {
        lines.push(problem(
            check,
            format!("it does not let this client subscribe to `{filter}`: {why}"),
            "allow the user (or client id) to read that topic in the broker's access rules; until then its rules see nothing",
        ));
    }
    if !found.subscribed && found.refused.is_empty() {
        lines.push(warning(
            check,
            "it did not answer the subscription in time",
            "try again with a longer `--timeout`; where it stays so, see the broker's log",
        ));
    } else if filters.is_empty() {
        lines.push(ok(check, "no rule that is known here reads from it, so no subscription was tried"));
    } else if found.refused.is_empty() && found.subscribed {
        let (shown, more) = filters.split_at(filters.len().min(3));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        let shown: Vec<String> = shown.iter().map(|filter| format!("`{filter}`")).collect();
        lines.push(ok(
            check,
            format!(
                "lets this client subscribe to {}: {}{more}",
                count(filters.len() as u64, "filter"),
                shown.join(", ")
            ),
        ));
    }
    lines
}

fn ill(check: &str, config: &BrokerConfig, trouble: &Trouble) -> Line {
    let key = format!("[[broker]] `{}`", config.name);
    let advice = match trouble {
        Trouble::Config(_) => format!("correct {key} in the configuration"),
        Trouble::Reach(trouble) => {
            way(trouble, "the broker", &format!("`url` of {key}"), &format!("`ca_file` of {key}"))
        }
        Trouble::Silent(_) => format!(
            "see that `url` of {key} names a broker's port: a web server, or a port that wants TLS (`mqtts://`), stays silent too"
        ),
        Trouble::Refused(why) => {
            // What the broker's answer means ends with what to do.
            if let Some((found, advice)) = why.split_once("; ") {
                return problem(check, found, format!("{advice} ({key})"));
            }
            let lower = why.to_lowercase();
            if lower.contains("certificaterequired") || lower.contains("handshakefailure") {
                format!("the broker wants a client certificate: set `cert_file` and `key_file` of {key}")
            } else if lower.contains("unknownca") || lower.contains("badcertificate") {
                format!(
                    "the broker does not believe the client certificate: see that `cert_file` of {key} is signed by its authority"
                )
            } else if config.url.starts_with("mqtt://") {
                format!("see the broker's log; where that port wants TLS, write `mqtts://` in `url` of {key}")
            } else {
                "see the broker's log".to_owned()
            }
        }
    };
    problem(check, trouble.to_string(), advice)
}

/// What to do about a way that does not lead there.
pub(super) fn way(trouble: &reach::Trouble, who: &str, url: &str, ca: &str) -> String {
    match trouble {
        reach::Trouble::Name { host, .. } => {
            format!(
                "correct {url}, or see to this machine's name service (`getent hosts {host}`, /etc/resolv.conf)"
            )
        }
        reach::Trouble::Refused { .. } => format!("start {who} there, or correct {url}"),
        reach::Trouble::Silent { .. } => {
            format!(
                "see whether the network and a firewall let this machine there, and whether {who} runs; or correct {url}"
            )
        }
        reach::Trouble::Network { .. } => "see this machine's network: `ip address`, `ip route`".to_owned(),
        reach::Trouble::Tls { .. } => {
            format!("see that the port of {url} is one where {who} speaks TLS")
        }
        reach::Trouble::Certificate { distrust, .. } => match distrust {
            Distrust::Issuer => {
                format!("set {ca} to a PEM file with the authority that signed the certificate of {who}")
            }
            Distrust::Expired(_) => {
                format!("give {who} a new certificate; where the date is wrong, set this machine's clock")
            }
            Distrust::TooEarly(_) => "set this machine's clock: it is most likely behind".to_owned(),
            Distrust::Name(names) if names.is_empty() => {
                format!("write the name of its certificate into {url}")
            }
            Distrust::Name(_) => {
                format!("write one of these names into {url}, or give {who} a certificate for this one")
            }
            Distrust::Other(_) => format!("give {who} another certificate"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        assert_eq!(host("mqtt://broker:1883"), "broker");
        assert_eq!(host("mqtts://[::1]:1"), "::1");
        assert_eq!(host("mqtt://10.0.0.1/"), "10.0.0.1");
    }

    #[test]
    fn what_a_broker_says_is_parted_from_what_to_do() {
        let config = BrokerConfig::new("site", "mqtt://b");
        let said = Trouble::Refused("the broker refused the password; check `password_file`".to_owned());
        let line = ill("broker site", &config, &said);
        assert_eq!(line.found, "the broker refused the password");
        assert!(line.advice.unwrap().starts_with("check `password_file`"));
    }
}
