//! What a slice remembers for each aggregate. Most rules ask for one, and it stands where the slice does.

use std::ops::{Deref, DerefMut};

use crate::engine::aggregate::Partial;

/// One for each aggregate.
#[derive(Clone, Debug)]
pub(super) enum Partials {
    One(Partial),
    Several(Box<[Partial]>),
}

impl Deref for Partials {
    type Target = [Partial];

    #[inline]
    fn deref(&self) -> &[Partial] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(all) => all,
        }
    }
}

impl DerefMut for Partials {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Partial] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Several(all) => all,
        }
    }
}

impl FromIterator<Partial> for Partials {
    fn from_iter<I: IntoIterator<Item = Partial>>(all: I) -> Self {
        let mut all = all.into_iter();
        match (all.next(), all.next()) {
            (Some(one), None) => Self::One(one),
            (first, second) => Self::Several(first.into_iter().chain(second).chain(all).collect()),
        }
    }
}
