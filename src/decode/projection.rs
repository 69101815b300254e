//! Which members of a message are wanted, as a tree of their names, and where their values go. Both
//! readers of JSON go by it. Never looks at a message.

use std::ops::Range;
use std::sync::Arc;

/// Which paths of a message are wanted.
#[derive(Debug, Default)]
pub(super) struct Projection {
    /// The message itself.
    pub(super) root: Node,
    /// How many places there are.
    pub(super) width: usize,
}

/// A member that is wanted, or in which something is.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether the value itself is wanted.
    pub(super) wanted: bool,
    /// Members that are wanted, or in which something is, sorted by name.
    children: Vec<(Arc<str>, Node)>,
    /// The beginnings of their names, in the same order.
    heads: Vec<Head>,
    /// For each length of a name, modulo 64, whether one of them has it.
    lengths: u64,
    /// The places of this node, which is the first, and of everything below it.
    pub(super) places: Range<usize>,
}

/// How a name begins, in a form that is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// Its first eight bytes, the first one lowest; zeros behind a shorter one.
    word: u64,
    /// Its length in bytes.
    len: usize,
}

/// The longest name that its head tells whole.
const HEAD: usize = 8;

impl Projection {
    /// The projection onto these paths. Equal paths share a place.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p [Arc<str>]>) -> Self {
        let mut root = Node::default();
        for path in paths {
            let mut node = &mut root;
            for name in path {
                let at = match node.children.binary_search_by(|(n, _)| n.cmp(name)) {
                    Ok(at) => at,
                    Err(at) => {
                        node.children.insert(at, (name.clone(), Node::default()));
                        at
                    }
                };
                node = &mut node.children[at].1;
            }
            node.wanted = true;
        }
        let width = root.number(0);
        Self { root, width }
    }

    /// Where the value of a path that was asked for lies in an element.
    pub(super) fn place(&self, path: &[Arc<str>]) -> Option<usize> {
        let node = path.iter().try_fold(&self.root, |node, name| node.child(name))?;
        node.wanted.then_some(node.places.start)
    }
}

impl Node {
    /// Numbers the places depth first, so that what lies below a node is one range.
    fn number(&mut self, start: usize) -> usize {
        let mut next = start + 1;
        for (_, child) in &mut self.children {
            next = child.number(next);
        }
        self.places = start..next;
        self.heads = self.children.iter().map(|(name, _)| Head::of(name.as_bytes())).collect();
        self.lengths = self.heads.iter().fold(0, |lengths, head| lengths | 1 << (head.len % 64));
        next
    }

    /// The node of a member.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok().map(|at| &self.children[at].1)
    }

    /// The node of a member of this name, which holds no control characters; `word` is its first eight
    /// bytes, the first one lowest, with whatever follows a shorter one.
    #[inline]
    pub(super) fn find(&self, word: u64, name: &[u8]) -> Option<&Self> {
        if self.lengths >> (name.len() % 64) & 1 == 0 {
            return None;
        }
        let head = Head::cut(word, name.len());
        let known = |at: usize| {
            let (known, node) = self.children.get(at)?;
            (head.len <= HEAD || known.as_bytes() == name).then_some(node)
        };
        let mut heads = self.heads.iter().enumerate().filter(|(_, other)| **other == head);
        heads.find_map(|(at, _)| known(at))
    }

    /// All members that are wanted, or in which something is.
    pub(super) fn children(&self) -> impl Iterator<Item = (&Arc<str>, &Self)> {
        self.children.iter().map(|(name, node)| (name, node))
    }
}

impl Head {
    /// Of a whole name.
    fn of(name: &[u8]) -> Self {
        let word = name.iter().take(HEAD).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self { word, len: name.len() }
    }

    /// Of a name of this length, of which these are the first bytes and whatever follows it.
    #[inline]
    fn cut(word: u64, len: usize) -> Self {
        let keep = match len {
            0 => 0,
            1..HEAD => u64::MAX >> (64 - 8 * len),
            _ => u64::MAX,
        };
        Self { word: word & keep, len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_bytes() {
        let names = ["a", "ab", "temperature", "temperament", "eight888", ""].map(Arc::<str>::from);
        let paths: Vec<[Arc<str>; 1]> = names.iter().map(|name| [name.clone()]).collect();
        let projection = Projection::new(paths.iter().map(<[Arc<str>; 1]>::as_slice));
        for name in
            ["a", "b", "ab", "abc", "temperature", "temperaturf", "temperament", "eight888", "eight88", ""]
        {
            let mut text = name.as_bytes().to_vec();
            text.extend(b"\": 1234567");
            let word = u64::from_le_bytes(*text.first_chunk().unwrap());
            let found = projection.root.find(word, name.as_bytes());
            let expected = projection.root.child(name);
            assert_eq!(found.map(|node| &node.places), expected.map(|node| &node.places), "{name}");
        }
    }
}
