//! Which members of a message are wanted, as a tree of their names, and where their values go. Both
//! readers of JSON go by it. It remembers in which order the scanner met the members, as programs write
//! them in the same order each time: a name in its usual place is known without a search. What was met
//! only ever makes reading faster.

use std::ops::Range;
use std::sync::Arc;

use super::number::load;

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
    /// The members in the order in which they came lately, those that nobody wants too.
    usual: Vec<Usual>,
}

/// A member in its usual place.
#[derive(Clone, Copy, Debug)]
struct Usual {
    /// Its name with what comes before and behind it, eight bytes a word, the first one lowest. It begins
    /// with a comma, or where the object does with its bracket, and ends with a colon: whatever is equal to
    /// it is JSON.
    words: [u64; WORDS],
    /// Which bits of the words count.
    masks: [u64; WORDS],
    /// How many bytes count.
    len: usize,
    /// Which child it is.
    child: Option<usize>,
}

/// How many words a name with what is around it may have. Longer ones are searched for.
const WORDS: usize = 3;

/// How many members are remembered.
const MEMBERS: usize = 64;

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

    /// The member of this name, which holds no control characters; `word` is its first eight
    /// bytes, the first one lowest, with whatever follows a shorter one.
    #[inline]
    pub(super) fn find(&self, word: u64, name: &[u8]) -> Option<usize> {
        if self.lengths >> (name.len() % 64) & 1 == 0 {
            return None;
        }
        let head = Head::cut(word, name.len());
        let known = |at: usize| {
            let (known, _) = self.children.get(at)?;
            (head.len <= HEAD || known.as_bytes() == name).then_some(at)
        };
        let mut heads = self.heads.iter().enumerate().filter(|(_, other)| **other == head);
        heads.find_map(|(at, _)| known(at))
    }

    /// The member that begins here, if it is the one that usually comes in this turn or the one behind it;
    /// where its colon ends, and the turn that is next. `first` are the first eight bytes.
    #[inline]
    pub(super) fn usual(
        &self,
        turn: usize,
        bytes: &[u8],
        at: usize,
        first: u64,
    ) -> Option<(Option<usize>, usize, usize)> {
        let usual = self.usual.get(turn)?;
        if usual.is_at(bytes, at, first) {
            return Some((usual.child, at + usual.len, turn + 1));
        }
        // A member that is left out now and then.
        let usual = self.usual.get(turn + 1).filter(|usual| usual.is_at(bytes, at, first))?;
        Some((usual.child, at + usual.len, turn + 2))
    }

    /// Takes what came in a turn for what usually does: the bytes from bracket or comma to the colon. Only
    /// the first turn has a bracket.
    pub(super) fn learn(&mut self, turn: usize, member: &[u8], child: Option<usize>) {
        let usual = Usual::of(member, child);
        if let Some(known) = self.usual.get_mut(turn) {
            *known = usual;
        } else if turn == self.usual.len() && turn < MEMBERS {
            self.usual.push(usual);
        }
    }

    /// The node of a member.
    #[inline]
    pub(super) fn at(&mut self, child: usize) -> Option<&mut Self> {
        self.children.get_mut(child).map(|(_, node)| node)
    }

    /// All members that are wanted, or in which something is.
    pub(super) fn children(&self) -> impl Iterator<Item = (&Arc<str>, &Self)> {
        self.children.iter().map(|(name, node)| (name, node))
    }
}

impl Usual {
    fn of(member: &[u8], child: Option<usize>) -> Self {
        // No text has such bytes, so one that is too long is never met.
        let mut usual = Self { words: [u64::MAX; WORDS], masks: [u64::MAX; WORDS], len: member.len(), child };
        if member.len() <= 8 * WORDS {
            for (n, (word, mask)) in usual.words.iter_mut().zip(&mut usual.masks).enumerate() {
                *mask = keep(member.len().saturating_sub(8 * n));
                *word = load(member, 8 * n) & *mask;
            }
        }
        usual
    }

    /// Whether it begins here; `first` are the first eight bytes.
    #[inline]
    fn is_at(&self, bytes: &[u8], at: usize, first: u64) -> bool {
        let is = |n: usize, word: u64| (word ^ self.words[n]) & self.masks[n] == 0;
        is(0, first)
            && (self.len <= 8 || is(1, load(bytes, at + 8)))
            && (self.len <= 16 || is(2, load(bytes, at + 16)))
    }
}

/// The bits of the first bytes of a word.
#[inline]
const fn keep(bytes: usize) -> u64 {
    match bytes {
        0 => 0,
        1..8 => u64::MAX >> (64 - 8 * bytes),
        _ => u64::MAX,
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
        Self { word: word & keep(len), len }
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
            let found = found.map(|at| &projection.root.children[at].1.places);
            assert_eq!(found, expected.map(|node| &node.places), "{name}");
        }
    }

    #[test]
    fn names_in_their_usual_place_are_known() {
        let mut node = Node::default();
        let longest = "y".repeat(8 * WORDS - 4);
        let too_long = longest.clone() + "x";
        let names = ["a", "fourx", "fivexx", "temperature", &longest, "z"];
        let text = |name: &str| format!(",\"{name}\":");
        for (turn, name) in names.iter().enumerate() {
            node.learn(turn, text(name).as_bytes(), Some(turn));
        }
        node.learn(names.len(), text(&too_long).as_bytes(), None);
        let look = |turn, text: &str| node.usual(turn, text.as_bytes(), 0, load(text.as_bytes(), 0));
        for (turn, name) in names.iter().enumerate() {
            let met = Some((Some(turn), name.len() + 4, turn + 1));
            assert_eq!(look(turn, &text(name)), met);
            assert_eq!(look(turn, &(text(name) + "12345678901234567890")), met);
            assert_eq!(look(turn, &text(&format!("{name}x"))), None);
            assert_eq!(look(turn, &format!(",\"{name}")), None);
            if turn > 0 {
                assert_eq!(look(turn - 1, &text(name)), met);
            }
        }
        assert_eq!(look(names.len(), &text(&too_long)), None);
        // What is there no more may be anything; there is no end to turns.
        for turn in 0..2 * MEMBERS {
            node.learn(turn, b",\"b\":", None);
        }
        assert_eq!(node.usual.len(), MEMBERS);
    }
}
