//! Things by a small number that stays theirs; the numbers of those that went are given again.

/// The things.
#[derive(Debug)]
pub(super) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a thing in; says its number.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop()
            && let Some(place) = self.items.get_mut(at as usize)
        {
            *place = Some(item);
            return at;
        }
        self.items.push(Some(item));
        u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
    }

    /// Gives room back, but for a few that may come later.
    pub(super) fn shrink(&mut self) {
        self.items.shrink_to(self.items.len() + self.items.len() / 16);
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<T> {
        let item = self.items.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(item)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.items.get_mut(at as usize)?.as_mut()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}
