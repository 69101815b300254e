//! The packets that are open, one bit each: noting one and finding it again costs next to nothing, and
//! never memory.

/// Packet ids there can be.
const IDS: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Packets {
    words: Box<[u64]>,
    count: usize,
}

impl Packets {
    pub(super) fn new() -> Self {
        Self { words: vec![0; IDS / 64].into_boxed_slice(), count: 0 }
    }

    /// Notes a packet; one that is there already is there once.
    pub(super) fn insert(&mut self, packet: u16) {
        self.set(packet, true);
    }

    /// Takes a packet out. Gives whether it was there.
    pub(super) fn remove(&mut self, packet: u16) -> bool {
        self.set(packet, false)
    }

    pub(super) fn clear(&mut self) {
        if self.count > 0 {
            self.words.fill(0);
            self.count = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Gives whether the packet was there before.
    fn set(&mut self, packet: u16, to: bool) -> bool {
        let Some(word) = self.words.get_mut(usize::from(packet / 64)) else { return false };
        let bit = 1 << (packet % 64);
        let was = *word & bit != 0;
        if was != to {
            *word ^= bit;
            self.count = if to { self.count + 1 } else { self.count - 1 };
        }
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_set() {
        let mut open = Packets::new();
        for packet in [1, 64, 63, 65_535, 1] {
            open.insert(packet);
        }
        assert!(open.remove(65_535) && !open.remove(65_535) && !open.remove(2));
        assert!(open.remove(1) && open.remove(63) && !open.is_empty());
        assert!(open.remove(64) && open.is_empty());
        open.insert(7);
        open.clear();
        assert!(open.is_empty() && !open.remove(7));
    }
}
