//! The least that matching takes: equality as the access predicate, a cluster of sorted thresholds
//! behind it, and what is left checked at the end (Fabret et al., SIGMOD 2001). Rules can be added and
//! removed, as a program that runs for months needs it.

use crate::workload::{Rule, device_name, site_name};

/// The measures and names of one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) device: &'a str,
    pub(crate) site: &'a str,
    pub(crate) temperature: f64,
    pub(crate) humidity: f64,
}

/// Rules behind one access predicate, by their thresholds.
#[derive(Default)]
struct Cluster {
    above: Vec<f64>,
    rules: Vec<u32>,
}

impl Cluster {
    fn insert(&mut self, above: f64, rule: u32) {
        let at = self.above.partition_point(|known| *known < above);
        self.above.insert(at, above);
        self.rules.insert(at, rule);
    }

    fn remove(&mut self, above: f64, rule: u32) {
        let at = self.above.partition_point(|known| *known < above);
        let Some(at) = (at..self.rules.len()).find(|at| self.rules[*at] == rule) else { return };
        self.above.remove(at);
        self.rules.remove(at);
    }

    fn matching(&self, value: f64) -> impl Iterator<Item = u32> {
        self.above
            .iter()
            .zip(&self.rules)
            .take_while(move |(above, _)| **above < value)
            .map(|(_, rule)| *rule)
    }
}

/// Names with their clusters: open addressing over a power of two.
struct Table {
    places: Vec<Option<(u64, Box<str>, Cluster)>>,
}

impl Table {
    fn with_room(names: usize) -> Self {
        let size = (names * 2).next_power_of_two().max(8);
        Self { places: (0..size).map(|_| None).collect() }
    }

    fn cluster(&mut self, name: &str) -> &mut Cluster {
        let hash = hash(name.as_bytes());
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at].as_ref().is_some_and(|(_, known, _)| **known != *name) {
            at = (at + 1) & mask;
        }
        &mut self.places[at].get_or_insert_with(|| (hash, name.into(), Cluster::default())).2
    }

    fn find(&self, name: &str) -> Option<&Cluster> {
        let hash = hash(name.as_bytes());
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (known, text, cluster) = self.places[at].as_ref()?;
            if *known == hash && **text == *name {
                return Some(cluster);
            }
            at = (at + 1) & mask;
        }
    }
}

/// Multiplies and folds, eight bytes at a time.
fn hash(name: &[u8]) -> u64 {
    let fold = |state: u64, word: u64| {
        let wide = u128::from(state ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let (words, rest) = name.as_chunks::<8>();
    let state = words.iter().fold(name.len() as u64, |state, word| fold(state, u64::from_le_bytes(*word)));
    let tail = rest.iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
    fold(state, tail)
}

/// All rules.
pub(crate) struct Index {
    devices: Table,
    sites: Table,
    plain: Cluster,
    two: Cluster,
    /// The second threshold by rule.
    humid: Vec<f64>,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let names = rules.iter().filter_map(|rule| rule.device).max().map_or(0, |most| most + 1);
        let mut index = Self {
            devices: Table::with_room(names),
            sites: Table::with_room(
                rules.iter().filter_map(|rule| rule.site).max().map_or(0, |most| most + 1),
            ),
            plain: Cluster::default(),
            two: Cluster::default(),
            humid: vec![f64::MIN; rules.len()],
        };
        for (i, rule) in rules.iter().enumerate() {
            index.insert(i, rule);
        }
        index
    }

    pub(crate) fn insert(&mut self, place: usize, rule: &Rule) {
        let above = rule.above.unwrap_or(f64::MIN);
        self.humid[place] = rule.humid.unwrap_or(f64::MIN);
        self.home(rule).insert(above, place as u32);
    }

    pub(crate) fn remove(&mut self, place: usize, rule: &Rule) {
        self.home(rule).remove(rule.above.unwrap_or(f64::MIN), place as u32);
    }

    fn home(&mut self, rule: &Rule) -> &mut Cluster {
        match rule {
            Rule { device: Some(device), .. } => self.devices.cluster(&device_name(*device)),
            Rule { site: Some(site), .. } => self.sites.cluster(&site_name(*site)),
            Rule { humid: Some(_), .. } => &mut self.two,
            _ => &mut self.plain,
        }
    }

    /// The rules that an event matches.
    pub(crate) fn candidates(&self, reading: Reading<'_>, out: &mut Vec<u32>) {
        let Reading { device, site, temperature, humidity } = reading;
        out.extend(self.devices.find(device).into_iter().flat_map(|cluster| cluster.matching(temperature)));
        out.extend(self.sites.find(site).into_iter().flat_map(|cluster| cluster.matching(temperature)));
        out.extend(self.plain.matching(temperature));
        out.extend(self.two.matching(temperature).filter(|rule| self.humid[*rule as usize] < humidity));
    }
}
