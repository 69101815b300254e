//! Which ids a set has given so far. They lie in one text, since a set may have a great many.

use hashbrown::HashTable;

use crate::model::fold::fold;

/// Ids, each once.
#[derive(Debug, Default)]
pub(super) struct Ids {
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// By the hash of the id.
    places: HashTable<u32>,
}

impl Ids {
    /// Notes an id. Says whether it is new.
    pub(super) fn insert(&mut self, id: &str) -> bool {
        let Self { text, ends, places } = self;
        let at = |place: &u32| {
            let place = *place as usize;
            let begin = place.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
            ends.get(place).and_then(|end| text.get(begin..*end)).unwrap_or_default()
        };
        let hash = fold(id.as_bytes());
        if places.find(hash, |place| at(place) == id).is_some() {
            return false;
        }
        let Ok(place) = u32::try_from(ends.len()) else { return false };
        places.insert_unique(hash, place, |place| fold(at(place).as_bytes()));
        text.push_str(id);
        ends.push(text.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once() {
        let mut ids = Ids::default();
        let all: Vec<String> = (0..500).map(|n| format!("r{n}")).collect();
        assert!(all.iter().all(|id| ids.insert(id)));
        assert!(!all.iter().any(|id| ids.insert(id)));
        assert!(ids.insert("") && !ids.insert(""));
    }
}
