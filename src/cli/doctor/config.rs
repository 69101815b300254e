//! The configuration, the files that it names, and the rule files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::allowed;
use super::report::{Line, ok, problem, warning};
use crate::cli::table::count;
use crate::config::{AgentConfig, DEFAULT_PATH, Error};
use crate::control::directory;
use crate::ingest::ConfigError;
use crate::model::certificate::validity;
use crate::model::diagnostic::Level;
use crate::model::message::NODE_SOURCE;
use crate::model::time::Timestamp;
use crate::plan::logical::Plan;
use crate::plan::{self, Limits};
use crate::reach;

/// Reads the configuration, and says what it holds.
pub(super) fn read(path: &Path) -> (Option<AgentConfig>, Vec<Line>) {
    const CHECK: &str = "config";
    let shown = path.display();
    let (found, advice) = match AgentConfig::load(path) {
        Ok(config) => {
            let mut lines = vec![ok(CHECK, format!("{shown}: {}", summary(&config)))];
            for broker in &config.brokers {
                // Files are looked at one by one.
                if let Err(error @ ConfigError::Value { .. }) = broker.check() {
                    let advice = format!("correct [[broker]] `{}` in {shown}", broker.name);
                    lines.push(problem(CHECK, error.to_string(), advice));
                }
            }
            if config.brokers.is_empty() && !config.node.enabled {
                lines.push(warning(
                    CHECK,
                    "there is nothing to read: no [[broker]], and `node.enabled = false`",
                    format!("add a [[broker]] to {shown}"),
                ));
            }
            return (Some(config), lines);
        }
        Err(Error::Read { source, .. }) => match source.kind() {
            io::ErrorKind::NotFound => (format!("{shown} is not there"), how_to_make(path)),
            io::ErrorKind::PermissionDenied => (
                format!("{shown} cannot be read: {source}"),
                "run this as root, or as the user that the agent runs as".to_owned(),
            ),
            _ => (format!("{shown} cannot be read: {source}"), "look at the disk".to_owned()),
        },
        Err(Error::Parse { message, .. }) => (
            format!("{shown}: {}", message.trim_end()),
            "correct that line; `weir config reference` prints every key with its meaning".to_owned(),
        ),
        Err(Error::Invalid(why)) => (format!("{shown}: {why}"), format!("correct it in {shown}")),
    };
    (None, vec![problem(CHECK, found, advice)])
}

fn how_to_make(path: &Path) -> String {
    let shown = path.display();
    let there = match path == Path::new(DEFAULT_PATH) {
        true => " (or name yours with `--config FILE`)",
        false => "",
    };
    format!(
        "make one{there}:\n  mkdir -p {} && weir config reference > {shown}\nthen set [[broker]] `name` and `url`, and [hub] `url` and `token_file` or [rules] `directory`, and run this again",
        path.parent().unwrap_or(Path::new("/")).display()
    )
}

fn summary(config: &AgentConfig) -> String {
    let brokers = match config.brokers.as_slice() {
        [] => "no broker".to_owned(),
        [one] => format!("broker `{}`", one.name),
        several => format!("{} brokers", several.len()),
    };
    let hub = match &*config.hub.url {
        "" => "no hub".to_owned(),
        url => format!("hub {url}"),
    };
    format!("agent `{}`, {brokers}, {hub}", config.agent.id)
}

/// A file that the configuration names.
struct Named<'a> {
    key: String,
    path: &'a Path,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// For nobody else to read.
    Secret,
    /// Certificates, whose first is the agent's own.
    Own,
    /// Certificates of authorities.
    Authorities,
}

/// The files that the configuration names: there, readable, kept from others, and not too old.
pub(super) fn files(config: &AgentConfig, now: Timestamp) -> Vec<Line> {
    const CHECK: &str = "files";
    let mut named: Vec<Named<'_>> = Vec::new();
    for broker in &config.brokers {
        let of = |key: &str| format!("[[broker]] `{}`: `{key}`", broker.name);
        for (key, path, what) in [
            ("password_file", &broker.password_file, What::Secret),
            ("key_file", &broker.key_file, What::Secret),
            ("cert_file", &broker.cert_file, What::Own),
            ("ca_file", &broker.ca_file, What::Authorities),
        ] {
            named.extend(path.as_deref().map(|path| Named { key: of(key), path, what }));
        }
    }
    if !config.hub.url.is_empty() {
        for (key, path, what) in [
            ("hub.token_file", &config.hub.token_file, What::Secret),
            ("hub.ca_file", &config.hub.ca_file, What::Authorities),
        ] {
            named.extend(path.as_deref().map(|path| Named { key: format!("`{key}`"), path, what }));
        }
    }
    if named.is_empty() {
        return Vec::new();
    }
    let user = Reader::of(config);
    let mut lines: Vec<Line> = named.iter().flat_map(|file| look(CHECK, file, &user, now)).collect();
    if lines.is_empty() {
        let secrets = named.iter().filter(|file| file.what == What::Secret).count();
        let kept = if secrets > 0 { ", secrets kept from others" } else { "" };
        lines.push(ok(CHECK, format!("{} named, all can be read{kept}", count(named.len() as u64, "file"))));
    }
    lines
}

/// Who must be able to read what: the agent's user, as far as that is known.
struct Reader {
    uid: u32,
    gid: u32,
    /// Whether it is somebody else than who runs this.
    other: bool,
}

impl Reader {
    /// Who runs this; where that is root and the state directory is somebody else's, that one.
    fn of(config: &AgentConfig) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = fs::metadata(&config.agent.state_dir).map(|meta| (meta.uid(), meta.gid())).ok();
        match owner.filter(|(owner, _)| uid == 0 && *owner != 0) {
            Some((uid, gid)) => Self { uid, gid, other: true },
            None => Self { uid, gid, other: false },
        }
    }
}

fn look(check: &str, file: &Named<'_>, user: &Reader, now: Timestamp) -> Vec<Line> {
    let (key, shown) = (&file.key, file.path.display());
    let meta = match fs::metadata(file.path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = match file.path.is_relative() {
                true => "; a path that does not begin with `/` counts from where the agent is started",
                false => "",
            };
            return vec![problem(
                check,
                format!("{key}: {shown} is not there"),
                format!("{}{hint}", origin(file)),
            )];
        }
        Err(error) => {
            let advice = "run this as root, or as the user that the agent runs as";
            return vec![problem(check, format!("{key}: {shown}: {error}"), advice)];
        }
    };
    let text = match fs::read(file.path) {
        Ok(text) => text,
        Err(error) => {
            let advice = format!(
                "give it to the user that the agent runs as: `chown USER {shown} && chmod 600 {shown}`"
            );
            return vec![problem(check, format!("{key}: {shown} cannot be read: {error}"), advice)];
        }
    };
    let mut lines = Vec::new();
    if user.other && !allowed(&meta, user.uid, user.gid, 0o4) {
        lines.push(problem(
            check,
            format!("{key}: {shown} cannot be read by user {}, whose the state directory is", user.uid),
            format!("`chown {} {shown}`", user.uid),
        ));
    }
    match file.what {
        What::Secret => {
            if meta.mode() & 0o007 != 0 {
                lines.push(warning(
                    check,
                    format!(
                        "{key}: every user of this machine may read {shown} (mode {:o})",
                        meta.mode() & 0o777
                    ),
                    format!("`chmod o= {shown}`"),
                ));
            }
            if text.trim_ascii().is_empty() {
                lines.push(problem(check, format!("{key}: {shown} is empty"), origin(file)));
            }
        }
        What::Own | What::Authorities => lines.extend(certificates(check, file, &text, now)),
    }
    lines
}

/// Where what a file holds comes from.
fn origin(file: &Named<'_>) -> String {
    let shown = file.path.display();
    match file.key.trim_matches('`') {
        "hub.token_file" => {
            format!("on the hub, `weir-hub tokens add AGENT` prints a token: write it to {shown}")
        }
        _ if file.what == What::Secret => format!("write it to {shown}, or correct the path"),
        _ => format!("put the PEM file there ({shown}), or correct the path"),
    }
}

fn certificates(check: &str, file: &Named<'_>, pem: &[u8], now: Timestamp) -> Option<Line> {
    let (key, shown) = (&file.key, file.path.display());
    let list = match reach::certificates(pem) {
        Ok(list) => list,
        Err(why) => {
            let advice = "put the certificates there in PEM form (`-----BEGIN CERTIFICATE-----`)";
            return Some(problem(check, format!("{key}: {shown}: {why}"), advice));
        }
    };
    let untils: Vec<Timestamp> =
        list.iter().filter_map(|one| validity(one)).map(|(_, until)| until).collect();
    match file.what {
        What::Own => expiry(check, &format!("{key}: the certificate in {shown}"), *untils.first()?, now),
        // One authority of many that is over does no harm.
        _ => {
            let last = untils.iter().max()?;
            expiry(check, &format!("{key}: every certificate in {shown}"), *last, now)
        }
    }
}

/// Days before its end from which on a certificate is warned of.
const DAYS: u64 = 14;

/// What is to say of a certificate that ends.
pub(super) fn expiry(check: &str, what: &str, until: Timestamp, now: Timestamp) -> Option<Line> {
    let advice = "replace it by a new one; where the date is wrong, set this machine's clock";
    if until < now {
        return Some(problem(check, format!("{what} expired at {until}"), advice));
    }
    let days = until.since(now).as_secs() / 86_400;
    (days < DAYS)
        .then(|| warning(check, format!("{what} expires in {}, at {until}", count(days, "day")), advice))
}

/// A rule set, compiled.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) plan: Arc<Plan>,
    /// Whether it stands in the rules directory.
    pub(super) is_of_directory: bool,
}

/// The rule files of the directory: what they hold, and which of them cannot run.
pub(super) fn rules(config: &AgentConfig) -> (Vec<Set>, Vec<Line>) {
    const CHECK: &str = "rules";
    let mut sets = Vec::new();
    let Some(dir) = &config.rules.directory else {
        let lines = match config.hub.url.is_empty() {
            true => vec![warning(
                CHECK,
                "there are no rules: neither `rules.directory` nor a hub is configured",
                "set `rules.directory` to a folder of rule files, or [hub] to a hub that pushes them",
            )],
            false => Vec::new(),
        };
        return (sets, lines);
    };
    let shown = dir.display();
    let listing = match directory::read(dir) {
        Ok(listing) => listing,
        Err(error) => {
            let advice =
                format!("make the folder, or correct `rules.directory`; its files are `{shown}/NAME.yaml`");
            return (sets, vec![problem(CHECK, format!("{shown} cannot be read: {error}"), advice)]);
        }
    };
    let mut lines: Vec<Line> = listing
        .unreadable
        .iter()
        .map(|(file, why)| {
            problem(CHECK, format!("{}: {why}", file.display()), "correct the file, or take it away")
        })
        .collect();
    let (mut rules, mut warned) = (0, 0);
    for (name, file) in &listing.files {
        let path = file.path.display();
        let text = match file.text() {
            Ok(text) => text,
            Err(why) => {
                lines.push(problem(CHECK, format!("{path}: {why}"), "see who may read it"));
                continue;
            }
        };
        let compiled = plan::compile_text(name, &text, &Limits::default());
        let of = |level: Level| compiled.diagnostics.iter().filter(move |d| d.level == level);
        warned += of(Level::Warning).count();
        match compiled.plan {
            Some(ref plan) => {
                rules += compiled.outcomes.len();
                let plan = Arc::new(plan.clone());
                sets.push(Set { name: name.to_string(), plan, is_of_directory: true });
            }
            None => {
                let errors = of(Level::Error).count();
                let first = of(Level::Error).next().map(|d| format!(", first: {d}")).unwrap_or_default();
                lines.push(problem(
                    CHECK,
                    format!("{path} cannot run: {}{first}", count(errors as u64, "error")),
                    format!(
                        "`weir check {path}` shows each at its place; until then, what ran before runs on"
                    ),
                ));
            }
        }
    }
    let counted = |n: usize, what: &str| count(n as u64, what);
    if warned > 0 {
        lines.push(warning(
            CHECK,
            format!("{shown}: {} of rule files", counted(warned, "warning")),
            format!("`weir check {shown}` shows them"),
        ));
    }
    if listing.files.is_empty() && listing.unreadable.is_empty() && config.hub.url.is_empty() {
        lines.push(warning(
            CHECK,
            format!("{shown} has no rule files (*.yaml, *.yml, *.json)"),
            "put one there; `weir check FILE` reads it first",
        ));
    } else if lines.is_empty() {
        lines.push(ok(
            CHECK,
            format!("{shown}: {}, {}", counted(listing.files.len(), "file"), counted(rules, "rule")),
        ));
    }
    (sets, lines)
}

/// Streams that read from a source that there is not.
pub(super) fn sources(config: &AgentConfig, sets: &[Set]) -> Vec<Line> {
    let known = |source: &str| source == NODE_SOURCE || config.brokers.iter().any(|b| b.name == source);
    let mut lines = Vec::new();
    for set in sets {
        for stream in &set.plan.streams {
            if let Some(source) = stream.source.as_deref().filter(|source| !known(source)) {
                lines.push(warning(
                    "rules",
                    format!("stream `{}` of `{}` reads from the source `{source}`, and no [[broker]] has that name", stream.name, set.name),
                    "correct SOURCE in the rule file, or the broker's `name`: until then its rules see nothing",
                ));
            }
        }
    }
    lines
}

/// A path as people would write it in a shell.
pub(super) fn config_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::Mark;

    #[test]
    fn a_certificate_is_warned_of_before_it_ends() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let until = at("2026-03-01T00:00:00Z");
        let mark = |now: &str| expiry("hub", "the certificate", until, at(now)).map(|line| line.mark);
        assert_eq!(mark("2026-01-01T00:00:00Z"), None);
        assert_eq!(mark("2026-02-20T00:00:00Z"), Some(Mark::Warning));
        assert_eq!(mark("2026-03-01T00:00:01Z"), Some(Mark::Problem));
    }

    #[test]
    fn a_source_that_is_not_there_is_named() {
        let text = "streams:\n  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{d}', SOURCE='hall')\nrules:\n  - {id: x, sql: SELECT v FROM a, when: v > 1}\n";
        let plan = plan::compile_text("s", text, &Limits::default()).plan.unwrap();
        let sets = [Set { name: "s".to_owned(), plan: Arc::new(plan), is_of_directory: true }];
        let mut config = AgentConfig::default();
        let lines = sources(&config, &sets);
        assert!(lines[0].found.contains("`hall`"), "{lines:?}");
        config.brokers.push(crate::ingest::BrokerConfig::new("hall", "mqtt://b"));
        assert_eq!(sources(&config, &sets), []);
    }
}
