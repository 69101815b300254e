//! The reference configuration against what the program takes.

use std::path::Path;

use weir::config::{AgentConfig, REFERENCE};
use weir::ingest::BrokerConfig;

fn everything_in_force() -> String {
    in_force(REFERENCE)
}

/// A reference file with every key that is commented out put in force.
fn in_force(reference: &str) -> String {
    let key = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let is_key = rest.starts_with('[')
            || rest
                .split_once(" = ")
                .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        is_key.then(|| rest.to_owned())
    };
    let lines: Vec<String> =
        reference.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned())).collect();
    lines.join("\n")
}

/// Every key of a table, as `section.key`.
fn keys(table: &toml::Table, prefix: &str, into: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => keys(inner, &format!("{prefix}{key}."), into),
            toml::Value::Array(list) => {
                for inner in list.iter().filter_map(toml::Value::as_table) {
                    keys(inner, &format!("{prefix}{key}."), into);
                }
            }
            _ => into.push(format!("{prefix}{key}")),
        }
    }
}

#[test]
fn the_packaged_file_is_the_reference() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/weir.toml");
    assert_eq!(std::fs::read_to_string(file).unwrap(), REFERENCE);
    let (ok, printed, _) = crate::support::programs::weir(&["config", "reference"]);
    assert!(ok);
    assert_eq!(printed, REFERENCE);
}

#[test]
fn the_configurations_for_clusters_are_taken() {
    for file in ["agent/weir.toml", "overlays/edge-node/weir.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes").join(file);
        // The labels of the pod are not here.
        let text = std::fs::read_to_string(&file).unwrap();
        let mut config: AgentConfig = toml::from_str(&text).unwrap();
        assert!(config.agent.labels_file.is_some());
        for broker in &mut config.brokers {
            // The agent calls itself so.
            broker.client_id = Some("weir-node-1".to_owned());
            broker.check().unwrap();
        }
        assert!(config.hub.url.starts_with("https://") && config.hub.ca_file.is_some(), "{}", file.display());
    }
}

#[test]
fn as_it_stands_it_is_the_default() {
    let read: AgentConfig = toml::from_str(REFERENCE).unwrap();
    assert_eq!(read, AgentConfig::default());
}

#[test]
fn it_names_every_key_with_its_default() {
    let shown: toml::Table = toml::from_str(&everything_in_force()).unwrap();
    let config: AgentConfig = toml::from_str(&everything_in_force()).expect("every key in it is taken");
    let mut in_file = Vec::new();
    keys(&shown, "", &mut in_file);

    // What the program would write holds every key that has a value.
    let mut known = Vec::new();
    keys(&toml::Table::try_from(&config).unwrap(), "", &mut known);
    let missing: Vec<&String> = known.iter().filter(|key| !in_file.contains(key)).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");

    // Examples have no default of their own; all else is shown with it.
    let default = AgentConfig::default();
    assert_eq!((config.node, config.spool), (default.node, default.spool));
    assert_eq!(config.hub.keep_alive, default.hub.keep_alive);
    assert_eq!(config.hub.status_interval, default.hub.status_interval);
    assert_eq!(config.agent.state_dir, default.agent.state_dir);
    let plain = BrokerConfig::new("plant", "mqtt://127.0.0.1:1883");
    let shown = &config.brokers[0];
    let defaults = |b: &BrokerConfig| {
        (b.version, b.keep_alive, b.session_expiry, b.max_packet, b.receive_maximum, b.qos)
    };
    assert_eq!(defaults(shown), defaults(&plain));
}

#[test]
fn a_wrong_key_is_told_with_its_line_and_the_keys_that_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weir.toml");
    std::fs::write(&file, "[agent]\nid = \"a\"\n[spool]\nmax_bites = 5\n").unwrap();
    let error = AgentConfig::load(&file).unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("max_bytes"), "{error}");
}

/// The keys that the program takes in a table, as its own complaint about one that it does not take names them.
fn keys_taken(complaint: &str) -> Vec<String> {
    let (_, list) = complaint.split_once("expected one of ").expect("it names what there is");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_hubs_file_holds_every_key_and_its_defaults() {
    type Config = weir::hub::Config;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/weir-hub.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let default = format!("{:?}", Config::default());
    assert_eq!(format!("{:?}", toml::from_str::<Config>(&text).unwrap()), default);

    let all = in_force(&text);
    let config: Config = toml::from_str(&all).expect("every key in it is taken");
    let plain = weir::hub::cloudevents::Target::new("pager", "https://pager.example/alerts");
    let shown = &config.targets[0];
    assert_eq!(
        (shown.structured, shown.backoff, shown.backoff_max),
        (plain.structured, plain.backoff, plain.backoff_max)
    );
    let defaults = |c: &Config| (c.grpc_listen, c.http_listen, c.most_waiting);
    assert_eq!(defaults(&config), defaults(&Config::default()));

    let shown: toml::Table = toml::from_str(&all).unwrap();
    let mut in_file = Vec::new();
    keys(&shown, "", &mut in_file);
    for (wrong, prefix) in [("x = 1", ""), ("[[targets]]\nname = 'a'\nurl = 'b'\nx = 1", "targets.")] {
        for key in keys_taken(&toml::from_str::<Config>(wrong).unwrap_err().to_string()) {
            let key = format!("{prefix}{key}");
            let there = |known: &String| known == &key || known.starts_with(&format!("{key}."));
            assert!(in_file.iter().any(there), "not in the file: {key}");
        }
    }
}

#[test]
fn the_documents_hold_both_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    for file in ["packaging/weir.toml", "packaging/weir-hub.toml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(page.contains(&format!("```toml\n{text}```\n")), "docs/configuration.md is not {file}");
    }
}

#[test]
fn a_broker_needs_no_client_id_as_the_agent_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weir.toml");
    let text = "[agent]\nid = \"gw-7\"\n[[broker]]\nname = \"plant\"\nurl = \"mqtt://127.0.0.1:1883\"\n";
    std::fs::write(&file, text).unwrap();
    let at = file.to_str().unwrap();
    for args in [&["config", "check", at][..], &["config", "check", "--config", at]] {
        let (ok, printed, said) = crate::support::programs::weir(args);
        assert!(ok, "{said}");
        assert!(printed.contains("agent `gw-7`, 1 broker"), "{printed}");
    }
    assert_eq!(AgentConfig::load(&file).unwrap().brokers[0].client_id.as_deref(), Some("weir-gw-7"));
}
