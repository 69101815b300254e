//! Names by the thousand, which lie in a few texts rather than each by itself.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A name: a part of a text that it may share with others. Equal to whatever reads the same.
#[derive(Clone)]
pub struct Name {
    /// A thin pointer, as there are many names.
    text: Arc<Box<str>>,
    at: u32,
    len: u32,
}

impl Name {
    /// The same names in one text, in their order.
    pub fn together<'a>(names: impl Iterator<Item = &'a str> + Clone) -> impl Iterator<Item = Self> {
        let text: String = names.clone().collect();
        let text = Arc::new(text.into_boxed_str());
        let mut at = 0;
        let lengths: Vec<usize> = names.map(str::len).collect();
        lengths.into_iter().map(move |len| {
            let name = Self::part(&text, at, len);
            at += len;
            name
        })
    }

    fn part(text: &Arc<Box<str>>, at: usize, len: usize) -> Self {
        // No text is so long; were one, the name would be empty rather than another.
        let (at, len) = u32::try_from(at).ok().zip(u32::try_from(len).ok()).unwrap_or_default();
        Self { text: text.clone(), at, len }
    }
}

impl Deref for Name {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        let at = self.at as usize;
        self.text.get(at..at + self.len as usize).unwrap_or_default()
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::part(&Arc::new(name.into()), 0, name.len())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<&Name> for Arc<str> {
    fn from(name: &Name) -> Self {
        (**name).into()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lie_together_read_as_they_did() {
        let names = ["a", "", "é-1", "r10"];
        let together: Vec<Name> = Name::together(names.iter().copied()).collect();
        assert_eq!(together.iter().map(|name| &**name).collect::<Vec<_>>(), names);
        assert_eq!(together[3], Name::from("r10"));
    }
}
