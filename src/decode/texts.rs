//! Texts that were seen lately, so that what comes again is shared and not copied. Bounded: a text gives
//! way to others that fall on its place. What a text means is said elsewhere; this only spares copies.

use std::sync::Arc;

use crate::model::coerce;
use crate::model::fit::{self, Misfit};
use crate::model::fold::fold;
use crate::model::stream::TimeUnit;
use crate::model::value::{DataType, Value};

/// How many pairs of texts are remembered, a power of two.
const PAIRS: usize = 512;

/// The longest text that is remembered, in bytes. Longer ones are rarely a name or a state, which are
/// what comes again.
const LONGEST: usize = 64;

/// The texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Each place holds two, the one that was met last in front. Empty until there is a text.
    pairs: Vec<[Option<Arc<str>>; 2]>,
}

impl Texts {
    /// The text, shared with those before it where it is remembered.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if text.len() > LONGEST {
            return text.into();
        }
        if self.pairs.is_empty() {
            self.pairs = vec![[None, None]; PAIRS];
        }
        #[expect(clippy::cast_possible_truncation, reason = "only its lowest bits are used")]
        let place = fold(text.as_bytes()) as usize % PAIRS;
        let pair = &mut self.pairs[place];
        match pair {
            [Some(known), _] if **known == *text => known.clone(),
            [_, Some(known)] if **known == *text => {
                let known = known.clone();
                pair.swap(0, 1);
                known
            }
            _ => {
                let new: Arc<str> = text.into();
                pair.swap(0, 1);
                pair[0] = Some(new.clone());
                new
            }
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
        assert_eq!(texts.pairs.len(), PAIRS);
    }
}
