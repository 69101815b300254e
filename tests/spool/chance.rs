//! Random stories over random trouble.

use std::collections::BTreeMap;
use std::path::PathBuf;

use faults::{Plan, What};
use weir::model::kept::Why;
use weir::spool::{Config, Kind, Spool};

use crate::model::{Model, NOW, Row, commit, text};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_spool_is_its_model_whatever_happens_to_the_disk() {
    let _turn = faults::turn();
    faults::install();
    let first = number("SPOOL_SEED", fastrand::u64(..1 << 40));
    for seed in first..first + number("SPOOL_CASES", 150) {
        if let Err(why) = Story::new(seed).and_then(Story::tell) {
            panic!("SPOOL_SEED={seed} SPOOL_CASES=1: {why}");
        }
    }
}

struct Story {
    dir: tempfile::TempDir,
    random: fastrand::Rng,
    config: Config,
    model: Model,
    /// What the model would be had the last commit, which failed, gone through: while nothing was committed since, its
    /// end may have reached the disk.
    maybe: Option<Model>,
    /// Every row of the number space, as it was last.
    rows: BTreeMap<u64, Row>,
    maybe_rows: Option<BTreeMap<u64, Row>>,
    serial: u64,
    epoch: u64,
    spool: Option<Spool>,
    most: usize,
}

impl Story {
    fn new(seed: u64) -> Result<Self, String> {
        let mut random = fastrand::Rng::with_seed(seed);
        let max_bytes = *random.choice([600, 4_000, 1 << 20].iter()).unwrap_or(&600);
        let most = *random.choice([3, 3, 20, 400].iter()).unwrap_or(&3);
        let config = Config { max_bytes, history: random.usize(0..20), ..Config::default() };
        let mut story = Self {
            dir: tempfile::tempdir().map_err(|error| error.to_string())?,
            random,
            config,
            model: Model::new(max_bytes),
            maybe: None,
            rows: BTreeMap::new(),
            maybe_rows: None,
            serial: 0,
            epoch: 0,
            spool: None,
            most,
        };
        faults::disarm();
        story.open()?;
        Ok(story)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("spool.db")
    }

    fn tell(mut self) -> Result<(), String> {
        for step in 0..self.random.usize(5..40) {
            self.step().map_err(|why| format!("step {step}: {why}"))?;
        }
        self.open()?;
        self.spool = None;
        faults::forget(self.dir.path());
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let trouble = self.random.u8(0..3) == 0;
        let what =
            *self.random.choice([What::Full, What::Half, What::Io, What::Power].iter()).unwrap_or(&What::Io);
        let plan = Plan {
            what,
            at: self.random.u64(1..40),
            times: if what == What::Power { u64::MAX } else { self.random.u64(1..8) },
        };
        if trouble {
            faults::arm(plan);
        }
        let result = match self.random.u8(0..20) {
            0..11 => self.commit(),
            11..16 => self.forget(),
            16 => self.renew(),
            _ => {
                // What it holds is compared when it is opened again.
                self.spool = None;
                Ok(())
            }
        };
        let struck = faults::disarm();
        match result {
            Ok(()) => {}
            Err(Trouble::Wrong(why)) => return Err(why),
            Err(Trouble::Failed(kind, why)) => {
                if !struck || matches!(kind, Kind::Damaged | Kind::ReadOnly) {
                    return Err(format!("failed though nothing was wrong ({plan:?}): {kind:?}: {why}"));
                }
            }
        }
        if struck && what == What::Power {
            self.spool = None;
            faults::lose_power(&mut self.random).map_err(|error| error.to_string())?;
            self.open()?;
        } else if self.spool.is_none() || self.random.u8(0..8) == 0 {
            self.open()?;
        }
        self.compare()
    }

    /// Opens what was closed or lost, and takes over what may or may not have happened.
    fn open(&mut self) -> Result<(), String> {
        self.spool = None;
        let (spool, loaded) = Spool::open(&self.path(), &self.config, NOW).map_err(text)?;
        if spool.renewed().is_some_and(|renewed| renewed.why == Why::Damaged) {
            return Err(format!("it was taken for damaged: {:?}", spool.renewed()));
        }
        if self.epoch == 0 {
            self.epoch = spool.epoch();
        }
        let mut models = vec![(self.model.clone(), self.rows.clone())];
        models.extend(self.maybe.take().zip(self.maybe_rows.take()));
        let mut why = String::new();
        for (mut model, rows) in models.into_iter().rev() {
            let fits = model
                .take_back(&spool, &rows)
                .and_then(|()| model.compare(&spool))
                .and_then(|()| model.compare_loaded(&loaded));
            match fits {
                Ok(()) => {
                    (self.model, self.rows) = (model, rows);
                    self.epoch = spool.epoch();
                    self.spool = Some(spool);
                    return Ok(());
                }
                Err(not) => why = format!("{why}; {not}"),
            }
        }
        Err(format!("after opening: {why}"))
    }

    fn compare(&self) -> Result<(), String> {
        let spool = self.spool.as_ref().ok_or("it is closed")?;
        if spool.epoch() != self.epoch {
            return Err("it has another epoch".to_owned());
        }
        self.model.compare(spool)
    }

    fn commit(&mut self) -> Result<(), Trouble> {
        let commit = commit(&mut self.random, &mut self.serial, self.most);
        let mut after = self.model.clone();
        after.commit(&commit);
        let mut rows = self.rows.clone();
        rows.extend(after.waiting.clone());
        let result = self.open_spool()?.commit(&commit, NOW);
        self.settle(result.map(|_| ()), after, rows)
    }

    fn forget(&mut self) -> Result<(), Trouble> {
        let newest = self.model.newest;
        let floor = self.random.u64(0..=newest + 2);
        let mut above = Vec::new();
        for _ in 0..self.random.u8(0..3) {
            let first = self.random.u64(1..=newest + 3);
            above.push((first, first + self.random.u64(0..20)));
        }
        let floor = if self.random.bool() { floor / 4 } else { floor };
        let mut after = self.model.clone();
        after.forget(floor, &above);
        let spool = self.open_spool()?;
        let result = spool.forget(floor, &above);
        // Where it was only to be written down, it counts nonetheless.
        let took = after.acknowledged.iter().all(|seq| spool.acknowledged().contains(*seq));
        if result.is_err() && took {
            self.model = after;
            return result.map_err(Trouble::from);
        }
        let rows = self.rows.clone();
        // What it writes down is what memory has.
        let maybe = self.maybe.take().zip(self.maybe_rows.take());
        let settled = self.settle(result, after, rows);
        if settled.is_ok() && self.maybe.is_none() {
            (self.maybe, self.maybe_rows) = maybe.unzip();
            if let Some(maybe) = &mut self.maybe {
                maybe.forget(floor, &above);
            }
        }
        settled
    }

    fn renew(&mut self) -> Result<(), Trouble> {
        let mut after = self.model.clone();
        after.renew();
        let rows = after.waiting.clone();
        let spool = self.open_spool()?;
        let before = spool.epoch();
        let result = spool.renew_epoch(NOW.wall);
        let epoch = spool.epoch();
        if result.is_ok() {
            if epoch == before {
                return Err(Trouble::Wrong("the epoch stayed".to_owned()));
            }
            self.epoch = epoch;
        }
        self.settle(result, after, rows)
    }

    fn open_spool(&mut self) -> Result<&mut Spool, Trouble> {
        self.spool.as_mut().ok_or_else(|| Trouble::Wrong("it is closed".to_owned()))
    }

    fn settle(
        &mut self,
        result: Result<(), weir::spool::Error>,
        after: Model,
        rows: BTreeMap<u64, Row>,
    ) -> Result<(), Trouble> {
        match result {
            Ok(()) => {
                (self.model, self.rows) = (after, rows);
                (self.maybe, self.maybe_rows) = (None, None);
                Ok(())
            }
            Err(error) => {
                (self.maybe, self.maybe_rows) = (Some(after), Some(rows));
                Err(error.into())
            }
        }
    }
}

enum Trouble {
    /// The spool said so.
    Failed(Kind, String),
    /// The spool is wrong.
    Wrong(String),
}

impl From<weir::spool::Error> for Trouble {
    fn from(error: weir::spool::Error) -> Self {
        Self::Failed(error.kind(), error.to_string())
    }
}
