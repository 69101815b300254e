//! Which readers of a stream a row can matter to, without asking each of them.
//!
//! A reader's condition is a disjunction of conjunctions of [atoms](Atom). A conjunction is one entry: it
//! stands in the cluster of its access predicate, an equality, which a row finds by hashing its own
//! value; there sorted by a threshold; and what is left of it is checked where both are true. (Fabret,
//! Jacobsen, Llirbat, Pereira, Ross, Shasha: Filtering Algorithms and Implementation for Very Fast
//! Publish/Subscribe Systems, SIGMOD 2001.) What has no atom is given for every row.
//!
//! It gives a superset, never less: who is given is asked as if there were no index, but for what it
//! proved. It holds no state that an answer depends on.

mod atom;
mod axis;
mod cluster;
mod condition;
mod slab;
mod way;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::model::value::Value;

use self::atom::Mark;
use self::axis::{Rest, Tail};
use self::cluster::{Members, Spot};
use self::slab::Slab;
use self::way::{Cluster, Place, Way};

pub(super) use self::atom::{Atom, Test};
pub(super) use self::condition::{Condition, Conjunction, Terms, is_total};

/// How many rows a residual may be checked for in vain before another of its atoms becomes the access
/// predicate; each time twice as many. As every choice is given the same number of vain checks, most
/// rows fall into the reign of the most selective one.
const PATIENCE: u32 = 64;

/// A reader that a row can matter to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

/// What is known of a row and a reader that it can matter to. Of several, what stands first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The whole condition is true.
    Proved,
    /// An alert of the reader is active that the row belongs to.
    Awake,
    /// Nothing.
    Open,
}

impl Standing {
    /// Whether the whole condition is true, or nothing is known.
    const fn of(proved: bool) -> Self {
        if proved { Self::Proved } else { Self::Open }
    }
}

impl Candidate {
    /// A reader, and how it stands to the row.
    #[inline]
    pub(super) fn new(reader: u32, standing: Standing) -> Self {
        Self(u64::from(reader) << 2 | standing as u64)
    }

    /// Whose it is.
    #[inline]
    pub(super) fn reader(self) -> u32 {
        u32::try_from(self.0 >> 2).unwrap_or(u32::MAX)
    }

    /// How it stands to the row.
    #[inline]
    pub(super) const fn standing(self) -> Standing {
        match self.0 & 3 {
            0 => Standing::Proved,
            1 => Standing::Awake,
            _ => Standing::Open,
        }
    }

    /// Whether the whole condition is known to be true.
    #[inline]
    pub(super) const fn is_proved(self) -> bool {
        matches!(self.standing(), Standing::Proved)
    }
}

/// The conditions of the readers of one stream.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// What rows are looked up by.
    ways: Vec<Way>,
    /// By the hash of their mark and way.
    clusters: HashTable<Cluster>,
    /// The entries without an equality.
    root: Root,
    residuals: Slab<Residual>,
    /// Residuals that were checked in vain too often.
    hot: Vec<u32>,
    /// The slots that are known before a payload is read, by place.
    early: Vec<bool>,
    entries: usize,
}

#[derive(Debug)]
struct Root(Members);

impl Default for Root {
    fn default() -> Self {
        Self(Members::new())
    }
}

/// A conjunction that is more than an equality and a threshold.
#[derive(Debug)]
struct Residual {
    reader: u32,
    conjunction: Conjunction,
    /// Which [access](Access) it has, by its place among all that it could have.
    choice: usize,
    /// How often it was checked in vain, and how often it may be.
    vain: u32,
    patience: u32,
}

/// The atoms that lead to an entry, by their place in its conjunction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    equal: Option<usize>,
    threshold: Option<usize>,
}

/// Where a conjunction stands in the index, for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    /// The equality or prefix that leads to its cluster.
    pub(super) equal: Option<Atom>,
    /// The comparison by which it is sorted there.
    pub(super) threshold: Option<Atom>,
    /// What is checked then.
    pub(super) residual: Vec<Atom>,
    /// Whether that is all of the condition. Else the rest is asked of the row as if there were no index.
    pub(super) exact: bool,
    /// How many entries the cluster has, this one included.
    pub(super) cluster: usize,
    /// How many of them are sorted like this one.
    pub(super) beside: usize,
}

impl Index {
    /// An index whose rows tell some of their slots before the payload is read: where there is a
    /// choice, an equality on one of these leads.
    pub(super) fn new(early: Vec<bool>) -> Self {
        Self { early, ..Self::default() }
    }

    /// How many slots rows have.
    pub(super) fn slots(&self) -> usize {
        self.early.len()
    }

    /// Rows have further slots, of which this is known; nothing is different about those that they had.
    pub(super) fn reads(&mut self, early: Vec<bool>) {
        self.early = early;
    }

    /// Puts a reader's condition in. A reader may stand in it once.
    pub(super) fn insert(&mut self, reader: u32, condition: Condition) {
        for conjunction in condition.any {
            self.entries += 1;
            let choice = self.first_choice(&conjunction);
            self.link(reader, conjunction, choice, PATIENCE);
        }
    }

    /// Gives back the room that it took while readers came, but for a few that may come later.
    pub(super) fn shrink(&mut self) {
        let spare = self.clusters.len() / 16;
        self.clusters.shrink_to(self.clusters.len() + spare, Cluster::hash);
        self.residuals.shrink();
    }

    /// Takes a reader's condition out, which must be the one that it was put in with.
    pub(super) fn remove(&mut self, reader: u32, condition: &Condition) {
        for conjunction in &condition.any {
            let found = (0..self.choices(conjunction)).any(|choice| {
                let access = self.access(conjunction, choice);
                let rest = self.rest(conjunction, access);
                self.unlink(reader, conjunction, access, |tail, residuals| match rest {
                    Some(rest) => tail.rest == rest,
                    None => residuals.get(tail.rest.0).is_some_and(|r| r.conjunction == *conjunction),
                })
                .is_some()
            });
            self.entries -= usize::from(found);
        }
    }

    /// The one reader that there is, where every row can matter to it.
    #[inline]
    pub(super) fn only(&self) -> Option<Candidate> {
        let tail = (self.entries == 1).then(|| self.root.0.only())??;
        let known = tail.rest == Rest::PROVED || tail.rest == Rest::OPAQUE;
        known.then(|| Candidate::new(tail.reader, Standing::of(tail.rest == Rest::PROVED)))
    }

    /// Every reader that a row of these slots can matter to, each once, in their order, in the place of
    /// what `out` held.
    pub(super) fn candidates(&mut self, slots: &[Value], out: &mut Vec<Candidate>) {
        out.clear();
        {
            let Self { ways, clusters, root, residuals, hot, .. } = self;
            let mut give = |tail: Tail| {
                if tail.rest == Rest::PROVED || tail.rest == Rest::OPAQUE {
                    out.push(Candidate::new(tail.reader, Standing::of(tail.rest == Rest::PROVED)));
                } else if let Some(residual) = residuals.get_mut(tail.rest.0) {
                    if residual.conjunction.atoms.iter().all(|atom| atom.holds(slots)) {
                        out.push(Candidate::new(tail.reader, Standing::of(residual.conjunction.exact)));
                    } else {
                        residual.vain += 1;
                        if residual.vain == residual.patience {
                            hot.push(tail.rest.0);
                        }
                    }
                }
            };
            for (way, at) in ways.iter().zip(0..) {
                let Some(value) = slots.get(way.slot as usize).filter(|_| way.clusters > 0) else { continue };
                let Some(mark) = way.mark(value) else { continue };
                let is = |cluster: &Cluster| cluster.is(at, *way, mark, value);
                if let Some(cluster) = clusters.find(mark.hash(at), is) {
                    cluster.members.passed(slots, &mut give);
                }
            }
            root.0.passed(slots, &mut give);
        }
        if !self.hot.is_empty() {
            self.choose_again();
        }
        if out.len() > 1 {
            out.sort_unstable();
            out.dedup_by_key(|candidate| candidate.reader());
        }
    }

    /// Whether a row can matter to anyone, of which only some slots are known. `false` is certain.
    pub(super) fn cares(&self, known: &[(usize, &Value)]) -> bool {
        if !self.root.0.is_empty() {
            return true;
        }
        self.ways.iter().zip(0..).filter(|(way, _)| way.clusters > 0).any(|(way, at)| {
            let Some((_, value)) = known.iter().find(|(slot, _)| *slot == way.slot as usize) else {
                return true;
            };
            way.mark(value).is_some_and(|mark| {
                self.clusters.find(mark.hash(at), |cluster| cluster.is(at, *way, mark, value)).is_some()
            })
        })
    }

    /// Where each conjunction of a reader's condition stands.
    pub(super) fn placed(&self, reader: u32, condition: &Condition) -> Vec<Placed> {
        let of = |conjunction: &Conjunction| {
            let residual = |r: &Residual| r.reader == reader && r.conjunction == *conjunction;
            let chosen = self.residuals.iter().find(|r| residual(r)).map_or(0, |r| r.choice);
            let access = self.access(conjunction, chosen);
            let atom = |at: Option<usize>| at.and_then(|at| conjunction.atoms.get(at));
            let spot = spot(conjunction, access);
            let members = match access.equal.and_then(|at| conjunction.atoms.get(at)) {
                None => Some(&self.root.0),
                Some(equal) => self.cluster(equal).map(|cluster| &cluster.members),
            };
            let led = |at: &usize| Some(*at) != access.equal && Some(*at) != access.threshold;
            Placed {
                equal: atom(access.equal).cloned(),
                threshold: atom(access.threshold).cloned(),
                residual: (0..conjunction.atoms.len())
                    .filter(led)
                    .filter_map(|at| conjunction.atoms.get(at).cloned())
                    .collect(),
                exact: conjunction.exact,
                cluster: members.map_or(0, Members::len),
                beside: members.map_or(0, |members| members.beside(spot.by)),
            }
        };
        condition.any.iter().map(of).collect()
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.entries
    }

    /// The equalities that can lead to an entry: of those on early slots, if there are any.
    fn equalities<'c>(&'c self, conjunction: &'c Conjunction) -> impl Iterator<Item = usize> + 'c {
        let early = |atom: &Atom| self.early.get(atom.slot as usize).copied().unwrap_or(false);
        let some = conjunction.atoms.iter().any(|atom| leads(atom) && early(atom));
        let atoms = conjunction.atoms.iter().enumerate();
        atoms.filter(move |(_, atom)| leads(atom) && (!some || early(atom))).map(|(at, _)| at)
    }

    /// How many accesses a conjunction can have: each equality with each threshold.
    fn choices(&self, conjunction: &Conjunction) -> usize {
        self.equalities(conjunction).count().max(1) * thresholds(conjunction).count().max(1)
    }

    fn access(&self, conjunction: &Conjunction, choice: usize) -> Access {
        let each = thresholds(conjunction).count().max(1);
        Access {
            equal: self.equalities(conjunction).nth(choice / each),
            threshold: thresholds(conjunction).nth(choice % each),
        }
    }

    /// The access whose equality tells the most clusters apart, as far as that is known.
    fn first_choice(&self, conjunction: &Conjunction) -> usize {
        let choices = self.choices(conjunction);
        if choices == 1 {
            return 0;
        }
        let clusters = |choice: &usize| {
            let equal = self.access(conjunction, *choice).equal;
            let way = equal.and_then(|at| self.way(conjunction.atoms.get(at)?));
            way.and_then(|at| self.ways.get(at)).map_or(0, |way| way.clusters)
        };
        // Of equal ones the first, as a person wrote it.
        (0..choices).rev().max_by_key(clusters).unwrap_or_default()
    }

    /// What is left to check, where that is no residual.
    fn rest(&self, conjunction: &Conjunction, access: Access) -> Option<Rest> {
        let led = |at: usize, atom: &Atom| {
            let passed = || atom.threshold().is_some_and(|threshold| threshold.exact);
            access.equal == Some(at) || (access.threshold == Some(at) && passed())
        };
        let none = conjunction.atoms.iter().enumerate().all(|(at, atom)| led(at, atom));
        none.then_some(if conjunction.exact { Rest::PROVED } else { Rest::OPAQUE })
    }

    fn link(&mut self, reader: u32, conjunction: Conjunction, choice: usize, patience: u32) {
        let access = self.access(&conjunction, choice);
        let spot = spot(&conjunction, access);
        let equal = access.equal.and_then(|at| conjunction.atoms.get(at)).cloned();
        let rest = self.rest(&conjunction, access).unwrap_or_else(|| {
            // Where there is one way only, nothing is to be learned from vain checks.
            let patience = if self.choices(&conjunction) > 1 { patience } else { 0 };
            Rest(self.residuals.insert(Residual { reader, conjunction, choice, vain: 0, patience }))
        });
        let tail = Tail { reader, rest };
        match equal {
            None => self.root.0.insert(spot, tail),
            Some(atom) => {
                if let Some(cluster) = self.cluster_for(&atom) {
                    cluster.members.insert(spot, tail);
                }
            }
        }
    }

    /// Takes the entry out that stands there and of which `is` is true, with its residual.
    fn unlink(
        &mut self,
        reader: u32,
        conjunction: &Conjunction,
        access: Access,
        is: impl Fn(Tail, &Slab<Residual>) -> bool,
    ) -> Option<Tail> {
        let spot = spot(conjunction, access);
        let residuals = &self.residuals;
        let is = |tail: Tail| is(tail, residuals);
        let removed = match access.equal.and_then(|at| conjunction.atoms.get(at)) {
            None => self.root.0.remove(spot, reader, is),
            Some(atom) => {
                let place = self.place(atom)?;
                let mut cluster = self.clusters.find_entry(place.hash(), |known| place.is(known)).ok()?;
                let removed = cluster.get_mut().members.remove(spot, reader, is);
                if cluster.get().members.is_empty() {
                    cluster.remove();
                    self.ways.get_mut(place.at as usize)?.clusters -= 1;
                }
                removed
            }
        };
        self.residuals.remove(removed?.rest.0);
        removed
    }

    fn choose_again(&mut self) {
        for id in std::mem::take(&mut self.hot) {
            let Some(residual) = self.residuals.get(id) else { continue };
            let (reader, conjunction) = (residual.reader, residual.conjunction.clone());
            let (choice, patience) = (residual.choice, residual.patience.saturating_mul(2));
            let access = self.access(&conjunction, choice);
            let next = (choice + 1) % self.choices(&conjunction);
            if self.unlink(reader, &conjunction, access, |tail, _| tail.rest == Rest(id)).is_some() {
                self.link(reader, conjunction, next, patience);
            }
        }
    }

    fn way(&self, atom: &Atom) -> Option<usize> {
        let prefix = prefix(atom);
        self.ways.iter().position(|way| way.slot == atom.slot && way.prefix == prefix)
    }

    /// Where the cluster of an atom stands, or would.
    fn place(&self, atom: &Atom) -> Option<Place> {
        let (at, value) = (self.way(atom)?, constant(atom)?);
        let mark = Mark::of(&value)?;
        Some(Place { at: u32::try_from(at).ok()?, way: *self.ways.get(at)?, mark, value })
    }

    fn cluster(&self, atom: &Atom) -> Option<&Cluster> {
        let place = self.place(atom)?;
        self.clusters.find(place.hash(), |known| place.is(known))
    }

    fn cluster_for(&mut self, atom: &Atom) -> Option<&mut Cluster> {
        if self.way(atom).is_none() {
            self.ways.push(Way { slot: atom.slot, prefix: prefix(atom), clusters: 0 });
        }
        let place = self.place(atom)?;
        match self.clusters.entry(place.hash(), |known| place.is(known), Cluster::hash) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(free) => {
                self.ways.get_mut(place.at as usize)?.clusters += 1;
                let Place { at, mark, value, .. } = place;
                Some(free.insert(Cluster { way: at, mark, value, members: Members::new() }).into_mut())
            }
        }
    }
}

/// The atoms that a conjunction can be sorted by.
fn thresholds(conjunction: &Conjunction) -> impl Iterator<Item = usize> {
    let atoms = conjunction.atoms.iter().enumerate();
    atoms.filter(|(_, atom)| atom.threshold().is_some()).map(|(at, _)| at)
}

/// Whether an atom can lead to a cluster.
fn leads(atom: &Atom) -> bool {
    match &atom.test {
        Test::Prefix(prefix) => !prefix.is_empty(),
        _ => atom.equal().is_some(),
    }
}

/// How many bytes of its text an atom looks at, if not at the whole value.
fn prefix(atom: &Atom) -> Option<u32> {
    match &atom.test {
        Test::Prefix(prefix) => u32::try_from(prefix.len()).ok(),
        _ => None,
    }
}

/// The value that tells an atom's cluster from others.
fn constant(atom: &Atom) -> Option<Value> {
    match &atom.test {
        Test::Prefix(prefix) => Some(Value::Str(prefix.clone())),
        _ => atom.equal().cloned(),
    }
}

fn spot(conjunction: &Conjunction, access: Access) -> Spot {
    let atom = access.threshold.and_then(|at| conjunction.atoms.get(at));
    let at = atom.and_then(|atom| Some(Spot::at(atom.slot, atom.threshold()?)));
    at.unwrap_or(Spot::ANYWHERE)
}

#[cfg(test)]
pub(super) mod tests;
