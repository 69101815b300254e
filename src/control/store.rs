//! The last known good rule sets, as bytes that the spool keeps: what an agent starts from when no
//! hub can be reached.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::ruleset::{Item, ItemKind, Origin};

use super::Admitted;

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

#[derive(Serialize, Deserialize)]
struct Body {
    origin: String,
    revision: u64,
    items: Vec<(String, String, String)>,
}

/// A set as bytes.
pub fn encode(set: &Admitted) -> Vec<u8> {
    let items = set.items.iter().map(|i| (i.kind.name().to_owned(), i.name.to_string(), i.body.to_string()));
    let body = Body { origin: set.origin.name().to_owned(), revision: set.revision, items: items.collect() };
    // Text, numbers and arrays only: nothing that serialising could fail on.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// Reads what [`encode`] wrote; `None` where the bytes are something else.
pub fn decode(bytes: &[u8]) -> Option<Stored> {
    let body: Body = serde_json::from_slice(bytes).ok()?;
    let origin = [Origin::Hub, Origin::Directory].into_iter().find(|o| o.name() == body.origin)?;
    let item = |(kind, name, text): (String, String, String)| {
        let kind =
            [ItemKind::Stream, ItemKind::Table, ItemKind::Rule].into_iter().find(|k| k.name() == kind)?;
        Some(Item { kind, name: Arc::from(name), body: Arc::from(text) })
    };
    let items = body.items.into_iter().map(item).collect::<Option<_>>()?;
    Some(Stored { origin, revision: body.revision, items })
}
