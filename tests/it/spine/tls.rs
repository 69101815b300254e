//! The link to the hub under TLS, with a token for each agent.

use super::PLAIN;
use crate::support::certificates::certificates;
use crate::support::desk::Desk;
use crate::support::mosquitto::Mosquitto;
use crate::support::programs::{AgentProgram, HubProgram, weir};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_go_down_and_alerts_up_under_tls_and_a_wrong_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let broker = Mosquitto::start();
    let hub_dir = dir.path().join("hub");
    let hub =
        HubProgram::start(&hub_dir, &["--tls-cert", &file("server.pem"), "--tls-key", &file("server.key")]);
    assert!(hub.http.starts_with("https://"), "{}", hub.http);
    let config = |agent: &str, ca: &str| {
        format!(
            "[hub]\nurl = \"https://localhost:{}\"\ntoken_file = {:?}\n{ca}\n[[broker]]\nname = \"plant\"\nurl = {:?}\n",
            hub.grpc.port(),
            hub.token(agent).display().to_string(),
            broker.url()
        )
    };
    let trusted = format!("ca_file = {:?}", file("ca.pem"));
    let agent = AgentProgram::start(&dir.path().join("gw-1"), "gw-1", &config("gw-1", &trusted));
    agent.until("connected under TLS", super::connected).await;

    let rules = dir.path().join("plain.yaml");
    std::fs::write(&rules, PLAIN).unwrap();
    let https = format!("https://localhost:{}", hub.http.rsplit(':').next().unwrap());
    let verb = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir-hub"))
            .args(args)
            .args(["--hub", &https, "--ca", &file("ca.pem"), "--token-file"])
            .arg(hub_dir.join("api-token"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    verb(&["rules", "push", rules.to_str().unwrap()]);
    let authority = std::fs::read(file("ca.pem")).unwrap();
    let token = std::fs::read_to_string(hub_dir.join("api-token")).unwrap();
    assert_eq!(Desk::trusting(&https, &authority, &token).list("/rulesets").await.len(), 1);
    agent.until("the rules run", |s| s["core"]["rulesets"][0]["rules"] == 1).await;
    // Published until the subscription stands.
    crate::support::within("the alert on the hub", async {
        while !verb(&["alerts", "--json"]).contains("\"hot\"") {
            broker.publish("plant/m1/t", r#"{"v": 70}"#, &["-q", "1"]);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
    .await;

    // Another agent's token, and an authority that the agent does not know.
    let thief = AgentProgram::start(&dir.path().join("gw-2"), "gw-2", &config("gw-1", &trusted));
    let status = thief.until("the refusal", |s| s["link"]["error"].is_string()).await;
    assert!(status["link"]["error"].as_str().unwrap().contains("refuses this agent"), "{status}");
    let stranger = AgentProgram::start(&dir.path().join("gw-3"), "gw-3", &config("gw-3", ""));
    let status = stranger.until("no trust", |s| s["link"]["error"].is_string()).await;
    assert_eq!(status["link"]["connected"], false);
    assert!(status["link"]["error"].as_str().unwrap().to_lowercase().contains("certificate"), "{status}");
}

#[test]
fn plain_text_beyond_the_machine_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weir.toml");
    let state = dir.path().join("state").display().to_string();
    std::fs::write(
        &file,
        format!("agent.id = \"a\"\nagent.state_dir = {state:?}\nhub.url = \"http://192.0.2.1:7440\"\nhub.token_file = \"/nowhere\"\n"),
    )
    .unwrap();
    let (ok, _, said) = weir(&["run", "--config", file.to_str().unwrap()]);
    assert!(!ok && said.contains("loopback"), "{said}");
}
