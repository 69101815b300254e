//! What an alert is told with: the last readings of its key, which the engine has and the book of alerts
//! knows nothing of. It decides nothing.

use crate::alert::{Book, Whose};
use crate::engine::Engine;
use crate::model::transition::{State, Transition};

/// How many readings show that an alert ended.
const AT_END: usize = 4;

/// Gives the transitions of the book's last call the readings of their keys, at most so many each.
pub(super) fn attach(engine: &Engine, book: &Book, most: usize, told: &mut [Transition]) {
    for (transition, Whose { rule, key, .. }) in told.iter_mut().zip(book.told()) {
        let most = match transition.state {
            State::Firing | State::Up(_) | State::Occurred => most,
            State::Resolved(_) => most.min(AT_END),
        };
        let since = match transition.state {
            State::Resolved(_) => transition.occurred_at,
            _ => transition.starts_at,
        };
        transition.evidence = if most > 0 { engine.evidence(*rule, key, most, since) } else { None };
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::casefile::admit;
    use crate::agent::core::{Core, Input, Limits};
    use crate::model::message::Message;
    use crate::model::time::{Mono, Now, Timestamp};
    use crate::model::transition::Transition;

    const RULES: &str = r#"
streams:
  - CREATE STREAM s (v FLOAT, door STRING, pos STRUCT(x FLOAT)) WITH (DATASOURCE='t/{device}', KEY='device')
  - CREATE STREAM n (v FLOAT) WITH (DATASOURCE='n/+')
rules:
  - {id: hot, sql: "SELECT device, v FROM s WHERE door <> 'broken'", when: v > 30, for: 1m}
  - {id: open, sql: SELECT pos FROM s WHERE door = 'open'}
  - {id: mean, sql: 'SELECT device, avg(v) AS m FROM s GROUP BY device, COUNTWINDOW(3)', when: m > 35}
  - {id: doors, sql: SELECT door FROM s, when: door = 'open', key: [door]}
  - {id: any, sql: SELECT v FROM n, when: v > 30}
"#;

    fn at(seconds: u64) -> Now {
        let micros = seconds * 1_000_000;
        Now { wall: Timestamp::from_micros(i64::try_from(micros).unwrap()), mono: Mono::from_micros(micros) }
    }

    fn core(limits: Limits) -> Core {
        let mut core = Core::new("edge".into(), limits);
        core.apply(Input::Run(Box::new(admit("set", RULES).unwrap())), at(0));
        core
    }

    fn take(core: &mut Core, seconds: u64, topic: &str, payload: &str) -> Vec<Transition> {
        let message = Message {
            source: "test".into(),
            topic: topic.into(),
            payload: payload.to_owned().into(),
            received: at(seconds).wall,
            retained: false,
            dup: false,
            qos: 0,
            properties: Box::default(),
            ack: None,
        };
        core.apply(Input::Messages(vec![message]), at(seconds)).transitions
    }

    /// Rule, state, columns, and of each reading its second and its values.
    fn shown(told: &[Transition]) -> Vec<String> {
        let one = |t: &Transition| {
            let evidence = t.evidence.clone().unwrap_or_default();
            let reading = |reading: &crate::model::transition::Reading| {
                let values: Vec<String> = reading.values.iter().map(ToString::to_string).collect();
                format!("{}:{}", reading.at.micros() / 1_000_000, values.join(","))
            };
            let readings: Vec<String> = evidence.readings.iter().map(reading).collect();
            format!("{} {} {} {}", t.rule, t.state.name(), evidence.columns.join(","), readings.join(" "))
        };
        told.iter().map(one).collect()
    }

    #[test]
    fn alerts_are_told_with_the_readings_of_their_key_and_the_columns_of_their_rule() {
        let mut core = core(Limits::default());
        for second in 1..30_u32 {
            let told =
                take(&mut core, second.into(), "t/a", &format!(r#"{{"v": {second}, "door": "shut"}}"#));
            assert!(told.is_empty());
            take(&mut core, second.into(), "t/b", r#"{"v": 1, "door": "shut"}"#);
        }
        take(&mut core, 31, "t/a", r#"{"v": 31, "door": "shut"}"#);
        // A timer that runs out tells what it ran out over.
        let told = core.apply(Input::Tick, at(100)).transitions;
        let readings: Vec<String> = (15..30).chain([31]).map(|n| format!("{n}:shut,{n}")).collect();
        assert_eq!(shown(&told), [format!("hot firing door,v {}", readings.join(" "))]);
        // What WHERE holds back, and what is no single value.
        let told = take(&mut core, 110, "t/a", r#"{"v": 32, "door": "broken", "pos": {"x": 1}}"#);
        assert_eq!(shown(&told), Vec::<String>::new());
        let told = take(&mut core, 120, "t/a", r#"{"v": 20, "door": "open", "pos": {"x": 1}}"#);
        let last = ["29:shut,29", "31:shut,31", "110:broken,32", "120:open,20"].join(" ");
        let told = shown(&told);
        assert_eq!(told[0], format!("hot resolved door,v {last}"));
        assert!(told[1].starts_with("open occurred door "), "an object is left out: {}", told[1]);
        assert_eq!(told[2], "doors firing  ", "its key is another one");
    }

    #[test]
    fn an_alert_that_waited_shows_what_was_before_and_the_first_after() {
        let mut core = core(Limits { evidence: 8, ..Limits::default() });
        let mut told = Vec::new();
        for second in 1..100_u64 {
            let v = if second < 20 { 20 } else { 40 };
            told.extend(take(&mut core, second, "t/a", &format!(r#"{{"v": {v}, "door": "shut"}}"#)));
        }
        let at = |told: &Transition| {
            let readings = &told.evidence.as_ref().unwrap().readings;
            readings.iter().map(|reading| reading.at.micros() / 1_000_000).collect::<Vec<_>>()
        };
        let hot = told.iter().find(|t| *t.rule == *"hot").unwrap();
        // It held from 20 on, for a minute.
        assert_eq!(at(hot), [16, 17, 18, 19, 20, 21, 79, 80]);
    }

    #[test]
    fn a_window_and_a_stream_without_a_key_have_evidence_too() {
        let mut core = core(Limits { evidence: 2, ..Limits::default() });
        for (second, v) in [(1, 30), (2, 40), (3, 50)] {
            let told = take(&mut core, second, "t/a", &format!(r#"{{"v": {v}}}"#));
            let expected = if second == 3 { vec!["mean firing v 2:40 3:50".to_owned()] } else { Vec::new() };
            assert_eq!(shown(&told), expected);
        }
        take(&mut core, 4, "n/x", r#"{"v": 3}"#);
        assert_eq!(shown(&take(&mut core, 5, "n/y", r#"{"v": 33}"#)), ["any firing v 4:3 5:33"]);
    }

    #[test]
    fn without_it_nothing_is_told() {
        let mut core = core(Limits { evidence: 0, ..Limits::default() });
        let told = take(&mut core, 5, "n/y", r#"{"v": 33}"#);
        assert_eq!((told.len(), told[0].evidence.is_none()), (1, true));
    }
}
