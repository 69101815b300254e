//! `weir alerts` on a running agent with a real broker: what stands, what was, one of them whole, and one ended
//! by hand.

use serde_json::Value as Json;

use crate::support::gateway::Gateway;
use crate::support::programs::weir;

const RULES: &str = "
streams:
  - CREATE STREAM motors (temperature FLOAT, mode STRING) WITH (DATASOURCE='hall/{hall}/motor/{device}', KEY='device')
rules:
  - id: motor-hot
    sql: SELECT device, temperature FROM motors
    levels:
      - {severity: warning, when: temperature > 60, clear: temperature < 55}
      - {severity: critical, when: temperature > 80, clear: temperature < 75}
    annotations: {summary: '{{ severity }}: {{ device }} is at {{ temperature | round 1 }} °C'}
  - {id: waits, sql: 'SELECT device, temperature FROM motors', when: temperature > 100, for: 10m}
  - {id: tripped, sql: SELECT device FROM motors WHERE mode = 'tripped'}
";

/// Sends readings of one motor, and waits until the agent has them.
async fn readings(gateway: &Gateway, motor: &str, temperatures: &[f64], mode: &str) {
    let seen = |s: &Json| s["core"]["messages"].as_u64().unwrap();
    let before = seen(&gateway.agent.status().unwrap());
    for temperature in temperatures {
        let payload = format!(r#"{{"temperature":{temperature},"mode":"{mode}"}}"#);
        gateway.broker.publish(&format!("hall/north/motor/{motor}"), &payload, &["-q", "1"]);
    }
    let all = before + temperatures.len() as u64;
    gateway.agent.until("the readings came", |s| seen(s) >= all).await;
}

fn names(list: &Json) -> Vec<String> {
    let name = |alert: &Json| {
        let text = |field: &str| alert[field].as_str().unwrap_or("").to_owned();
        format!(
            "{} {} {}",
            text("phase") + &text("state"),
            text("severity"),
            alert["labels"]["device"].as_str().unwrap()
        )
    };
    list.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_at_the_gateway_sees_what_stands_and_what_was_and_ends_one() {
    let mut gateway = Gateway::start(RULES, "").await;
    readings(&gateway, "m1", &[48.0, 55.5, 61.0, 84.25], "run").await;
    readings(&gateway, "m2", &[62.0, 54.0], "run").await;
    readings(&gateway, "m3", &[101.0], "tripped").await;

    // The worst first; what only waits last.
    let all = names(&gateway.json(&[]));
    assert_eq!(all, ["firing critical m1", "firing critical m3", "pending warning m3"]);
    assert_eq!(names(&gateway.json(&["--label", "device=m3", "--state", "firing"])), ["firing critical m3"]);
    assert_eq!(names(&gateway.json(&["--rule", "waits"])), ["pending warning m3"]);
    assert_eq!(names(&gateway.json(&["--severity", "info"])), [""; 0]);
    let (_, table, _) = gateway.alerts(&[]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("gw-7 at ") && lines[0].ends_with(": 2 up, 1 pending; no hub is configured"),
        "{table}"
    );
    assert!(
        lines[1].starts_with("STATE ") && lines[2].starts_with("firing   critical  motor-hot  device=m1"),
        "{table}"
    );
    assert!(lines[2].ends_with(" temperature=84.25"), "what is a label is not said twice: {table}");

    let past = [
        "firing critical m3",
        "occurred warning m3",
        "resolved warning m2",
        "firing warning m2",
        "firing critical m1",
        "firing warning m1",
    ];
    let mut found = names(&gateway.json(&["history"]));
    // One message makes two of them.
    found[..2].sort();
    assert_eq!(found, past);
    assert_eq!(
        names(&gateway.json(&["history", "--limit", "1", "--state", "resolved"])),
        ["resolved warning m2"]
    );
    assert_eq!(gateway.json(&["history", "--since", "1h"]).as_array().unwrap().len(), 6);

    let alert = &gateway.json(&["--label", "device=m1"])[0];
    let fingerprint = alert["fingerprint"].as_str().unwrap().to_owned();
    let (ok, shown, err) = gateway.alerts(&["show", &fingerprint[..9]]);
    assert!(ok, "{err}");
    for part in [
        "firing critical motor-hot\n",
        "  summary      critical: m1 is at 84.3 °C\n",
        &format!("  id           {fingerprint}\n"),
        "┄ critical 80\n",
        "┄ warning 60\n",
        "84.25 │",
        "firing (severity)  critical",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert_eq!(shown.matches('●').count(), 4, "{shown}");
    let whole = gateway.json(&["show", &fingerprint]);
    assert_eq!(
        (whole["alert"]["phase"].as_str(), whole["history"].as_array().unwrap().len()),
        (Some("firing"), 2)
    );

    let (ok, said, err) =
        gateway.alerts(&["resolve", &fingerprint[..9], "--reason", "the fan\nis being changed"]);
    assert!(ok && said.starts_with(&format!("resolved {fingerprint}")), "{said}{err}");
    readings(&gateway, "m1", &[85.0, 86.0], "run").await;
    assert_eq!(names(&gateway.json(&["--label", "device=m1"])), [""; 0], "nothing raises it");
    let last = &gateway.json(&["history", "-n", "1"])[0];
    assert_eq!(
        (&last["reason"], &last["annotations"]["resolved_because"]),
        (&"manual".into(), &"the fan is being changed".into())
    );

    // A restart forgets neither what was told nor that it was ended.
    gateway.agent.kill();
    gateway.agent.run();
    gateway
        .agent
        .until("it reads", |s| s["sources"][0]["connected"] == true && s["core"]["lost"].is_null())
        .await;
    assert_eq!(gateway.json(&["history"]).as_array().unwrap().len(), 7);
    readings(&gateway, "m1", &[87.0], "run").await;
    assert_eq!(names(&gateway.json(&["--label", "device=m1"])), [""; 0]);
    readings(&gateway, "m1", &[50.0, 88.0], "run").await;
    assert_eq!(names(&gateway.json(&["--label", "device=m1"])), ["firing critical m1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_told_with_what_to_do() {
    let gateway = Gateway::start(RULES, "").await;
    let (_, none, _) = gateway.alerts(&[]);
    assert!(none.ends_with("no alert is pending or up\n"), "{none}");
    let (_, none, _) = gateway.alerts(&["history"]);
    assert_eq!(none, "nothing was told, as far as it is kept\n");
    readings(&gateway, "m1", &[101.0], "run").await;
    let waits = gateway.json(&["--rule", "waits"])[0]["fingerprint"].as_str().unwrap().to_owned();
    for (args, said) in [
        (&["show", "zz"][..], "no alert has a fingerprint that begins with `zz`"),
        (&["show", ""], "`` is the beginning of 2: "),
        (&["resolve", &waits, "--reason", "x"], "only an alert that is up can be resolved"),
        (&["resolve", &waits, "--reason", " "], "write 1 to 500"),
        (&["--label", "device"], "write it as in `device=pump-3`"),
    ] {
        let (ok, _, err) = gateway.alerts(args);
        assert!(!ok && err.contains(said), "{args:?}: {err}");
    }
    let (ok, _, err) = weir(&["alerts", "--socket", "/nowhere/agent.sock"]);
    assert!(!ok && err.contains("reach the agent at /nowhere/agent.sock; is it running"), "{err}");
}
