//! The last known good rule sets, as bytes that the spool keeps: what an agent starts from when no
//! hub can be reached.

use std::io::{BufReader, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::Deserialize;

use crate::model::ruleset::{Item, ItemKind, Origin};

/// A kept set, before it is compiled again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it came from.
    pub origin: Origin,
    /// The hub's revision.
    pub revision: u64,
    /// Its items, in order.
    pub items: Vec<Item>,
}

#[derive(Deserialize)]
struct Body {
    origin: String,
    revision: u64,
    items: Vec<(String, String, String)>,
}

/// A set that becomes bytes, item by item.
#[derive(Debug)]
pub struct Keeping {
    out: Out,
    any: bool,
}

/// Where the text goes. That of many rules repeats itself, and is made small at once.
#[derive(Debug)]
enum Out {
    Plain(Vec<u8>),
    Small(ZlibEncoder<Vec<u8>>),
}

/// A set with more rules than this is kept small.
const FEW: usize = 500;

impl Keeping {
    /// A set without items so far, which will have about so many rules.
    pub fn new(origin: Origin, revision: u64, rules: usize) -> Self {
        let out = match rules > FEW {
            true => Out::Small(ZlibEncoder::new(Vec::new(), Compression::fast())),
            false => Out::Plain(Vec::new()),
        };
        let mut keeping = Self { out, any: false };
        let head = format!(r#"{{"origin":"{}","revision":{revision},"items":["#, origin.name());
        keeping.write(head.as_bytes());
        keeping
    }

    /// Takes the next item.
    pub fn add(&mut self, item: &Item) {
        if std::mem::replace(&mut self.any, true) {
            self.write(b",");
        }
        // Texts only: nothing that serialising could fail on.
        let text = serde_json::to_vec(&(item.kind.name(), &*item.name, &*item.body)).unwrap_or_default();
        self.write(&text);
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.write(b"]}");
        match self.out {
            Out::Plain(bytes) => bytes,
            Out::Small(small) => small.finish().unwrap_or_default(),
        }
    }

    /// Memory takes all that is written.
    fn write(&mut self, bytes: &[u8]) {
        match &mut self.out {
            Out::Plain(out) => out.extend_from_slice(bytes),
            Out::Small(out) => out.write_all(bytes).unwrap_or_default(),
        }
    }
}

/// Reads what was [kept](Keeping); `None` where the bytes are something else.
pub fn decode(bytes: &[u8]) -> Option<Stored> {
    let body: Body = match bytes.first()? {
        b'{' => serde_json::from_slice(bytes).ok()?,
        _ => serde_json::from_reader(BufReader::new(ZlibDecoder::new(bytes))).ok()?,
    };
    let origin = [Origin::Hub, Origin::Directory].into_iter().find(|o| o.name() == body.origin)?;
    let item = |(kind, name, text): (String, String, String)| {
        let kind =
            [ItemKind::Stream, ItemKind::Table, ItemKind::Rule].into_iter().find(|k| k.name() == kind)?;
        Some(Item { kind, name: Arc::from(name), body: Arc::from(text) })
    };
    let items = body.items.into_iter().map(item).collect::<Option<_>>()?;
    Some(Stored { origin, revision: body.revision, items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        for rules in [3, FEW + 1] {
            let rule = |n: usize| Item {
                kind: ItemKind::Rule,
                name: format!("r{n}").into(),
                body: format!("{{\"id\":\"r{n}\",\"sql\":\"SELECT '\u{e9}' FROM s\"}}").into(),
            };
            let stream = Item { kind: ItemKind::Stream, name: "s".into(), body: "CREATE STREAM s ()".into() };
            let items: Vec<Item> = std::iter::once(stream).chain((0..rules).map(rule)).collect();
            let mut keeping = Keeping::new(Origin::Directory, 7, rules);
            items.iter().for_each(|item| keeping.add(item));
            let bytes = keeping.finish();
            assert_eq!(decode(&bytes), Some(Stored { origin: Origin::Directory, revision: 7, items }));
        }
        assert_eq!(decode(b"rules"), None);
        assert_eq!(decode(b""), None);
    }
}
