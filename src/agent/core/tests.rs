//! The core as a whole, with and without what spares it work: an engine that knows which alerts are
//! active, and an index. Rules change and processes restart in between.

use proptest::prelude::*;

use std::collections::BTreeSet;

use super::*;
use crate::agent::casefile::admit;
use crate::model::label::Fingerprint;
use crate::model::message::Message;
use crate::model::transition::State;
use crate::model::value::Value as Cell;

const STREAMS: &str = "
streams:
  - CREATE STREAM a (v FLOAT, w BIGINT) WITH (DATASOURCE='a/{device}', KEY='device', SILENCE='25s', AVAILABILITY='said/{device}')
  - CREATE STREAM e (v FLOAT, w BIGINT, ts BIGINT) WITH (DATASOURCE='e/{device}', KEY='device', TIMESTAMP='ts', TIMESTAMP_FORMAT='s')
  - CREATE STREAM n (v FLOAT, w BIGINT, ts BIGINT) WITH (DATASOURCE='n/+', TIMESTAMP='ts', TIMESTAMP_FORMAT='s')
rules:
";

/// A rule by its number, with a threshold and timers.
fn rule(kind: usize, at: i64, timers: usize) -> String {
    let stream = ["a", "e"][kind / 2 % 2];
    let (sql, rest) = match kind % 12 {
        0 | 1 => (format!("SELECT device, v FROM {stream}"), format!("when: v > {at}")),
        2 => (format!("SELECT v, w FROM {stream} WHERE device = 'x'"), format!("when: v > {at} AND w < 5")),
        3 => (
            format!("SELECT v, w FROM {stream} WHERE w > 0"),
            format!("when: v > {at}\n    clear: v < {at} - 1"),
        ),
        4 => (format!("SELECT w, v FROM {stream}"), format!("when: v > {at}\n    key: [w]")),
        5 => (format!("SELECT 1 / w AS q, v FROM {stream}"), format!("when: q > 0 AND v > {at}")),
        6 => ("SELECT v FROM n".to_owned(), format!("when: v >= {at}")),
        7 => (
            format!("SELECT device, avg(v) AS m FROM {stream} GROUP BY device, TUMBLINGWINDOW(ss, 5)"),
            format!("when: m > {at}"),
        ),
        8 => (format!("SELECT device, v, lag(v) AS l FROM {stream}"), format!("when: v - l > {at}")),
        9 => {
            let timer = ["", "\n    repeat: 3s"][timers % 2];
            return format!(
                "  - id: r{kind}\n    sql: SELECT device, v FROM {stream} WHERE v > {at}{timer}\n"
            );
        }
        10 => (
            format!("SELECT device, v FROM {stream}"),
            format!("when: v > {at} AND device = 'x'\n    key: []"),
        ),
        _ => (
            format!(
                "SELECT device, max(v) AS m FROM {stream} WHERE device = 'y' GROUP BY device, COUNTWINDOW(2)"
            ),
            format!("when: m > {at}"),
        ),
    };
    let timer = ["", "\n    for: 3s", "\n    keep_firing_for: 4s", "\n    for: 2s\n    keep_firing_for: 2s"]
        [timers % 4];
    let course = match (timers / 16, kind % 12) {
        (1, _) => "\n    times: 2",
        (2, _) => "\n    flapping: {changes: 2, within: 4s}",
        // The steps begin half a minute before.
        (3, _) => "\n    active: {hours: 22:14-22:15}",
        (4, _) => {
            "\n    times: 2\n    flapping: {changes: 3, within: 10s}\n    active: [{hours: 22:13-22:14}, {hours: 22:15-22:16}]"
        }
        _ => "",
    };
    let rest = match (timers / 16, kind % 12) {
        (1.., 0 | 1) if timers.is_multiple_of(2) => format!(
            "levels:\n      - {{severity: info, when: v > {at}}}\n      - {{severity: page, when: v > {at} + 2, clear: v < {at} + 1}}"
        ),
        _ => rest,
    };
    let silence = match (timers / 4 % 4, kind % 12) {
        (0, _) | (_, 4 | 10) => "",
        (1, _) => "\n    no_data: {after: 5s, do: fire}",
        (2, _) => "\n    no_data: {after: 6s, do: resolve}\n    forget: 9s",
        _ => "\n    no_data: {after: 4s, do: fire}\n    forget: 20s",
    };
    format!("  - id: r{kind}\n    sql: {sql}\n    {rest}{timer}{course}{silence}\n")
}

fn rules() -> impl Strategy<Value = String> {
    let kinds = prop::collection::btree_map(
        0..24_usize,
        (0..4_i64, prop_oneof![2 => 0..16_usize, 3 => 16..80_usize]),
        1..12,
    );
    kinds.prop_map(|kinds| {
        let rules = kinds.into_iter().map(|(kind, (at, timers))| rule(kind, at, timers));
        rules.fold(STREAMS.to_owned(), |text, rule| text + &rule)
    })
}

#[derive(Clone, Debug)]
enum Step {
    Row {
        topic: &'static str,
        v: Option<i64>,
        w: i64,
        back: i64,
        retained: bool,
    },
    Tick(i64),
    /// What a device says of its connection.
    Said(&'static str, bool),
    /// Whether the source is connected.
    Link(bool),
    Rules(String),
    /// Of the alerts that are up.
    Resolve(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let topic = prop::sample::select(vec!["a/x", "a/y", "e/x", "e/x", "e/y", "n/1", "n/2"]);
    let back = prop_oneof![3 => Just(0_i64), 1 => 0..6_i64];
    let row = (topic, prop::option::weighted(0.9, 0..6_i64), 0..7_i64, back, prop::bool::weighted(0.05));
    prop_oneof![
        20 => row.prop_map(|(topic, v, w, back, retained)| Step::Row { topic, v, w, back, retained }),
        3 => (1..8_i64).prop_map(Step::Tick),
        1 => (20..80_i64).prop_map(Step::Tick),
        1 => (prop::sample::select(vec!["said/x", "said/y"]), any::<bool>()).prop_map(|(topic, is)| Step::Said(topic, is)),
        1 => any::<bool>().prop_map(Step::Link),
        1 => rules().prop_map(Step::Rules),
        1 => (0..4_usize).prop_map(Step::Resolve),
        1 => Just(Step::Restart),
    ]
}

fn at(seconds: i64) -> Now {
    let wall = Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
    Now { wall, mono: Mono::from_micros(u64::try_from(seconds * 1_000_000).unwrap()) }
}

fn start(rules: &str, watched: bool, index: bool) -> Core {
    begin(rules, engine::Config { watched, index, ..engine::Config::default() })
}

fn begin(rules: &str, engine: engine::Config) -> Core {
    let mut core = Core::new("edge".into(), Limits { engine, ..Limits::default() });
    core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
    core
}

/// All that anyone hears of it, and what the rules count.
type Told = (Vec<Vec<Transition>>, Vec<BTreeMap<String, Option<Vec<u8>>>>, Vec<alert::Counts>);

fn message(topic: &str, payload: String, now: i64, retained: bool) -> Message {
    Message {
        source: "test".into(),
        topic: topic.into(),
        payload: payload.into(),
        received: at(now).wall,
        retained,
        dup: false,
        qos: 0,
        properties: Box::default(),
        ack: None,
    }
}

/// What a step that is no restart tells the core.
fn input_of(core: &Core, step: &Step, now: &mut i64, text: &mut String) -> Input {
    match step {
        Step::Said(topic, online) => {
            let said = if *online { "online" } else { "offline" };
            Input::Messages(vec![message(topic, said.to_owned(), *now, true)])
        }
        Step::Link(connected) => Input::Connected("test".into(), *connected, None),
        Step::Row { topic, v, w, back, retained } => {
            let v = v.map_or("null".to_owned(), |v| v.to_string());
            let ts = 1_700_000_000 + *now - back;
            *now += i64::from(*w == 3);
            let payload = format!(r#"{{"v":{v},"w":{w},"ts":{ts}}}"#);
            Input::Messages(vec![message(topic, payload, *now, *retained)])
        }
        Step::Tick(seconds) => {
            *now += seconds;
            Input::Tick
        }
        Step::Rules(rules) => {
            text.clone_from(rules);
            Input::Run(Box::new(admit("set", rules).unwrap()))
        }
        Step::Resolve(at) => {
            let mut up: Vec<Fingerprint> = core
                .sets()
                .flat_map(|(_, set)| core.active(set))
                .filter(|alert| alert.phase != "pending")
                .map(|alert| alert.fingerprint)
                .collect();
            up.sort_unstable();
            up.get(*at).map_or(Input::Tick, |fingerprint| Input::Resolve(*fingerprint, "".into()))
        }
        Step::Restart => unreachable!(),
    }
}

/// The core of the next process.
fn again(core: &Core, text: &str, now: i64, watched: bool, index: bool) -> Core {
    let mut new = start(text, watched, index);
    // Where the clock that counts silence stood before this instant, what is due when it stands is due before what
    // comes next; so it must stand before this instant here too.
    let stood = core.idle.disconnected_at.is_some_and(|since| since < at(now).mono);
    if stood {
        new.idle.lost = Duration::from_micros(1);
    }
    new.restore(&core.snapshot(at(now), true), at(now)).unwrap();
    link_again(core, &mut new, now);
    if stood {
        new.idle = IdleClock { lost: Duration::ZERO, disconnected_at: Some(just_before(at(now)).mono) };
    }
    new
}

/// Tells the core of the next process that the source is not connected, where it is not.
fn link_again(before: &Core, core: &mut Core, now: i64) {
    if before.sources.is_down("test") {
        // What is due at this very instant is due after what comes next, as it is without a restart.
        let mut told = Vec::new();
        core.sources.set(&"test".into(), false, None, at(now), &mut told);
        core.idle.set(false, at(now).mono);
        assert_eq!(told, []);
    }
}

fn run(rules: &str, steps: &[Step], watched: bool, index: bool) -> (Told, Vec<engine::Account>) {
    let mut core = start(rules, watched, index);
    let (mut transitions, mut states, mut text) = (Vec::new(), Vec::new(), rules.to_owned());
    let mut now = 10;
    for step in steps {
        if let Step::Restart = step {
            core = again(&core, &text, now, watched, index);
            continue;
        }
        let input = input_of(&core, step, &mut now, &mut text);
        let effects = core.apply(input, at(now));
        transitions.push(effects.transitions);
        states.push(
            effects.states.into_iter().map(|change| (format!("{:?}", change.key), change.body)).collect(),
        );
    }
    let set = core.set("set").unwrap();
    // A message that no rule cares for by its topic is not read, so its rows are not counted either.
    let counted = |a| engine::Account { bytes: 0, rows: 0, retained: 0, future: 0, ..a };
    let accounts = set.accounts().into_iter().map(counted).collect();
    ((transitions, states, set.alert_counts()), accounts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_spares_work_changes_nothing(rules in rules(), steps in prop::collection::vec(step(), 1..60)) {
        let (told, accounts) = run(&rules, &steps, true, true);
        let (asked, as_many) = run(&rules, &steps, true, false);
        prop_assert_eq!(&told, &asked);
        prop_assert_eq!(accounts, as_many);
        for index in [true, false] {
            let (all, _) = run(&rules, &steps, false, index);
            prop_assert_eq!(&told, &all);
        }
    }
}

/// Rules over windows that share, and others, with timers and keys of every kind.
fn spread_rule(kind: usize, at: i64, timers: usize) -> String {
    let stream = ["a", "e"][kind / 2 % 2];
    let window = ["TUMBLINGWINDOW(ss, 2)", "HOPPINGWINDOW(ss, 6, 2)", "TUMBLINGWINDOW(ss, 3)"][kind % 3];
    let (sql, rest) = match kind % 8 {
        0..=2 => (
            format!("SELECT device, avg(v) AS m FROM {stream} GROUP BY device, {window}"),
            format!("when: m > {at}"),
        ),
        3 => (
            format!("SELECT device, w, max(v) AS m FROM {stream} GROUP BY device, w, {window}"),
            format!("when: m > {at}\n    clear: m < 1"),
        ),
        4 => (
            format!("SELECT device, max(v) AS m FROM {stream} GROUP BY device, {window}"),
            format!("when: m > {at}\n    key: []"),
        ),
        5 => (format!("SELECT w, min(v) AS m FROM {stream} GROUP BY w, {window}"), format!("when: m < {at}")),
        6 => {
            let timer = ["", "\n    repeat: 3s"][timers % 2];
            let query = format!("SELECT device, count(*) AS n FROM {stream} GROUP BY device, {window}");
            return format!("  - id: r{kind}\n    sql: {query} HAVING n > {}{timer}\n", at - 1);
        }
        _ => (format!("SELECT device, v FROM {stream}"), format!("when: v > {at}")),
    };
    let timer = ["", "\n    for: 3s", "\n    keep_firing_for: 4s", "\n    for: 1s\n    keep_firing_for: 9s"]
        [timers % 4];
    format!("  - id: r{kind}\n    sql: {sql}\n    {rest}{timer}\n")
}

/// What each alert tells, in order; and the messages that each rule counts.
type ToldApart = (BTreeMap<String, Vec<Transition>>, Vec<alert::Counts>, Vec<engine::Account>);

/// Runs steps of (device or silence, value, step of time in tenths of a second), each with what may happen
/// besides.
fn run_spread(rules: &str, steps: &[(usize, i64, i64, usize)], spread: usize) -> ToldApart {
    let config = engine::Config { watched: true, spread, ..engine::Config::default() };
    let at = |tenths: i64| {
        let wall = Timestamp::from_millis(1_700_000_000_000 + tenths * 100);
        Now { wall, mono: Mono::from_micros(u64::try_from(tenths * 100_000).unwrap()) }
    };
    let mut core = begin(rules, config);
    let mut told: BTreeMap<String, Vec<Transition>> = BTreeMap::new();
    let mut tell = |effects: Effects| {
        for transition in effects.transitions {
            told.entry(format!("{:?}", transition.labels)).or_default().push(transition);
        }
    };
    let mut now = 10;
    let mut connected = true;
    for (device, v, wait, event) in steps {
        now += wait;
        match event {
            0 => {
                tell(core.settle(at(now)));
                let snapshot = core.snapshot(at(now), true);
                core = begin(rules, config);
                core.restore(&snapshot, at(now)).unwrap();
                connected = true;
            }
            1 => tell(core.apply(Input::Tick, at(now))),
            2 => {
                connected = !connected;
                tell(core.apply(Input::Connected("test".into(), connected, None), at(now)));
            }
            _ => {}
        }
        let ts = at(now - v).wall.millis() / 1_000;
        let message = |device: usize| Message {
            source: "test".into(),
            topic: ["a/x", "a/y", "a/z", "e/x", "e/y", "e/z"][device].into(),
            payload: format!(r#"{{"v":{v},"w":{},"ts":{ts}}}"#, v % 3).into(),
            received: at(now).wall,
            retained: false,
            dup: false,
            qos: 0,
            properties: Box::default(),
            ack: None,
        };
        let messages: Vec<Message> =
            [*device, device / 2].into_iter().filter(|d| *d < 6).map(message).collect();
        if !messages.is_empty() {
            tell(core.apply(Input::Messages(messages), at(now)));
        }
    }
    tell(core.apply(Input::Connected("test".into(), true, None), at(now)));
    for _ in 0..400 {
        now += 7;
        tell(core.apply(Input::Tick, at(now)));
    }
    tell(core.settle(at(now)));
    assert!(core.next_deadline().is_none_or(|due| due > at(now).mono), "nothing stays due");
    // What was counted before a restart is gone with the process; what waits then is counted behind it.
    if steps.iter().any(|(.., event)| *event == 0) {
        return (told, Vec::new(), Vec::new());
    }
    let set = core.set("set").unwrap();
    let counted = |a| engine::Account { bytes: 0, ..a };
    (told, set.alert_counts(), set.accounts().into_iter().map(counted).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn windows_that_wait_to_be_closed_tell_the_same(
        kinds in prop::collection::btree_map(0..24_usize, (0..4_i64, 0..4_usize), 1..8),
        steps in prop::collection::vec((0..14_usize, 0..6_i64, prop_oneof![Just(0), 0..4_i64, 0..40_i64], 0..24_usize), 1..60),
    ) {
        let rules = kinds.into_iter().map(|(kind, (at, timers))| spread_rule(kind, at, timers));
        let rules = rules.fold(STREAMS.to_owned(), |text, rule| text + &rule);
        let whole = run_spread(&rules, &steps, usize::MAX);
        for spread in [1, 2, 5] {
            let parts = run_spread(&rules, &steps, spread);
            prop_assert_eq!(&whole, &parts);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// A debug build holds what windows of many slices go on with against what the slices come to.
    #[test]
    fn windows_of_many_slices_go_on_from_one_to_the_next(
        kinds in prop::collection::btree_map(0..10_usize, 0..3_usize, 1..5),
        steps in prop::collection::vec((0..3_usize, 0..8_usize, prop_oneof![4 => 0..2_i64, 1 => -45..0_i64, 1 => 0..50_i64], 0..30_usize), 1..150),
    ) {
        let rule = |(kind, window): (usize, usize)| {
            let aggregate = ["avg", "sum", "min", "max", "count"][kind % 5];
            let window = ["HOPPINGWINDOW(ss, 40, 1)", "HOPPINGWINDOW(ss, 60, 3)", "TUMBLINGWINDOW(ss, 2)"][window];
            let stream = ["a", "e"][kind / 5];
            format!("  - id: r{kind}\n    sql: SELECT device, {aggregate}(v) AS m FROM {stream} GROUP BY device, {window}\n    when: m > 2\n")
        };
        let rules = kinds.into_iter().map(rule).fold(STREAMS.to_owned(), |text, rule| text + &rule);
        let mut told = Vec::new();
        for snapshots in [false, true] {
            let mut core = start(&rules, false, true);
            let (mut now, mut all) = (60, Vec::new());
            for (device, v, wait, event) in &steps {
                now += (*wait).max(0);
                if *event == 0 && snapshots {
                    let snapshot = core.snapshot(at(now), true);
                    core = start(&rules, false, true);
                    core.restore(&snapshot, at(now)).unwrap();
                }
                let v = ["1", "2.5", "-3", "1e300", "1e-300", "0.1", "7", "null"][*v];
                let ts = 1_700_000_000 + now + (*wait).min(0);
                for stream in ["a", "e"] {
                    let topic = format!("{stream}/{}", ["x", "y", "z"][*device]);
                    let message = message(&topic, format!(r#"{{"v":{v},"w":1,"ts":{ts}}}"#), now, false);
                    all.extend(core.apply(Input::Messages(vec![message]), at(now)).transitions);
                }
            }
            all.extend(core.apply(Input::Tick, at(now + 1_000)).transitions);
            told.push(all);
        }
        prop_assert_eq!(&told[0], &told[1]);
    }
}

/// The transitions without their evidence, which no snapshot holds, and the fingerprints that are up then.
fn life(rules: &str, steps: &[Step], restarts: bool) -> (Vec<Transition>, BTreeSet<Fingerprint>) {
    let mut all = Vec::new();
    for step in steps {
        all.push(step.clone());
        if restarts {
            all.push(Step::Restart);
        }
    }
    let (mut core, mut told) = (start(rules, true, true), Vec::new());
    let (mut now, mut text) = (10, rules.to_owned());
    for step in all {
        if let Step::Restart = step {
            core = again(&core, &text, now, true, true);
            continue;
        }
        let effects = core.apply(input_of(&core, &step, &mut now, &mut text), at(now));
        told.extend(effects.transitions.into_iter().map(|t| Transition { evidence: None, ..t }));
    }
    // Alerts that change at the same instant do so in any order.
    told.sort_by_key(|t| t.fingerprint);
    let active = core.all_active().into_iter();
    let up = active.filter(|alert| alert.phase != "pending").map(|alert| alert.fingerprint).collect();
    (told, up)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn alerts_have_one_life_whatever_restarts(rules in rules(), steps in prop::collection::vec(step(), 1..60)) {
        let (told, active) = life(&rules, &steps, false);
        prop_assert_eq!(&(told.clone(), active.clone()), &life(&rules, &steps, true));
        let mut up: BTreeMap<Fingerprint, Timestamp> = BTreeMap::new();
        for t in told.iter().filter(|t| t.state != State::Occurred) {
            match t.state {
                State::Resolved(_) => prop_assert_eq!(up.remove(&t.fingerprint), Some(t.starts_at)),
                // What is told of an alert that is up (a change of its severity) keeps its start.
                _ => prop_assert_eq!(*up.entry(t.fingerprint).or_insert(t.starts_at), t.starts_at),
            }
        }
        prop_assert_eq!(up.into_keys().collect::<BTreeSet<_>>(), active);
    }
}

/// Rules of which some explain others, and which may tell few alerts at a time.
fn bounded_rules() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![0_usize, 1, 2, 3, 6, 8, 9, 10, 15]);
    let kinds = prop::collection::btree_map(kind, (0..3_i64, 0..80_usize, 0..4_usize, 0..3_usize), 1..6);
    kinds.prop_map(|kinds| {
        let ids: Vec<usize> = kinds.keys().copied().collect();
        let rules = kinds.into_iter().map(|(kind, (at, timers, most, by))| {
            let mut text = rule(kind, at, timers);
            if most > 0 && kind != 9 {
                text.push_str(&format!("    max_instances: {most}\n"));
            }
            // Only what stands before it, so that there is no cycle.
            if let Some(by) = ids.get(by).filter(|by| **by < kind && **by != 9) {
                text.push_str(&format!("    inhibited_by: r{by}\n"));
            }
            text
        });
        rules.fold(STREAMS.to_owned(), |text, rule| text + &rule)
    })
}

/// The same where nothing is withheld.
fn unbounded(rules: &str) -> String {
    let keep = |line: &&str| !line.contains("max_instances") && !line.contains("inhibited_by");
    rules.lines().filter(keep).map(|line| format!("{line}\n")).collect()
}

/// The transitions, and the alerts that are up then, withheld or not.
fn told(rules: &str, steps: &[Step], rate: u32, restarts: bool) -> (Vec<Transition>, BTreeSet<Fingerprint>) {
    let begin = |rules: &str| {
        let mut core = Core::new("edge".into(), Limits { rate, ..Limits::default() });
        core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
        core
    };
    let (mut core, mut told) = (begin(rules), Vec::new());
    let (mut now, mut text) = (10, rules.to_owned());
    let mut states: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
    for (n, step) in steps.iter().enumerate() {
        let again = matches!(step, Step::Restart);
        if again || restarts {
            let snapshot = core.snapshot(at(now), true);
            let before = std::mem::replace(&mut core, begin(&text));
            core.restore(&snapshot, at(now)).unwrap();
            // And what is committed says the same.
            if n % 2 == 0 {
                let states: Vec<_> = states.clone().into_iter().collect();
                assert_eq!(core.restore_alerts(&states, at(now)), 0);
            }
            link_again(&before, &mut core, now);
        }
        if again {
            continue;
        }
        let effects = core.apply(input_of(&core, step, &mut now, &mut text), at(now));
        told.extend(effects.transitions.into_iter().map(|t| Transition { evidence: None, place: 0, ..t }));
        for change in effects.states {
            match change.body {
                Some(body) => drop(states.insert(change.key, body)),
                None => drop(states.remove(&change.key)),
            }
        }
    }
    let active = core.all_active().into_iter();
    let up = active.filter(|alert| alert.phase != "pending").map(|alert| alert.fingerprint).collect();
    (told, up)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// What is told, and what summaries account for, is what there was; whatever restarts.
    #[test]
    fn what_is_withheld_is_accounted_for(
        rules in bounded_rules(),
        steps in prop::collection::vec(step().prop_filter("rules stay", |step| !matches!(step, Step::Rules(_) | Step::Resolve(_))), 1..80),
        rate in 0..4_u32,
    ) {
        let (some, up) = told(&rules, &steps, rate, false);
        prop_assert_eq!(&(some.clone(), up.clone()), &told(&rules, &steps, rate, true));
        let (all, truly_up) = told(&unbounded(&rules), &steps, 0, false);
        prop_assert_eq!(&up, &truly_up, "the states are right, told or not");
        // What happened, by alert and start.
        let key = |t: &Transition| (t.fingerprint, t.starts_at);
        let began: BTreeSet<_> = all.iter().filter(|t| t.state.name() == "firing").map(key).collect();
        let ended: BTreeSet<_> = all.iter().filter(|t| t.state.name() == "resolved").map(key).collect();
        let mut open = BTreeSet::new();
        for t in some.iter().filter(|t| !t.rule.ends_with("/storm") && t.state != State::Occurred) {
            prop_assert!(began.contains(&key(t)), "told of what was: {:?}", t);
            if t.state.name() == "firing" {
                open.insert(key(t));
            } else {
                prop_assert!(open.remove(&key(t)), "an end of what was told: {:?}", t);
                prop_assert!(ended.contains(&key(t)));
            }
        }
        for (still, _) in &open {
            prop_assert!(truly_up.contains(still), "what was told to begin is told to end");
        }
        // Storms that are over account for all that they withheld.
        for t in some.iter().filter(|t| t.rule.ends_with("/storm") && t.state.name() == "resolved") {
            let figure = |name: &str| t.values.iter().find(|(known, _)| **known == *name).map(|(_, v)| v.clone());
            let (Some(Cell::Int(withheld)), Some(Cell::Int(ended)), Some(Cell::Int(told))) =
                (figure("withheld"), figure("ended"), figure("told")) else { panic!("{t:?}") };
            prop_assert_eq!(withheld, ended + told);
            prop_assert!(withheld > 0);
        }
        // Nothing is kept back where nothing asks for it.
        if rate == 0 && rules == unbounded(&rules) {
            prop_assert_eq!(some, all);
        }
    }
}

/// What somebody believes who heard all transitions: of each alert its start and its severity.
fn believe(beliefs: &mut BTreeMap<Fingerprint, (Timestamp, Arc<str>)>, told: &[Transition]) {
    for t in told {
        match t.state {
            State::Firing | State::Up(_) => {
                beliefs.insert(t.fingerprint, (t.starts_at, t.severity.clone()));
            }
            State::Resolved(_) => drop(beliefs.remove(&t.fingerprint)),
            State::Occurred => {}
        }
    }
}

/// Runs the steps, with a restart where they say so; whole snapshots, or committed states behind one that is older.
fn what_is_believed(rules: &str, steps: &[Step], rate: u32, whole: bool) -> Result<(), TestCaseError> {
    let begin = |rules: &str| {
        let mut core = Core::new("edge".into(), Limits { rate, ..Limits::default() });
        core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
        core
    };
    let (mut core, mut now, mut text) = (begin(rules), 10, rules.to_owned());
    let mut states: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
    let (mut beliefs, mut older) = (BTreeMap::new(), core.snapshot(at(now), false));
    for (n, step) in steps.iter().enumerate() {
        if matches!(step, Step::Restart) {
            let whole = whole.then(|| core.snapshot(at(now), true));
            let before = std::mem::replace(&mut core, begin(&text));
            core.restore(whole.as_ref().unwrap_or(&older), at(now)).unwrap();
            let states: Vec<_> = states.clone().into_iter().collect();
            prop_assert_eq!(core.restore_alerts(&states, at(now)), 0);
            link_again(&before, &mut core, now);
        } else {
            let effects = core.apply(input_of(&core, step, &mut now, &mut text), at(now));
            believe(&mut beliefs, &effects.transitions);
            for change in effects.states {
                match change.body {
                    Some(body) => drop(states.insert(change.key, body)),
                    None => drop(states.remove(&change.key)),
                }
            }
            // A change of rules comes with a snapshot.
            if n % 5 == 0 || matches!(step, Step::Rules(_)) {
                older = core.snapshot(at(now), false);
            }
        }
        let mut announced = BTreeMap::new();
        believe(&mut announced, &core.announced(at(now)));
        prop_assert_eq!(&announced, &beliefs, "after step {} {:?}", n, step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// The set that a hub is offered to compare with is what it believes where it heard everything.
    #[test]
    fn what_is_announced_is_what_was_told(
        rules in bounded_rules(),
        steps in prop::collection::vec(step(), 1..80),
        rate in 0..4_u32,
        whole: bool,
    ) {
        what_is_believed(&rules, &steps, rate, whole)?;
    }

    #[test]
    fn a_rule_that_becomes_more_severe_says_so_of_alerts_that_are_up(severities in prop::collection::vec(0..3_usize, 1..5)) {
        let rules = |severity: usize| {
            let severity = ["info", "warning", "critical"][severity];
            format!("{STREAMS}  - {{id: hot, sql: SELECT v FROM a, when: v > 5, severity: {severity}}}\n")
        };
        let mut core = start(&rules(1), true, true);
        let reading = message("a/x", r#"{"v":7}"#.to_owned(), 10, false);
        let mut beliefs = BTreeMap::new();
        believe(&mut beliefs, &core.apply(Input::Messages(vec![reading]), at(10)).transitions);
        for severity in severities {
            let admitted = admit("set", &rules(severity)).unwrap();
            believe(&mut beliefs, &core.apply(Input::Run(Box::new(admitted)), at(11)).transitions);
            let mut announced = BTreeMap::new();
            believe(&mut announced, &core.announced(at(11)));
            prop_assert_eq!(&announced, &beliefs);
        }
    }
}

#[test]
fn beyond_the_agents_rate_a_summary_stands_for_the_rest() {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device')
rules:
  - {id: hot, sql: SELECT v FROM a, when: v > 5}
";
    let mut core = Core::new("edge".into(), Limits { rate: 2, ..Limits::default() });
    core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
    let message =
        |device: usize, v: usize| message(&format!("a/d{device}"), format!(r#"{{"v":{v}}}"#), 10, false);
    let shown = |effects: Effects| {
        let one = |t: &Transition| {
            let device = t.labels.get("device").map_or("", |device| device);
            let summary = t.annotations.get("summary").map_or("", |text| text);
            format!("{} {} {device}{summary}", t.rule, t.state)
        };
        effects.transitions.iter().map(one).collect::<Vec<_>>()
    };
    let messages = Input::Messages((0..5).map(|device| message(device, 9)).collect());
    assert_eq!(
        shown(core.apply(messages, at(10))),
        [
            "hot firing d0",
            "hot firing d1",
            "weir/storm firing 1 alerts are withheld, as no more than 2 a minute are told (2 up besides)",
        ]
    );
    assert_eq!((core.withheld().now, core.withheld().rate), (3, 3));
    assert_eq!(
        shown(core.apply(Input::Messages(vec![message(3, 1), message(0, 1)]), at(11))),
        ["hot resolved (recovered) d0"]
    );
    // Of those that began together any may be the first.
    let mut later = shown(core.apply(Input::Tick, at(100)));
    later.sort();
    assert_eq!(later[0], "hot firing d2");
    assert_eq!(later[1], "hot firing d4");
    assert_eq!(
        later[2],
        "weir/storm resolved (recovered) 3 alerts were withheld: 1 ended meanwhile, 2 were told later"
    );
    assert_eq!(later.len(), 3);
    assert_eq!(core.withheld().now, 0);
}

/// What is told at the first tick after `down` seconds between two processes: rule, state and second.
fn after_downtime(downtime: Downtime, trusted: bool, down: i64) -> Vec<(String, String, i64)> {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device')
rules:
  - id: window
    sql: SELECT device, avg(v) AS m FROM a GROUP BY device, TUMBLINGWINDOW(mi, 1)
    when: m > 5
  - id: silent
    sql: SELECT v FROM a
    when: v > 50
    no_data: {after: 5m, do: fire}
  - id: waits
    sql: SELECT v FROM a
    when: v > 5
    for: 4m
";
    let limits = Limits { downtime, ..Limits::default() };
    let fresh = || {
        let mut core = Core::new("edge".into(), limits);
        core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
        core.trust_clock(trusted);
        core
    };
    let mut core = fresh();
    let message = message("a/x", r#"{"v":7}"#.to_owned(), 10, false);
    let states = core.apply(Input::Messages(vec![message]), at(10)).states;
    let states: Vec<_> = states.into_iter().filter_map(|kept| Some((kept.key, kept.body?))).collect();
    let snapshot = core.snapshot(at(20), false);
    let mut core = fresh();
    core.restore(&snapshot, at(20 + down)).unwrap();
    core.restore_alerts(&states, at(20 + down));
    let told = core.apply(Input::Tick, at(20 + down)).transitions;
    let second = |t: &Transition| (t.occurred_at.micros() - at(0).wall.micros()) / 1_000_000;
    told.iter().map(|t| (t.rule.to_string(), t.state.to_string(), second(t))).collect()
}

#[test]
fn downtime_counts_where_it_is_asked_for() {
    let fired = |rule: &str, state: &str, second| (rule.to_owned(), state.to_owned(), second);
    assert_eq!(after_downtime(Downtime::Ignored, true, 900), []);
    assert_eq!(after_downtime(Downtime::Counted, true, 0), []);
    // The test's minutes begin 20 s after the full one.
    let window = after_downtime(Downtime::Counted, true, 60);
    assert_eq!(window.len(), 1, "{window:?}");
    assert_eq!(window[0], fired("window", "firing", window[0].2));
    assert!(window[0].2 > 20 && window[0].2 <= 70);
    let both = after_downtime(Downtime::Counted, true, 900);
    assert_eq!(both[1..], [fired("silent", "firing (no_data)", 310), fired("waits", "firing", 250)]);
    assert_eq!(after_downtime(Downtime::Counted, false, 900), [], "a clock that is wrong counts nothing");
}

/// A process that ran for long leaves a journal to one that has just begun.
#[test]
fn timers_of_a_journal_run_on_whatever_the_uptime_of_the_process_that_wrote_it() {
    let rules = "
streams: ['CREATE STREAM a (v FLOAT) WITH (DATASOURCE=''a/{device}'', KEY=''device'')']
rules: [{id: waits, sql: SELECT v FROM a, when: v > 5, for: 4m}]
";
    // The clock of each process begins far from zero, as [`crate::clock`] has it.
    let (begin, day) = (31_536_000, 86_400);
    for (uptime_before, uptime_after) in [(begin + 10 * day, begin + 1), (begin + 1, begin + 10 * day)] {
        for (downtime, told) in [(Downtime::Ignored, 240), (Downtime::Counted, 140)] {
            let fresh = || {
                let mut core = Core::new("edge".into(), Limits { downtime, ..Limits::default() });
                core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
                core
            };
            let there = |second: i64| Now { wall: at(second).wall, mono: at(uptime_before + second).mono };
            let mut core = fresh();
            let snapshot = core.snapshot(there(5), true);
            let reading = message("a/x", r#"{"v":7}"#.to_owned(), 10, false);
            let states = core.apply(Input::Messages(vec![reading.clone()]), there(10)).states;
            let states: Vec<_> = states.into_iter().filter_map(|kept| Some((kept.key, kept.body?))).collect();
            // It dies at once, and is started again 100 s later.
            let here =
                |second: i64| Now { wall: at(second).wall, mono: at(uptime_after + second - 110).mono };
            let mut core = fresh();
            let journal = vec![(there(10), Input::Messages(vec![reading]))];
            assert_eq!(core.take_over(Some(&snapshot), journal, here(110)), Vec::<String>::new());
            assert_eq!(core.restore_alerts(&states, here(110)), 0);
            let fires = |core: &mut Core, second| core.apply(Input::Tick, here(second)).transitions.len();
            assert_eq!(fires(&mut core, 110 + told - 1), 0, "{uptime_before} {downtime:?}");
            assert_eq!(fires(&mut core, 110 + told + 1), 1, "{uptime_before} {downtime:?}");
        }
    }
}

#[test]
fn what_was_told_of_a_stream_ends_though_the_snapshot_is_older() {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device', SILENCE='1m')
rules: [{id: hot, sql: SELECT v FROM a, when: v > 5}]
";
    let mut core = start(rules, true, true);
    let reading = |now: i64| Input::Messages(vec![message("a/x", r#"{"v":1}"#.to_owned(), now, false)]);
    core.apply(reading(10), at(10));
    let snapshot = core.snapshot(at(20), false);
    let told = core.apply(Input::Tick, at(100));
    assert_eq!(told.transitions.len(), 1);
    let states: Vec<_> = told.states.into_iter().filter_map(|kept| Some((kept.key, kept.body?))).collect();
    // The process dies here.
    let mut core = start(rules, true, true);
    core.restore(&snapshot, at(110)).unwrap();
    assert_eq!(core.restore_alerts(&states, at(110)), 0);
    assert_eq!(core.apply(Input::Tick, at(300)).transitions, []);
    let told = core.apply(reading(310), at(310)).transitions;
    assert_eq!(told.iter().map(|t| t.state.to_string()).collect::<Vec<_>>(), ["resolved (recovered)"]);

    // The other way round: the snapshot is of a silence that was over when the process died.
    core.apply(Input::Tick, at(400));
    let snapshot = core.snapshot(at(405), false);
    assert_eq!(core.apply(reading(406), at(406)).transitions.len(), 1);
    let mut core = start(rules, true, true);
    core.restore(&snapshot, at(410)).unwrap();
    assert_eq!(core.restore_alerts(&[], at(410)), 0);
    let told = core.apply(Input::Tick, at(500)).transitions;
    assert_eq!(
        told.iter().map(|t| (t.state.name(), t.occurred_at)).collect::<Vec<_>>(),
        [("firing", at(470).wall)]
    );
}

#[test]
fn a_key_that_was_heard_once_is_missed_though_the_snapshot_is_older() {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device')
rules: [{id: hot, sql: SELECT v FROM a, when: v > 5, no_data: {after: 1m, do: fire}}]
";
    let mut core = start(rules, true, true);
    let reading = |topic: &str, now: i64| {
        let message = message(topic, r#"{"v":1}"#.to_owned(), now, false);
        Input::Messages(vec![message])
    };
    core.apply(reading("a/x", 10), at(10));
    let snapshot = core.snapshot(at(11), false);
    let heard = core.apply(reading("a/y", 12), at(12));
    assert!(heard.must_commit() && heard.states.is_empty(), "the key is new");
    assert!(!core.apply(reading("a/y", 13), at(13)).must_commit(), "it is known by now");
    // The process dies here.
    let mut core = start(rules, true, true);
    core.restore(&snapshot, at(20)).unwrap();
    for (set, learned) in &heard.learned {
        core.learn(set, learned, at(20)).unwrap();
    }
    core.restore_alerts(&[], at(20));
    core.apply(reading("a/x", 79), at(79));
    let told = core.apply(Input::Tick, at(90)).transitions;
    let shown: Vec<_> = told.iter().map(|t| (t.state.to_string(), t.labels["device"].to_string())).collect();
    assert_eq!(shown, [("firing (no_data)".to_owned(), "y".to_owned())]);
}

#[test]
fn an_alert_that_waits_keeps_its_readings_across_a_restart() {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device')
rules: [{id: hot, sql: SELECT v FROM a, when: v > 5, for: 10s}]
";
    for whole in [false, true] {
        let begin = || {
            let mut core = Core::new("edge".into(), Limits::default());
            core.apply(Input::Run(Box::new(admit("set", rules).unwrap())), at(0));
            core
        };
        let mut core = begin();
        let mut states = BTreeMap::new();
        for (second, v) in [(1, 1), (2, 2), (3, 7), (4, 8)] {
            let message = message("a/x", format!(r#"{{"v":{v}}}"#), second, false);
            let effects = core.apply(Input::Messages(vec![message]), at(second));
            states.extend(effects.states.into_iter().filter_map(|kept| Some((kept.key, kept.body?))));
        }
        let snapshot = core.snapshot(at(5), whole);
        assert_eq!(core.states(at(5)).len(), states.len());
        let mut core = begin();
        core.restore(&snapshot, at(5)).unwrap();
        core.restore_alerts(&states.into_iter().collect::<Vec<_>>(), at(5));
        let told = core.apply(Input::Tick, at(20)).transitions;
        let readings = &told[0].evidence.as_ref().unwrap().readings;
        let values: Vec<String> = readings.iter().map(|reading| reading.values[0].to_string()).collect();
        assert_eq!(values, ["1", "2", "7", "8"], "whole: {whole}");
    }
}

#[test]
fn a_recording_begins_with_its_first_message() {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device', SILENCE='1m')
rules: [{id: hot, sql: SELECT v FROM a, when: v > 5}]
";
    let mut core = start(rules, true, true);
    let mut clock = Timestamp::MIN;
    let mut shown = Vec::new();
    for second in [10, 20, 200] {
        let told = core.replay(&message("a/x", r#"{"v":1}"#.to_owned(), second, false), &mut clock);
        shown
            .extend(told.iter().map(|t| (second, t.state.name(), t.occurred_at.since(at(0).wall).as_secs())));
    }
    assert_eq!(shown, [(200, "firing", 80), (200, "resolved", 200)]);
}

const WINDOWS: &str = "
streams:
  - CREATE STREAM e (n BIGINT, v FLOAT, ts BIGINT) WITH (DATASOURCE='e/{device}', KEY='device', TIMESTAMP='ts', TIMESTAMP_FORMAT='s', IDLE='24h')
rules:
  - {id: fives, repeat: 0, sql: 'SELECT device, count(*) AS c, sum(n) AS s FROM e GROUP BY device, COUNTWINDOW(5)'}
  - {id: threes, repeat: 0, sql: 'SELECT device, sum(n) AS s FROM e GROUP BY device, COUNTWINDOW(3, 1)'}
  - {id: tens, repeat: 0, sql: 'SELECT device, count(*) AS c, sum(n) AS s FROM e GROUP BY device, TUMBLINGWINDOW(ss, 10)'}
  - {id: twice, sql: 'SELECT device, v FROM e', when: v > 0, times: 2, flapping: off}
  - {id: mean, sql: 'SELECT device, avg(v) AS a FROM e GROUP BY device, HOPPINGWINDOW(ss, 20, 10)', when: a > 0, flapping: off}
";

/// What is told of batches of readings, each of a device. Before some of them the process dies, and the one after it
/// takes over the snapshot that it made when it began, the journal since, and the committed states.
fn through_crashes(batches: &[(Vec<(u8, i64)>, bool)], crashes: bool) -> Vec<Transition> {
    let (mut core, mut told) = (start(WINDOWS, true, true), Vec::new());
    let (mut snapshot, mut journal) = (core.snapshot(at(1), true), Vec::new());
    let mut states: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
    let (mut serials, mut begun) = ([0_i64; 3], 0);
    for (now, (batch, crash)) in (10..).zip(batches) {
        // Each process has a clock of its own, beside the calendar.
        let at = |now: i64, begun: i64| Now { wall: at(now).wall, mono: at(now - begun).mono };
        if *crash && crashes {
            begun = now;
            core = start(WINDOWS, true, true);
            assert_eq!(
                core.take_over(Some(&snapshot), std::mem::take(&mut journal), at(now, begun)),
                Vec::<String>::new()
            );
            let states: Vec<_> = states.clone().into_iter().collect();
            assert_eq!(core.restore_alerts(&states, at(now, begun)), 0);
            snapshot = core.snapshot(at(now, begun), true);
        }
        let messages: Vec<Message> = batch
            .iter()
            .map(|(device, v)| {
                let serial = &mut serials[usize::from(*device)];
                *serial += 1;
                let payload = format!(r#"{{"n":{serial},"v":{v},"ts":{}}}"#, 1_700_000_000 + 4 * *serial);
                message(&format!("e/{device}"), payload, now, false)
            })
            .collect();
        journal.push((at(now, begun), Input::Messages(messages.clone())));
        let effects = core.apply(Input::Messages(messages), at(now, begun));
        told.extend(effects.transitions.into_iter().map(|t| Transition { evidence: None, place: 0, ..t }));
        for change in effects.states {
            match change.body {
                Some(body) => drop(states.insert(change.key, body)),
                None => drop(states.remove(&change.key)),
            }
        }
    }
    told.sort_by_key(|t| (t.fingerprint, t.occurred_at));
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_costs_no_window_a_row_whatever_crashes(
        batches in prop::collection::vec((prop::collection::vec((0..3_u8, -2..3_i64), 1..12), prop::bool::weighted(0.3)), 1..40),
    ) {
        let essence = |told: Vec<Transition>| told.iter().map(|t| format!("{} {} {} {:?}", t.rule, t.state, t.occurred_at, t.values)).collect::<Vec<_>>();
        prop_assert_eq!(essence(through_crashes(&batches, false)), essence(through_crashes(&batches, true)));
    }
}

const REMEMBERING: &str = "
streams:
  - CREATE STREAM a (v FLOAT, w BIGINT) WITH (DATASOURCE='a/{device}', KEY='device')
  - CREATE STREAM e (v FLOAT, w BIGINT, ts BIGINT) WITH (DATASOURCE='e/{device}', KEY='device', TIMESTAMP='ts', TIMESTAMP_FORMAT='s')
rules:
  - {id: tumbling, sql: 'SELECT device, count(*) AS n FROM a GROUP BY device, TUMBLINGWINDOW(ss, 5) HAVING count(*) > 1', repeat: 0s}
  - {id: hopping, sql: 'SELECT device, count(*) AS n FROM e GROUP BY device, HOPPINGWINDOW(ss, 6, 2)', repeat: 0s}
  - {id: collected, sql: 'SELECT device, collect(v) AS all FROM e GROUP BY device, TUMBLINGWINDOW(ss, 4)', repeat: 0s}
  - {id: session, sql: 'SELECT device, max(v) AS m FROM e GROUP BY device, SESSIONWINDOW(ss, 20, 3)', repeat: 0s}
  - {id: mean, sql: 'SELECT device, avg(v) AS m FROM a GROUP BY device, TUMBLINGWINDOW(ss, 3)', when: m > 3}
  - {id: changed, sql: 'SELECT device, v FROM a WHERE had_changed(true, v) OVER (PARTITION BY device)', repeat: 0s}
  - {id: moved, sql: 'SELECT device, v, lag(v) OVER (PARTITION BY device) AS l FROM e', when: v != l}
  - {id: hot, sql: 'SELECT device, v FROM e', when: v > 3}
  - {id: kept, sql: 'SELECT device, v FROM e', when: v > 3, keep_firing_for: 3s}
";

/// Runs steps of (what, value, step of time) through processes that die without a word, each with what the one before had
/// made durable. Gives what was told.
fn run_with_crashes(steps: &[(usize, i64, i64)]) -> Vec<Transition> {
    let mut core = start(REMEMBERING, true, true);
    let mut all: Vec<Transition> = Vec::new();
    // The file: alert states, the newest snapshot, and what was noted since.
    let (mut states, mut snapshot) = (BTreeMap::new(), core.snapshot(at(0), false));
    let (mut learned, mut decided) = (Vec::new(), Vec::new());
    let mut now = 10;
    for (what, v, wait) in steps {
        now += wait;
        let input = match what {
            0..6 => {
                // The last two are of a while ago, as from a broker that went back in time.
                let ts = 1_700_000_000 + now - [0, 0, 0, 0, 3, 9][*what];
                let topic = ["a/x", "a/y", "e/x", "e/y", "e/x", "e/y"][*what];
                let payload = format!(r#"{{"v":{v},"w":1,"ts":{ts}}}"#);
                Input::Messages(vec![message(topic, payload, now, false)])
            }
            6 => Input::Tick,
            7 => {
                snapshot = core.snapshot(at(now), false);
                learned.clear();
                decided.clear();
                continue;
            }
            _ => {
                core = start(REMEMBERING, true, true);
                core.restore(&snapshot, at(now)).unwrap();
                learned
                    .iter()
                    .for_each(|(set, keys): &(Arc<str>, Vec<u8>)| core.learn(set, keys, at(now)).unwrap());
                decided.iter().for_each(|(set, told): &(Arc<str>, Vec<u8>)| core.decide(set, told).unwrap());
                let kept: Vec<(StateKey, Vec<u8>)> = states.clone().into_iter().collect();
                assert_eq!(core.restore_alerts(&kept, at(now)), 0);
                continue;
            }
        };
        let effects = core.apply(input, at(now));
        for change in effects.states {
            match change.body {
                Some(body) => states.insert(change.key, body),
                None => states.remove(&change.key),
            };
        }
        learned.extend(effects.learned);
        decided.extend(effects.decided);
        all.extend(effects.transitions);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_was_told_is_not_told_again_though_the_snapshot_is_older(
        steps in prop::collection::vec((prop_oneof![9 => 0..6_usize, 2 => 6..8_usize, 1 => Just(8_usize)], 0..6_i64, 0..3_i64), 1..120),
    ) {
        let mut once = BTreeSet::new();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut alerts = BTreeMap::new();
        for told in run_with_crashes(&steps) {
            let (rule, device) = (told.labels["alertname"].to_string(), told.labels["device"].to_string());
            let (state, v) = (told.state.to_string(), format!("{:?}", told.values.iter().find(|(name, _)| **name == *"v")));
            if rule == "changed" {
                let before = values.insert(device.clone(), v.clone());
                prop_assert!(before.as_ref() != Some(&v), "{device} changed to {v} twice");
            } else if rule == "moved" {
                let before = values.insert(format!("moved {device}"), told.state.name().to_owned());
                prop_assert_ne!(before.as_deref(), Some(told.state.name()));
            } else if rule == "hot" || rule == "kept" {
                let (hot, at) = (rule == "hot", told.occurred_at);
                let before = alerts.insert((rule, device), (told.state.name(), at));
                let (up, before) = before.unwrap_or(("", Timestamp::MIN));
                prop_assert!(up != told.state.name(), "{told:?} twice");
                // What ended by the clock may begin again with a reading of the same time as the last.
                prop_assert!(!hot || before <= at, "{told:?} is older than what was told");
            } else {
                let named = format!("{rule} {device} {state} {}", told.occurred_at);
                prop_assert!(once.insert(named.clone()), "{named} twice");
            }
        }
    }
}

#[test]
fn what_was_told_by_a_clock_that_was_wrong_holds_nothing_back() {
    let rules = "
streams:
  - CREATE STREAM a (v FLOAT) WITH (DATASOURCE='a/{device}', KEY='device')
rules:
  - {id: five, sql: 'SELECT device, count(*) AS n FROM a GROUP BY device, TUMBLINGWINDOW(ss, 5)', repeat: 0s}
  - {id: hot, sql: 'SELECT device, v FROM a', when: v > 3}
";
    let reading =
        |v: i64, now: i64| Input::Messages(vec![message("a/x", format!(r#"{{"v":{v}}}"#), now, false)]);
    let told = |effects: &Effects| -> Vec<String> {
        effects.transitions.iter().map(|told| format!("{} {}", told.rule, told.state.name())).collect()
    };
    let mut core = start(rules, true, true);
    // Days ahead.
    let mut decided = Vec::new();
    for (v, now) in [(4, 900_001), (1, 900_002), (1, 900_007)] {
        decided.extend(core.apply(reading(v, now), at(now)).decided);
    }
    assert!(!decided.is_empty());
    let mut core = start(rules, true, true);
    for (set, told) in &decided {
        core.decide(set, told).unwrap();
    }
    assert_eq!(told(&core.apply(reading(4, 11), at(11))), ["hot firing"]);
    assert_eq!(told(&core.apply(reading(4, 17), at(17))), ["five occurred"]);
}
