//! Rule sets and what is said about them, to and from the wire.

use super::v1;
use crate::model::diagnostic::{Diagnostic, Level, Place};
use crate::model::ruleset::{ContentHash, Item, ItemKind};

/// An item as it travels.
pub fn item_to_wire(item: &Item) -> v1::RuleItem {
    let kind = match item.kind {
        ItemKind::Stream => v1::rule_item::Kind::Stream,
        ItemKind::Table => v1::rule_item::Kind::Table,
        ItemKind::Rule => v1::rule_item::Kind::Rule,
    };
    v1::RuleItem { kind: kind.into(), name: item.name.to_string(), body: item.body.to_string() }
}

/// An item from the wire; `None` where its kind is one that this program does not know.
pub fn item_from_wire(item: &v1::RuleItem) -> Option<Item> {
    let kind = match item.kind() {
        v1::rule_item::Kind::Stream => ItemKind::Stream,
        v1::rule_item::Kind::Table => ItemKind::Table,
        v1::rule_item::Kind::Rule => ItemKind::Rule,
        v1::rule_item::Kind::Unspecified => return None,
    };
    Some(Item { kind, name: item.name.as_str().into(), body: item.body.as_str().into() })
}

/// A hash as it travels.
pub fn hash_to_wire(hash: ContentHash) -> Vec<u8> {
    hash.0.to_vec()
}

/// A hash from the wire; `None` where it is no SHA-256, as where nothing runs.
pub fn hash_from_wire(bytes: &[u8]) -> Option<ContentHash> {
    bytes.try_into().ok().map(ContentHash)
}

/// A finding as it travels.
pub fn diagnostic_to_wire(diagnostic: &Diagnostic) -> v1::Diagnostic {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    v1::Diagnostic {
        warning: diagnostic.level == Level::Warning,
        code: diagnostic.code.to_string(),
        item: diagnostic.item.clone(),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone().unwrap_or_default(),
        field: diagnostic.field.clone(),
        line: number(diagnostic.place.line),
        column: number(diagnostic.place.column),
        length: number(diagnostic.place.length),
    }
}

/// A finding from the wire. Its place counts within the item's `field`.
pub fn diagnostic_from_wire(diagnostic: &v1::Diagnostic) -> Diagnostic {
    let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Diagnostic {
        level: if diagnostic.warning { Level::Warning } else { Level::Error },
        code: diagnostic.code.as_str().into(),
        item: diagnostic.item.clone(),
        field: diagnostic.field.clone(),
        message: diagnostic.message.clone(),
        hint: (!diagnostic.hint.is_empty()).then(|| diagnostic.hint.clone()),
        place: Place {
            line: number(diagnostic.line),
            column: number(diagnostic.column),
            length: number(diagnostic.length),
        },
    }
}

/// The name of an outcome, as screens and JSON show it.
pub fn outcome_name(outcome: v1::rule_report::Outcome) -> &'static str {
    match outcome {
        v1::rule_report::Outcome::Accepted => "accepted",
        v1::rule_report::Outcome::Rejected => "rejected",
        v1::rule_report::Outcome::Failed => "failed",
        v1::rule_report::Outcome::Unspecified => "unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_findings_come_back_as_they_went() {
        for kind in [ItemKind::Stream, ItemKind::Table, ItemKind::Rule] {
            let item = Item { kind, name: "n".into(), body: "b".into() };
            assert_eq!(item_from_wire(&item_to_wire(&item)), Some(item));
        }
        assert_eq!(item_from_wire(&v1::RuleItem { kind: 9, ..Default::default() }), None);
        let finding = Diagnostic {
            level: Level::Warning,
            code: "unknown-column".into(),
            item: "rule x".to_owned(),
            field: "when".to_owned(),
            message: "m".to_owned(),
            hint: Some("h".to_owned()),
            place: Place { line: 1, column: 2, length: 3 },
        };
        assert_eq!(diagnostic_from_wire(&diagnostic_to_wire(&finding)), finding);
    }

    #[test]
    fn a_hash_is_32_bytes_or_none() {
        assert_eq!(hash_from_wire(&[1; 32]), Some(ContentHash([1; 32])));
        assert_eq!(hash_from_wire(&[]), None);
    }
}
