//! An agent without a hub at a broker of its own, as it stands at a site; and its command line.

use serde_json::Value as Json;

use super::mosquitto::Mosquitto;
use super::programs::{AgentProgram, weir};

pub(crate) struct Gateway {
    pub(crate) broker: Mosquitto,
    pub(crate) agent: AgentProgram,
    /// Its configuration file.
    pub(crate) config: String,
    _dir: tempfile::TempDir,
}

impl Gateway {
    /// Starts it with these rules, in the set `hall`; `more` is part of its configuration.
    pub(crate) async fn start(rules: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rules");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hall.yaml"), rules).unwrap();
        let broker = Mosquitto::start();
        let config = format!(
            "rules.directory = {:?}\n{more}\n[[broker]]\nname = \"site\"\nurl = \"{}\"\n",
            folder.display().to_string(),
            broker.url()
        );
        let agent = AgentProgram::start(&dir.path().join("agent"), "gw-7", &config);
        let config = dir.path().join("agent/weir.toml").display().to_string();
        let gateway = Self { broker, agent, config, _dir: dir };
        let reads = |s: &Json| {
            let core = &s["core"];
            s["sources"][0]["connected"] == true && core["lost"].is_null() && core["rules"][0].is_object()
        };
        gateway.agent.until("it reads", reads).await;
        gateway
    }

    /// `weir alerts` there: whether it went well, what it said, and what it complained of.
    pub(crate) fn alerts(&self, args: &[&str]) -> (bool, String, String) {
        let (verb, args): (Vec<&str>, Vec<&str>) =
            args.iter().partition(|arg| ["history", "show", "resolve"].contains(arg));
        weir(&[&["alerts"][..], &verb, &["--config", &self.config], &args].concat())
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Json {
        let (ok, out, err) = self.alerts(&[args, &["--json"]].concat());
        assert!(ok, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}
