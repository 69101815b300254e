//! The way back: rule sets from the hub and from the directory become changes of the core, one at
//! a time, each compiled off the core's thread and durable before it is reported.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::control::{self, Admitted, directory, store};
use crate::failpoint;
use crate::model::ruleset::{ContentHash, Desired, DesiredSet, Origin, Outcome, RuleReport};
use crate::plan;
use crate::tasks::{self, Stop};

use super::core::{Fresh, Limits};
use super::driver::{Command, RunningSet};
use super::status::RefusedFile;

/// How often the directory is read. A ConfigMap takes longer than this to arrive.
const LOOK: Duration = Duration::from_secs(2);

/// The task that changes what runs.
pub(super) struct Rules {
    pub(super) agent: Arc<str>,
    /// What the core holds to.
    pub(super) limits: Limits,
    pub(super) directory: Option<PathBuf>,
    /// What the hub wants.
    pub(super) desired: mpsc::Receiver<Desired>,
    /// Where the hub hears what became of it.
    pub(super) reports: mpsc::Sender<RuleReport>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Rule files that cannot run, for `weir status`.
    pub(super) refused: watch::Sender<Vec<RefusedFile>>,
}

/// The agent stops: nobody is there to take the change.
struct Gone;

type Running = BTreeMap<Arc<str>, RunningSet>;

impl Rules {
    /// Runs until the stop.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What each file was when it was last tried: a refused file is not tried again and again.
        let mut tried: HashMap<Arc<str>, ContentHash> = HashMap::new();
        if self.directory.is_none() && self.leave_directory().await.is_err() {
            return;
        }
        loop {
            let done = tokio::select! {
                () = stop.stopped() => return,
                desired = self.desired.recv() => match desired {
                    Some(desired) => self.pushed(desired).await,
                    None => return,
                },
                _ = look.tick(), if self.directory.is_some() => self.look(&mut tried).await,
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Ends the sets of a directory that is configured no more.
    async fn leave_directory(&self) -> Result<(), Gone> {
        for (name, set) in self.running().await? {
            if set.origin == Origin::Directory {
                tracing::info!(ruleset = %name, "no rules directory is configured; its rules end");
                self.ask(|done| Command::Remove(name, done)).await?;
            }
        }
        Ok(())
    }

    /// What the hub wants: each set is swapped as a whole, and reported.
    async fn pushed(&mut self, desired: Desired) -> Result<(), Gone> {
        for name in desired.removed {
            let from_hub = self.running().await?.get(&name).is_some_and(|set| set.origin == Origin::Hub);
            if from_hub {
                tracing::info!(ruleset = %name, "rule set removed by the hub");
                self.ask(|done| Command::Remove(name, done)).await?;
            }
        }
        for set in desired.sets {
            let report = self.pushed_set(set).await?;
            self.reports.send(report).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    async fn pushed_set(&mut self, desired: DesiredSet) -> Result<RuleReport, Gone> {
        let running = self.running().await?;
        let own = running.get(&desired.name);
        if own.is_some_and(|set| set.origin == Origin::Directory) {
            return Ok(control::name_taken(&desired));
        }
        let before = own.map(|set| set.compiled.clone());
        let texts = match own {
            Some(_) => self.ask(|reply| Command::Texts(desired.name.clone(), reply)).await?,
            None => None,
        };
        let attempted = desired.hash;
        let starting = self.starting(before.is_none());
        let compiled = tasks::behind("rules", move || {
            failpoint::reach("rules.compile");
            let kept = texts.and_then(|bytes| store::decode(&bytes)).map(|stored| stored.items);
            let items = control::assemble(&desired, kept.as_deref().unwrap_or_default()).map_err(Box::new)?;
            let (name, revision) = (&desired.name, desired.revision);
            control::admit(name, Origin::Hub, revision, &items, before.as_ref(), &plan::Limits::default())
                .map(starting)
        });
        match compiled.await.map_err(|_| Gone)? {
            // It is sent again, whole.
            Err(report) if report.outcome == Outcome::Failed => Ok(*report),
            Ok((admitted, fresh)) => {
                let report = admitted.report();
                self.start(admitted, fresh).await?;
                Ok(report)
            }
            Err(mut report) => {
                report.hash = attempted;
                tracing::warn!(
                    ruleset = %report.set,
                    revision = report.revision,
                    findings = report.diagnostics.len(),
                    first = report.diagnostics.first().map(ToString::to_string),
                    "pushed rule set refused; what ran before runs on"
                );
                let refused = Command::Refused(report.set.clone(), report.hash);
                self.commands.send(refused).await.map_err(|_| Gone)?;
                Ok(*report)
            }
        }
    }

    /// Compares the directory with what runs.
    async fn look(&mut self, tried: &mut HashMap<Arc<str>, ContentHash>) -> Result<(), Gone> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        let read = tasks::spawn_blocking(move || (directory::read(&directory), directory));
        let listing = match read.await.map_err(|_| Gone)? {
            (Ok(listing), _) => listing,
            (Err(error), directory) => {
                let refused = RefusedFile {
                    file: directory.display().to_string(),
                    why: vec![format!("{error}; the rules that run stay")],
                };
                self.refused.send_if_modified(|old| replace(old, vec![refused]));
                return Ok(());
            }
        };
        let mut refused: Vec<RefusedFile> = listing
            .unreadable
            .iter()
            .map(|(path, why)| RefusedFile { file: path.display().to_string(), why: vec![why.clone()] })
            .collect();
        let running = self.running().await?;
        for (name, file) in &listing.files {
            let shown = file.path.display().to_string();
            if running.get(name).is_some_and(|set| set.origin == Origin::Hub) {
                let why = format!("a set named `{name}` was pushed by the hub; name the file otherwise");
                refused.push(RefusedFile { file: shown, why: vec![why] });
                continue;
            }
            if tried.get(name) == Some(&file.hash) {
                refused.extend(self.refused.borrow().iter().find(|r| r.file == shown).cloned());
                continue;
            }
            tried.insert(name.clone(), file.hash);
            let (set, file) = (name.clone(), file.clone());
            let before = running.get(name).map(|set| set.compiled.clone());
            let starting = self.starting(before.is_none());
            let compiled = tasks::behind("rules", move || {
                let text = file.text()?;
                Ok(control::admit_file_on(&set, &text, before.as_ref(), &plan::Limits::default())
                    .map(starting))
            });
            let compiled = match compiled.await.map_err(|_| Gone)? {
                Ok(compiled) => compiled,
                Err(why) => {
                    // It went while it was looked at.
                    tried.remove(name);
                    refused.push(RefusedFile { file: shown, why: vec![why] });
                    continue;
                }
            };
            match compiled {
                Ok((admitted, _)) if running.get(name).is_some_and(|set| set.hash == admitted.hash) => {}
                Ok((admitted, fresh)) => self.start(admitted, fresh).await?,
                Err(report) => {
                    let why: Vec<String> = report.diagnostics.iter().map(ToString::to_string).collect();
                    tracing::warn!(
                        file = shown,
                        first = why.first(),
                        "rule file refused; what ran before runs on"
                    );
                    refused.push(RefusedFile { file: shown, why });
                }
            }
        }
        tried.retain(|name, _| listing.files.contains_key(name));
        let unreadable: Vec<_> =
            listing.unreadable.iter().filter_map(|(path, _)| directory::set_name(path)).collect();
        for (name, set) in &running {
            let there = listing.files.contains_key(name) || unreadable.contains(name);
            if set.origin == Origin::Directory && !there {
                tracing::info!(ruleset = %name, "rule file gone; its rules end");
                self.ask(|done| Command::Remove(name.clone(), done)).await?;
            }
        }
        self.refused.send_if_modified(|old| replace(old, refused));
        Ok(())
    }

    /// Makes what a set starts from, where none of its name runs.
    fn starting(
        &self,
        is_new: bool,
    ) -> impl FnOnce(Admitted) -> (Admitted, Option<Box<Fresh>>) + Send + 'static {
        let (agent, limits) = (self.agent.clone(), self.limits);
        move |admitted| {
            let fresh = is_new.then(|| Box::new(Fresh::new(&admitted.plan, &agent, limits)));
            (admitted, fresh)
        }
    }

    /// Lets an admitted set run, and waits until that is durable.
    async fn start(&self, admitted: Admitted, fresh: Option<Box<Fresh>>) -> Result<(), Gone> {
        tracing::info!(
            ruleset = %admitted.name,
            origin = admitted.origin.name(),
            revision = admitted.revision,
            rules = admitted.plan.len(),
            "rule set runs"
        );
        // What ran before is dropped here, where no message waits for it.
        self.ask(|done| Command::Run(Box::new(admitted), fresh, done)).await.map(drop)
    }

    async fn running(&self) -> Result<Running, Gone> {
        self.ask(Command::Sets).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}

fn replace(old: &mut Vec<RefusedFile>, new: Vec<RefusedFile>) -> bool {
    let changed = *old != new;
    *old = new;
    changed
}
