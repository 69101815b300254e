//! Topics that were seen lately, so that the next message on one needs no memory of its own.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

const SLOTS: usize = 4_096;

/// A cache in which each topic has one place: two that share it push each other out, which costs
/// an allocation and nothing else.
#[derive(Debug)]
pub(super) struct Topics {
    slots: Vec<Option<Arc<str>>>,
    hasher: RandomState,
}

impl Topics {
    pub(super) fn new() -> Self {
        Self { slots: vec![None; SLOTS], hasher: RandomState::new() }
    }

    /// The topic as shared text; `None` where it is no UTF-8.
    pub(super) fn intern(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        let at = usize::try_from(self.hasher.hash_one(bytes) % SLOTS as u64).unwrap_or(0);
        let slot = self.slots.get_mut(at)?;
        if let Some(known) = slot
            && known.as_bytes() == bytes
        {
            return Some(known.clone());
        }
        let topic: Arc<str> = std::str::from_utf8(bytes).ok()?.into();
        *slot = Some(topic.clone());
        Some(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_what_it_knows_and_refuses_what_is_no_text() {
        let mut topics = Topics::new();
        let first = topics.intern(b"a/b").unwrap();
        assert!(Arc::ptr_eq(&first, &topics.intern(b"a/b").unwrap()));
        assert_eq!(topics.intern(b"a/\xff"), None);
        for i in 0..5_000 {
            let text = format!("t/{i}");
            assert_eq!(&*topics.intern(text.as_bytes()).unwrap(), text);
        }
    }
}
