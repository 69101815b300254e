//! Texts that were seen lately, so that what comes again is shared and not copied. Bounded: a text gives
//! way to others that fall on its place. What a text means is said elsewhere; this only spares copies.

use std::sync::Arc;

use crate::model::coerce;
use crate::model::fit::{self, Misfit};
use crate::model::fold::Brief;
use crate::model::stream::TimeUnit;
use crate::model::value::{DataType, Value};

/// How many pairs of texts are remembered at first, and at most; powers of two.
const FEWEST: usize = 256;
const MOST: usize = 4_096;

/// The longest text that is remembered, in bytes. Longer ones are rarely a name or a state, which are
/// what comes again.
const LONGEST: usize = 64;

/// After how many texts that were forgotten too early it is asked whether there is room enough, and how
/// often one may be before there is not: once in so many texts.
const ASK: u32 = 64;
const RARELY: u32 = 16;

/// The texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Empty until there is a text; more where what comes again does not find itself.
    pairs: Vec<Pair>,
    /// For each pair a part of the hash of the text that was forgotten last; its lowest bit says which of
    /// the two is next.
    lasts: Vec<u32>,
    /// How many texts were asked for, and how many of them were forgotten too early, since it was last
    /// asked whether there is room enough.
    asked: u32,
    forgotten: u32,
}

/// Two texts that share a place.
#[derive(Clone, Debug, Default)]
struct Pair {
    texts: [Option<Arc<str>>; 2],
    keys: [Brief; 2],
}

impl Pair {
    /// The text with this key, if it is one of the two.
    #[inline]
    fn find(&self, key: Brief, text: &str) -> Option<&Arc<str>> {
        // Which of them it is cannot be foreseen, so nothing is made to depend on it.
        let place = usize::from(self.keys[1] == key);
        let known = self.texts[place].as_ref()?;
        let same = self.keys[place] == key && known.len() == text.len();
        (same && (text.len() <= Brief::SHORT || **known == *text)).then_some(known)
    }
}

impl Texts {
    /// The text, shared with those before it where it is remembered.
    #[inline]
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        let key = Brief::of(text.as_bytes());
        let hash = key.hash(text.len());
        self.asked = self.asked.wrapping_add(1);
        match self.pairs.get(place(hash, self.pairs.len())).and_then(|pair| pair.find(key, text)) {
            Some(known) => known.clone(),
            None => self.keep(text, key, hash),
        }
    }

    /// The same for a text that is not there.
    #[cold]
    fn keep(&mut self, text: &str, key: Brief, hash: u64) -> Arc<str> {
        let new: Arc<str> = text.into();
        if text.len() > LONGEST {
            return new;
        }
        if self.pairs.is_empty() {
            self.pairs = vec![Pair::default(); FEWEST];
            self.lasts = vec![0; FEWEST];
        }
        let place = place(hash, self.pairs.len());
        let (pair, last) = (&mut self.pairs[place], &mut self.lasts[place]);
        let again = *last >> 1 == tag(hash);
        let next = usize::from(*last & 1 == 1);
        let old = pair.texts[next].replace(new.clone());
        let old = old.map_or(0, |old| tag(pair.keys[next].hash(old.len())));
        *last = old << 1 | u32::from(next == 0);
        pair.keys[next] = key;
        if again {
            self.forgotten += 1;
            self.ask();
        }
        new
    }

    /// Makes room where texts are often forgotten before they come again. What never comes again makes
    /// none.
    fn ask(&mut self) {
        if self.forgotten < ASK {
            return;
        }
        let often = self.asked / RARELY < self.forgotten;
        (self.asked, self.forgotten) = (0, 0);
        if !often || self.pairs.len() >= MOST {
            return;
        }
        let many = 2 * self.pairs.len();
        let more = vec![Pair::default(); many];
        self.lasts = vec![0; many];
        for text in std::mem::replace(&mut self.pairs, more).into_iter().flat_map(|pair| pair.texts) {
            let Some(text) = text else { continue };
            let key = Brief::of(text.as_bytes());
            let place = place(key.hash(text.len()), self.pairs.len());
            let Pair { texts, keys } = &mut self.pairs[place];
            let free = usize::from(texts[0].is_some());
            self.lasts[place] = u32::from(free == 0);
            (texts[free], keys[free]) = (Some(text), key);
        }
    }

    /// The text as a value.
    pub(super) fn value(&mut self, text: &str) -> Value {
        Value::Str(self.share(text))
    }

    /// What [`fit::fit_text`] makes of it.
    pub(super) fn fit(&mut self, text: &str, ty: &DataType, unit: TimeUnit) -> Result<Value, Misfit> {
        match ty {
            DataType::String => Ok(self.value(text)),
            DataType::Datetime => match coerce::timestamp_in(text, unit) {
                Some(at) => Ok(Value::Time(at)),
                None => fit::fit_text(text, ty, unit),
            },
            _ => fit::fit_text(text, ty, unit),
        }
    }
}

/// The part of a hash by which a text that was forgotten is known again.
#[inline]
const fn tag(hash: u64) -> u32 {
    (hash >> 33) as u32
}

/// The place of a hash among so many.
#[inline]
const fn place(hash: u64, places: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "only its lowest bits are used")]
    let hash = hash as usize;
    hash & places.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_shared_and_what_is_long_is_not_kept() {
        let mut texts = Texts::default();
        let first = texts.share("on");
        assert!(Arc::ptr_eq(&first, &texts.share("on")));
        let long = "x".repeat(LONGEST + 1);
        assert!(!Arc::ptr_eq(&texts.share(&long), &texts.share(&long)));
        for n in 0..100_000 {
            assert_eq!(*texts.share(&n.to_string()), *n.to_string());
        }
        // None of them comes again.
        assert_eq!(texts.pairs.len(), FEWEST);
    }

    #[test]
    fn there_is_room_for_what_comes_again() {
        let mut texts = Texts::default();
        let names: Vec<String> = (0..4 * FEWEST).map(|n| format!("device-{n}")).collect();
        let mut random = 1_usize;
        let mut any = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            &names[(random >> 33) % names.len()]
        };
        for _ in 0..100_000 {
            let name = any();
            assert_eq!(*texts.share(name), **name);
        }
        assert!(texts.pairs.len() > FEWEST && texts.pairs.len() <= MOST);
        let known = |texts: &mut Texts, name: &str| Arc::strong_count(&texts.share(name)) > 1;
        assert!(names.iter().filter(|name| known(&mut texts, name)).count() > names.len() * 8 / 10);
        // More than there will ever be room for.
        for n in 0..2 {
            for n in 0..20 * MOST + n {
                texts.share(&n.to_string());
            }
        }
        assert!(texts.pairs.len() <= MOST);
    }

    #[test]
    fn texts_are_told_apart_by_every_byte() {
        let mut texts = Texts::default();
        for len in 0..40_usize {
            let text: String = (0..len).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
            let known = texts.share(&text);
            let mut others = vec![text.clone() + "a", text.clone() + "\0", format!("\0{text}")];
            others.extend((0..len).map(|at| text[..at].to_owned() + "_" + &text[at + 1..]));
            for other in others {
                let key = Brief::of(text.as_bytes());
                let pair = Pair { texts: [None, Some(known.clone())], keys: [key; 2] };
                assert_eq!(pair.find(key, &text), Some(&known));
                assert_eq!(pair.find(Brief::of(other.as_bytes()), &other), None, "{text} {other}");
            }
        }
    }
}
