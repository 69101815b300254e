//! The warning for queries that hide the rows which would clear their alert: a condition of the query
//! on what `when` judges.

use std::collections::BTreeSet;

use super::bind::Binder;
use super::key::KeyColumn;
use super::logical::{Expr, UnaryOp, WindowKind};
use super::query::Query;
use super::report::Problem;
use super::syntax::{Kind, Node, Select};

/// What an expression depends on.
#[derive(Default)]
struct Depends {
    fields: BTreeSet<(usize, usize)>,
    aggregates: BTreeSet<usize>,
}

impl Binder<'_> {
    /// The condition that hides recovery, given `when` and `clear`.
    pub(super) fn hidden_recovery(
        &self,
        select: &Select,
        query: &Query,
        key: &[KeyColumn],
        judges: &[&Expr],
    ) -> Option<Problem> {
        let mut judged = Depends::default();
        judges.iter().for_each(|expr| self.depends(expr, &mut judged));
        let mut keys = Depends::default();
        key.iter().for_each(|column| self.depends(&column.expr, &mut keys));
        let having = query.window.as_ref().and_then(|window| window.having.as_ref());
        let call = select.window.as_ref();
        let trigger = call.and_then(|call| call.over.as_ref()?.when.as_ref());
        let enters = query.window.as_ref().and_then(|window| window.filter.as_ref());
        let asks = query.window.as_ref().and_then(|window| match &window.kind {
            WindowKind::Sliding { trigger, .. } => trigger.as_ref(),
            _ => None,
        });
        for (clause, node, expr) in [
            ("WHERE", select.filter.as_ref(), query.filter.as_ref()),
            ("FILTER", call.and_then(|call| call.filter.as_ref()), enters),
            ("OVER (WHEN …)", trigger, asks),
            ("HAVING", select.having.as_ref(), having),
        ] {
            let (Some(node), Some(expr)) = (node, expr) else { continue };
            for (node, expr) in conjuncts(node, expr) {
                // A row without the value changes nothing anyway.
                if matches!(expr, Expr::Unary(UnaryOp::Not, of) if matches!(**of, Expr::IsNull(_))) {
                    continue;
                }
                let mut found = Depends::default();
                self.depends(expr, &mut found);
                let Some(what) = self.in_common(&found, &judged, &keys) else { continue };
                let message = format!(
                    "{clause} decides by {what}, as `when` does: rows that would clear the alert may never be seen"
                );
                return Some(
                    Problem::new("hidden-recovery", node.place, message)
                        .hint(format!("move the condition from {clause} into `when`")),
                );
            }
        }
        None
    }

    /// What two expressions both depend on, besides the key.
    fn in_common(&self, one: &Depends, other: &Depends, key: &Depends) -> Option<String> {
        let field = one.fields.iter().find(|f| other.fields.contains(f) && !key.fields.contains(f));
        if let Some((side, slot)) = field {
            let slots = self.slots.get(self.sides.get(*side)?.source)?;
            return Some(format!("`{}`", slots.fields.get(*slot)?.name));
        }
        (!one.aggregates.is_disjoint(&other.aggregates)).then(|| "the same aggregate".to_owned())
    }

    fn depends<'e>(&'e self, expr: &'e Expr, on: &mut Depends) {
        let mut parts: Vec<&'e Expr> = Vec::new();
        expr.walk(&mut |part| match part {
            Expr::Field(side, slot) => {
                on.fields.insert((*side, *slot));
            }
            Expr::Column(i) => parts.extend(self.outputs.get(*i).map(|output| &output.found.expr)),
            Expr::Group(i) => parts.extend(self.groups.get(*i).map(|(_, group)| &group.expr)),
            Expr::Aggregate(i) => {
                on.aggregates.insert(*i);
                if let Some(aggregate) = self.aggregates.get(*i) {
                    parts.extend(aggregate.args.iter().chain(&aggregate.filter));
                }
            }
            _ => {}
        });
        // Columns lead to groups and aggregates, those to fields: no circle.
        parts.into_iter().for_each(|part| self.depends(part, on));
    }
}

/// The parts of an AND at the top, each with its bound form.
fn conjuncts<'a>(node: &'a Node, expr: &'a Expr) -> Vec<(&'a Node, &'a Expr)> {
    match (&node.kind, expr) {
        (Kind::And(nodes), Expr::And(exprs)) => nodes.iter().zip(exprs).collect(),
        _ => vec![(node, expr)],
    }
}
