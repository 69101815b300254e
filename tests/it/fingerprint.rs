//! Fingerprints against a real Alertmanager: an alert that is handed on keeps its identity there.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use weir::model::label::{Fingerprint, Labels};

use crate::support::programs::free_port;
use crate::support::within;

/// A running Alertmanager; dropped, it is killed.
struct Alertmanager {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
        let port = free_port();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("install it with `apt-get install prometheus-alertmanager`");
        let started = Self { child, port, _dir: dir };
        within("Alertmanager", async {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        started
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// Label sets of every length, with names and values of every kind.
fn some() -> Vec<Labels> {
    let values = [
        "",
        "x",
        "motor/3 é",
        "a=\"b\", c",
        "\u{ff}\n",
        "温度",
        "0",
        "a very long value, as descriptions are ",
    ];
    let mut all = vec![
        labels(&[("alertname", "x")]),
        labels(&[("agent", "gw-7"), ("alertname", "overheating"), ("device", "motor/3 é")]),
        labels(&[
            ("alertname", "freezer-too-warm"),
            ("device", "f1"),
            ("severity", "critical"),
            ("team", "cold-chain"),
        ]),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..200 {
        let mut one = labels(&[("alertname", &format!("rule-{n}"))]);
        for _ in 0..random.usize(0..6) {
            let name = format!("{}{}", ["device", "_site", "Z", "a_1"][random.usize(0..4)], random.u8(0..20));
            // Alertmanager leaves out labels without a value.
            let value = values[random.usize(1..values.len())].repeat(random.usize(1..4));
            one.insert(name.as_str().into(), value.as_str().into());
        }
        all.push(one);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_those_of_alertmanager() {
    let alertmanager = Alertmanager::start().await;
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{}/api/v2/alerts", alertmanager.port);
    let sent = some();
    let object = |labels: &Labels| -> serde_json::Map<String, Json> {
        labels.iter().map(|(name, value)| (name.to_string(), Json::from(&**value))).collect()
    };
    let body: Vec<Json> = sent.iter().map(|labels| json!({ "labels": object(labels) })).collect();
    let answer = client.post(&url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let theirs = within("the alerts", async {
        loop {
            let all: Vec<Json> = client.get(&url).send().await.unwrap().json().await.unwrap();
            if all.len() == sent.len() {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for one in &theirs {
        let labels = one["labels"].as_object().unwrap().iter();
        let labels: Labels =
            labels.map(|(name, value)| (name.as_str().into(), value.as_str().unwrap().into())).collect();
        assert!(sent.contains(&labels), "{labels:?}");
        assert_eq!(one["fingerprint"], Fingerprint::of(&labels).to_string(), "{labels:?}");
    }
}
