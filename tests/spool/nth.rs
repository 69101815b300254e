//! One story, in which each call of the storage fails in turn, until one run ends without a failure.

use faults::{Plan, What};
use weir::model::label::Fingerprint;
use weir::spool::{Config, Error, Kind, Spool};

use crate::model::{Model, NOW, commit};

/// From the first opening to the last closing. What is done again after a failure is done once.
struct Story {
    dir: tempfile::TempDir,
    config: Config,
    model: Model,
    spool: Option<Spool>,
}

impl Story {
    fn new() -> Self {
        let config = Config { max_bytes: 3_000, history: 5, ..Config::default() };
        let model = Model::new(config.max_bytes);
        Self { dir: tempfile::tempdir().unwrap(), config, model, spool: None }
    }

    fn open(&mut self) -> Result<(), Error> {
        self.spool = None;
        let (spool, _) = Spool::open(&self.dir.path().join("spool.db"), &self.config, NOW)?;
        assert!(spool.renewed().is_none_or(|renewed| renewed.why != weir::model::kept::Why::Damaged));
        self.spool = Some(spool);
        // What a crash brings back, the hub says again when the link stands.
        let told: Vec<_> = self.model.acknowledged.iter().map(|seq| (*seq, *seq)).collect();
        self.spool.as_mut().map_or(Ok(()), |spool| spool.forget(0, &told))
    }

    fn try_open(&mut self) {
        if let Err(error) = self.open() {
            assert_clean(&error);
        }
    }

    /// What an agent does after trouble: it tries again, and then opens the file anew.
    fn until_it_goes(&mut self, mut act: impl FnMut(&mut Spool) -> Result<(), Error>) {
        for attempt in 0.. {
            if let Some(spool) = &mut self.spool {
                match act(spool) {
                    Ok(()) => return,
                    Err(error) => assert_clean(&error),
                }
            }
            assert!(attempt < 5, "it never heals");
            if attempt > 0 {
                faults::disarm();
            }
            if attempt == 1 || self.spool.is_none() {
                self.try_open();
            }
        }
    }

    fn run(&mut self) {
        self.try_open();
        let mut random = fastrand::Rng::with_seed(5);
        let mut serial = 0;
        for round in 0..12 {
            let mut commit = commit(&mut random, &mut serial, 30);
            commit
                .transitions
                .iter_mut()
                .for_each(|one| one.fingerprint = Fingerprint(one.fingerprint.0 + round));
            let before = self.model.newest;
            self.model.commit(&commit);
            let after = self.model.newest;
            self.until_it_goes(|spool| {
                // The end of one that failed may have reached the disk.
                if spool.newest() == after && after > before {
                    return Ok(());
                }
                spool.commit(&commit, NOW).map(|_| ())
            });
            if round % 3 == 1 {
                let floor = after / 2;
                self.model.forget(floor, &[(floor + 3, floor + 6)]);
                self.until_it_goes(|spool| spool.forget(floor, &[(floor + 3, floor + 6)]));
            }
            if round == 7 {
                self.try_open();
            }
        }
        self.spool = None;
    }
}

fn assert_clean(error: &Error) {
    assert!(matches!(error.kind(), Kind::Full | Kind::Io | Kind::Other), "{:?}: {error}", error.kind());
}

#[test]
fn whichever_call_fails_the_story_ends_as_it_should() {
    let _turn = faults::turn();
    faults::install();
    for what in [What::Io, What::Half] {
        let mut calls = 0;
        // `SPOOL_CALL` begins with a later call.
        let first = std::env::var("SPOOL_CALL").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        for at in first.. {
            calls = at;
            faults::arm(Plan { what, at, times: 1 });
            let mut story = Story::new();
            story.run();
            let struck = faults::disarm();
            let (spool, loaded) =
                Spool::open(&story.dir.path().join("spool.db"), &story.config, NOW).unwrap();
            // An acknowledgement that the disk did not take comes again.
            let told: Vec<_> = story.model.acknowledged.iter().map(|seq| (*seq, *seq)).collect();
            let mut spool = spool;
            spool.forget(0, &told).unwrap();
            let fits = story.model.compare(&spool).and_then(|()| story.model.compare_loaded(&loaded));
            if let Err(why) = fits {
                panic!("{what:?}, call {at}: {why}");
            }
            drop(spool);
            faults::forget(story.dir.path());
            if !struck {
                break;
            }
        }
        println!("{what:?}: {calls} runs");
        assert!(calls > 50, "{what:?}: {calls}");
    }
}

#[test]
fn trouble_is_told_by_its_kind_with_a_way_out() {
    let _turn = faults::turn();
    faults::install();
    let mut story = Story::new();
    story.open().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let commit = commit(&mut random, &mut 0, 30);
    for (what, kind, way) in [(What::Full, Kind::Full, "make room"), (What::Io, Kind::Io, "check it")] {
        faults::arm(Plan { what, at: 1, times: u64::MAX });
        let error = story.spool.as_mut().unwrap().commit(&commit, NOW).unwrap_err();
        faults::disarm();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(way), "{error}");
    }
    let spool = story.spool.as_mut().unwrap();
    spool.commit(&commit, NOW).unwrap();
    story.model.commit(&commit);
    story.model.compare(spool).unwrap();
}
