//! What the agent tells about itself: on its port, on its socket, and to the hub.

use super::{PLAIN, Site};
use crate::support::programs::{free_port, weir};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_figures_show_on_the_port_in_the_status_and_on_the_hub() {
    let port = free_port();
    let more = format!("listen.http = \"127.0.0.1:{port}\"");
    let site = Site::start(&[], &more).await;
    site.push("plain", PLAIN).await;
    for (device, v) in [("m1", 70), ("m2", 50)] {
        site.broker.publish(&format!("plant/{device}/t"), &format!(r#"{{"v": {v}}}"#), &["-q", "1"]);
    }
    site.transitions(1).await;
    site.agent.until("both readings", |s| s["core"]["streams"][0]["rows"] == 2).await;

    let get = async |path: &str| reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap();
    let health = get("/healthz").await;
    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, "ok\n"));
    assert_eq!(get("/nothing").await.status(), 404);
    let text = get("/metrics").await.text().await.unwrap();
    let figure = |name: &str| {
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{name} is missing in {text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(figure(r#"weir_rows_total{ruleset="plain",stream="t"}"#), 2.0);
    assert_eq!(figure(r#"weir_alerts_firing{ruleset="plain",rule="hot"}"#), 1.0);
    assert_eq!(figure("weir_link_connected"), 1.0);
    assert!(figure("weir_resident_bytes") > 1e6);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }

    let config = site.path().join("agent/weir.toml");
    let (ok, screen, _) = weir(&["status", "--config", config.to_str().unwrap()]);
    assert!(ok);
    for shown in ["agent gw-1", "connected", "plain", "hot", "device=m1", "v=70"] {
        assert!(screen.contains(shown), "`{shown}` is missing in\n{screen}");
    }

    let of_agent = |agents: &serde_json::Value| agents[0]["status"]["metrics"].clone();
    let agents =
        site.desk().until("/agents", |agents| of_agent(agents)["weir_spool_waiting"].is_number()).await;
    assert_eq!(of_agent(&agents)["weir_spool_waiting"], 0.0, "{agents}");
}
