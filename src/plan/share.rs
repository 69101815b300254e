//! One copy of what rules have in common: shapes of plans and of alerts that are equal are the same
//! one. Decides nothing about what they mean.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::sync::Arc;

use crate::model::alerting::AlertShape;
use crate::model::fold::BuildFold;
use crate::model::value::Value;

use super::logical::{Expr, Plan, Shape, WindowKind};

/// The shapes that are known so far, by a hash that is cheap to find and tells most of them apart.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    plans: HashMap<u64, Vec<Arc<Shape>>>,
    alerts: HashMap<u64, Vec<Arc<AlertShape>>>,
    texts: HashSet<Arc<str>, BuildFold>,
}

impl Shapes {
    /// Makes known what the rules of a plan have.
    pub(super) fn know(&mut self, plan: &Plan) {
        let mut met = HashSet::new();
        for rule in plan.rules.iter() {
            if met.insert((Arc::as_ptr(&rule.shape), Arc::as_ptr(&rule.alert.shape))) {
                self.plan(rule.shape.clone());
                self.alert(rule.alert.shape.clone());
            }
        }
    }

    /// The shape that is known and equal to this one, or else this one, which is known from here on.
    pub(super) fn plan(&mut self, shape: Arc<Shape>) -> Arc<Shape> {
        let those = self.plans.entry(of_plan(&shape)).or_default();
        if let Some(known) = those.iter().find(|known| Arc::ptr_eq(known, &shape) || same(known, &shape)) {
            return known.clone();
        }
        those.push(shape.clone());
        shape
    }

    /// Texts among constants that are equal are the same one.
    pub(super) fn texts(&mut self, constants: &mut [Value]) {
        for constant in constants {
            let Value::Str(text) = constant else { continue };
            match self.texts.get(text) {
                Some(known) => *text = known.clone(),
                None => drop(self.texts.insert(text.clone())),
            }
        }
    }

    /// As [`Self::plan`], of an alert.
    pub(super) fn alert(&mut self, shape: Arc<AlertShape>) -> Arc<AlertShape> {
        let those = self.alerts.entry(of_alert(&shape)).or_default();
        if let Some(known) = those.iter().find(|known| Arc::ptr_eq(known, &shape) || ***known == *shape) {
            return known.clone();
        }
        those.push(shape.clone());
        shape
    }
}

/// Equal to the last bit: `==` of values calls 1 and 1.0 the same, and these constants are shown.
fn same(a: &Shape, b: &Shape) -> bool {
    a == b && constants(a) == constants(b)
}

/// What [`Value`]'s equality leaves out of the constants that stay in a shape.
fn constants(shape: &Shape) -> Vec<(std::mem::Discriminant<Value>, u64)> {
    let mut found = Vec::new();
    shape.each(&mut |expr| {
        expr.walk(&mut |part| {
            if let Expr::Const(value) = part {
                let bits = if let Value::Float(number) = value { number.to_bits() } else { 0 };
                found.push((discriminant(value), bits));
            }
        });
    });
    found
}

fn of_plan(shape: &Shape) -> u64 {
    let mut hasher = DefaultHasher::new();
    let out = &mut hasher;
    if let Some(window) = &shape.window {
        discriminant(&window.kind).hash(out);
        if let WindowKind::Tumbling { length } | WindowKind::Hopping { length, .. } = &window.kind {
            length.hash(out);
        }
        window.aggregates.iter().for_each(|aggregate| aggregate.function.hash(out));
    }
    shape.each(&mut |expr| {
        expr.walk(&mut |part| {
            discriminant(part).hash(out);
            match part {
                Expr::Field(side, slot) => (side, slot).hash(out),
                Expr::Group(n) | Expr::Aggregate(n) | Expr::Analytic(n) | Expr::Column(n) => n.hash(out),
                Expr::Unary(op, _) => op.hash(out),
                Expr::Binary(op, ..) => op.hash(out),
                Expr::Call(function, _) | Expr::Prepared(function, ..) => function.hash(out),
                Expr::Member(_, name) => name.hash(out),
                _ => {}
            }
        });
    });
    hasher.finish()
}

fn of_alert(shape: &AlertShape) -> u64 {
    let mut out = DefaultHasher::new();
    (&shape.severity, &shape.labels, &shape.columns, &shape.key).hash(&mut out);
    out.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::value::Value;
    use crate::plan::logical::Plan;
    use crate::plan::{Limits, compile_text};

    fn plan(rules: &[(&str, &str)]) -> Plan {
        let stream = "CREATE STREAM s (device STRING, v FLOAT) WITH (DATASOURCE='t', KEY='device')";
        let rule = |(at, (sql, when)): (usize, &(&str, &str))| serde_json::json!({"id": format!("r{at}"), "sql": sql, "when": when});
        let rules: Vec<_> = rules.iter().enumerate().map(rule).collect();
        let file = serde_json::json!({"streams": [stream], "rules": rules});
        compile_text("set", &file.to_string(), &Limits::default()).plan.unwrap()
    }

    #[test]
    fn rules_that_differ_in_constants_share_their_shape() {
        let sql = "SELECT device, v FROM s WHERE device = 'a'";
        let plan = plan(&[
            (sql, "v > 1"),
            ("SELECT device, v FROM s WHERE device = 'b'", "v > 2.5"),
            (sql, "v >= 1"),
            (sql, "v > 1 OR v < 1"),
            (sql, "v > 1 OR FALSE"),
            (sql, "v > 1 OR TRUE"),
        ]);
        let rules: Vec<_> = plan.rules.iter().collect();
        let [first, second, others @ ..] = rules.as_slice() else { panic!() };
        assert!(Arc::ptr_eq(&first.shape, &second.shape));
        assert!(Arc::ptr_eq(&first.alert.shape, &second.alert.shape));
        assert_eq!(*second.params, [Value::str("b"), Value::Float(2.5)]);
        for (at, rule) in others.iter().enumerate() {
            assert!(!Arc::ptr_eq(&first.shape, &rule.shape), "{at}");
        }
        assert!(!Arc::ptr_eq(&others[2].shape, &others[3].shape));
    }

    fn sql(p: &str) -> String {
        format!("SELECT device, percentile_cont(v, {p}) AS x FROM s GROUP BY device, COUNTWINDOW(5)")
    }

    #[test]
    fn a_constant_that_says_what_is_computed_parts_shapes() {
        let plan = plan(
            &[("0.5", "x > 1"), ("0.5", "x > 7"), ("0.9", "x > 1")]
                .map(|(p, when)| (sql(p), when))
                .each_ref()
                .map(|(sql, when)| (sql.as_str(), *when)),
        );
        let shapes: Vec<_> = plan.rules.iter().map(|rule| Arc::as_ptr(&rule.shape)).collect();
        assert_eq!(shapes[0], shapes[1]);
        assert_ne!(shapes[0], shapes[2]);
    }

    #[test]
    fn constants_go_back_to_their_places() {
        let plan = plan(&[("SELECT device, v * 2 + 3 AS x FROM s WHERE device IN ('a', 'b')", "x > 4")]);
        let rule = &plan.rules[0];
        assert_eq!(rule.params.len(), 5);
        let whole = rule.whole();
        assert!(whole.params.is_empty());
        let again =
            crate::plan::logical::RulePlan::new(rule.state, rule.alert.clone(), (*whole.shape).clone());
        assert_eq!(again, *rule);
    }
}
