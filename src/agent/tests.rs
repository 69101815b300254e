//! Rules that come and go under way: what is changed in place answers as what is begun anew, and what
//! stays goes on as if nothing had happened.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::casefile::{admit, admit_on};
use super::core::{Core, Input, Limits};
use crate::control::Admitted;
use crate::model::message::Message;
use crate::model::time::{Mono, Now, Timestamp};

fn at(seconds: u32) -> Now {
    let wall = Timestamp::from_millis(i64::from(seconds) * 1_000);
    Now { wall, mono: Mono::from_micros(u64::from(seconds) * 1_000_000) }
}

/// Rules without state by number, each with a device, a column and a threshold; and two with state: one
/// that counts rows of its key, and one with `when`.
fn text(rules: &BTreeMap<u8, (u8, u8, u8)>) -> String {
    let mut all: Vec<serde_json::Value> = rules
        .iter()
        .map(|(id, (device, column, threshold))| {
            let column = ["v", "w"][usize::from(*column % 2)];
            serde_json::json!({
                "id": format!("r{id}"),
                "sql": format!("SELECT device, {column} AS x FROM s WHERE device = 'd{device}' AND {column} > {threshold}"),
                "repeat": "1s",
            })
        })
        .collect();
    let counts = serde_json::json!({
        "id": "counts", "sql": "SELECT device, count(*) AS n FROM s GROUP BY device, COUNTWINDOW(5)", "repeat": "1s",
    });
    let stays = serde_json::json!({"id": "stays", "sql": "SELECT device, v FROM s", "when": "v > 3"});
    all.insert(all.len() / 2, counts);
    all.push(stays);
    let stream = "CREATE STREAM s () WITH (DATASOURCE='t/{device}')";
    serde_json::json!({"streams": [stream], "rules": all}).to_string()
}

fn message(device: u8, v: u8, w: u8, seconds: u32) -> Message {
    Message {
        source: "test".into(),
        topic: format!("t/d{device}").into(),
        payload: format!(r#"{{"v":{v},"w":{w}}}"#).into_bytes().into(),
        received: at(seconds).wall,
        retained: false,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    }
}

fn run(core: &mut Core, admitted: &Admitted, seconds: u32) {
    let effects = core.apply(Input::Run(Box::new(admitted.clone())), at(seconds));
    assert!(effects.transitions.iter().all(|transition| !matches!(&*transition.rule, "counts" | "stays")));
}

/// What a message causes: rule, state, labels and values, in order of rules.
fn told(core: &mut Core, message: Message, seconds: u32) -> Vec<String> {
    let effects = core.apply(Input::Messages(vec![message]), at(seconds));
    let shown = effects
        .transitions
        .iter()
        .map(|t| format!("{} {} {:?} {:?}", t.rule, t.state.name(), t.labels, t.values));
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

type Rules = Vec<(u8, Option<(u8, u8, u8)>)>;

/// Rules that change, and the rows that come then.
type Change = (Rules, Vec<(u8, u8, u8)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rules_changed_under_way_answer_as_if_begun_anew(
        steps in prop::collection::vec(
            (
                prop::collection::vec((0_u8..24, prop::option::of((0_u8..3, 0_u8..2, 0_u8..6))), 0..8),
                prop::collection::vec((0_u8..3, 0_u8..8, 0_u8..8), 0..6),
            ),
            1..8,
        ),
    ) {
        let steps: Vec<Change> = steps;
        let mut rules: BTreeMap<u8, (u8, u8, u8)> = (0..20).map(|id| (id, (id % 3, id, id % 5))).collect();
        let mut running = admit("set", &text(&rules)).unwrap();
        let mut core = Core::new("edge".into(), Limits::default());
        // The same rules with state, which nobody touches.
        let mut quiet = Core::new("edge".into(), Limits::default());
        run(&mut core, &running, 0);
        run(&mut quiet, &admit("set", &text(&BTreeMap::new())).unwrap(), 0);
        let mut seconds = 1;
        for (changes, messages) in steps {
            for (id, to) in changes {
                match to {
                    Some(to) => drop(rules.insert(id, to)),
                    None => drop(rules.remove(&id)),
                }
            }
            let next = admit_on("set", &text(&rules), Some(&running)).unwrap();
            prop_assert!(next.change.is_some());
            run(&mut core, &next, seconds);
            running = next;
            let mut fresh = Core::new("edge".into(), Limits::default());
            run(&mut fresh, &admit("set", &text(&rules)).unwrap(), seconds);
            for (device, v, w) in messages {
                seconds += 2;
                let with_state = |line: &String| line.starts_with("counts") || line.starts_with("stays");
                let message = || message(device, v, w, seconds);
                let (got, kept) = (told(&mut core, message(), seconds), told(&mut quiet, message(), seconds));
                let mut anew = told(&mut fresh, message(), seconds);
                anew.retain(|line| !with_state(line));
                let (state, stateless): (Vec<String>, Vec<String>) = got.into_iter().partition(with_state);
                prop_assert_eq!(stateless, anew);
                prop_assert_eq!(state, kept);
            }
            let names = |core: &Core| {
                let (_, set) = core.sets().next().unwrap();
                let mut names: Vec<String> = super::status::rules("set", set, Mono::default()).map(|rule| rule.rule).collect();
                names.sort();
                names
            };
            prop_assert_eq!(names(&core), names(&fresh));
            prop_assert_eq!(core.running()[0].rules, rules.len() + 2);
        }
    }
}

/// Rules with alerts of every kind by number: over rows, over windows that share, and occurrences.
fn mixed(rules: &BTreeMap<u8, (u8, u8, u8)>) -> String {
    let one = |(id, (device, kind, threshold)): (&u8, &(u8, u8, u8))| {
        let (id, device) = (format!("r{id}"), format!("d{device}"));
        let when = format!("x > {threshold}");
        match kind % 6 {
            0 => {
                serde_json::json!({"id": id, "sql": format!("SELECT device, v AS x FROM s WHERE device = '{device}'"), "when": when})
            }
            1 => {
                serde_json::json!({"id": id, "sql": "SELECT device, w AS x FROM s", "when": when, "clear": "x < 1"})
            }
            2 => {
                serde_json::json!({"id": id, "sql": format!("SELECT device, v AS x FROM s WHERE v > {threshold}"), "repeat": "1s"})
            }
            3 => serde_json::json!({
                "id": id, "when": when,
                "sql": "SELECT device, avg(v) AS x FROM s GROUP BY device, TUMBLINGWINDOW(ss, 10)",
            }),
            4 => serde_json::json!({
                "id": id, "repeat": "1s",
                "sql": format!("SELECT device, max(w) AS x FROM s GROUP BY device, TUMBLINGWINDOW(ss, 10) HAVING max(w) > {threshold}"),
            }),
            _ => serde_json::json!({
                "id": id, "when": when, "for": "4s",
                "sql": format!("SELECT device, extra{device} AS x FROM s"),
            }),
        }
    };
    let all: Vec<serde_json::Value> = rules.iter().map(one).collect();
    let stream = "CREATE STREAM s () WITH (DATASOURCE='t/{device}')";
    serde_json::json!({"streams": [stream], "rules": all}).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_change_tells_what_a_swap_tells(
        steps in prop::collection::vec(
            (
                prop::collection::vec((0_u8..16, prop::option::of((0_u8..3, 0_u8..6, 0_u8..6))), 0..8),
                prop::collection::vec((0_u8..3, 0_u8..8, 0_u8..8), 0..8),
            ),
            1..8,
        ),
        index: bool, share: bool, max_groups in 1_usize..4,
    ) {
        let steps: Vec<Change> = steps;
        let limits = Limits::default();
        // Where slots move, readings are recorded anew.
        let engine = crate::engine::Config { index, share, max_groups, evidence: 0, ..limits.engine };
        let limits = Limits { engine, ..limits };
        let mut rules: BTreeMap<u8, (u8, u8, u8)> = (0..12).map(|id| (id, (id % 3, id, id % 5))).collect();
        let mut running = admit("set", &mixed(&rules)).unwrap();
        let (mut changed, mut swapped) = (Core::new("edge".into(), limits), Core::new("edge".into(), limits));
        changed.apply(Input::Run(Box::new(running.clone())), at(0));
        swapped.apply(Input::Run(Box::new(running.clone())), at(0));
        let mut seconds = 1;
        for (changes, messages) in steps {
            for (id, to) in changes {
                match to {
                    Some(to) => drop(rules.insert(id, to)),
                    None => drop(rules.remove(&id)),
                }
            }
            let next = admit_on("set", &mixed(&rules), Some(&running)).unwrap();
            let whole = Admitted { change: None, ..next.clone() };
            let one = changed.apply(Input::Run(Box::new(next.clone())), at(seconds));
            let other = swapped.apply(Input::Run(Box::new(whole)), at(seconds));
            running = next;
            let shown = |effects: &super::core::Effects| format!("{:?} {:?}", effects.transitions, effects.states);
            prop_assert_eq!(shown(&one), shown(&other));
            for (device, v, w) in messages {
                seconds += 2;
                let message = || {
                    let payload = format!(r#"{{"v":{v},"w":{w},"extrad{device}":{w}}}"#);
                    Message { payload: payload.into_bytes().into(), ..message(device, v, w, seconds) }
                };
                let one = changed.apply(Input::Messages(vec![message()]), at(seconds));
                let other = swapped.apply(Input::Messages(vec![message()]), at(seconds));
                prop_assert_eq!(shown(&one), shown(&other));
            }
            let status = |core: &Core| {
                let (_, set) = core.sets().next().unwrap();
                let rules = set.plan.rules.iter().zip(set.accounts()).zip(set.alert_counts());
                let rules = rules.filter(|((rule, _), _)| !rule.is_vacant());
                let of = |((rule, account), counts): ((&crate::plan::logical::RulePlan, crate::engine::Account), crate::alert::Counts)| {
                    (rule.alert.rule.to_string(), crate::engine::Account { bytes: 0, ..account }, counts)
                };
                rules.map(of).collect::<Vec<_>>()
            };
            // Where a ceiling is reached, who shares with whom shows.
            if max_groups == 3 {
                prop_assert_eq!(status(&changed), status(&swapped));
            }
        }
    }
}
