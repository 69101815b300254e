//! Recordings in every form, good and bad.

use std::io::Cursor;
use std::time::Duration;

use super::*;

fn options(format: Format) -> Options {
    Options {
        format: Some(format),
        topic: Some("env/{device}".to_owned()),
        time_field: Some("ts".to_owned()),
        ..Options::default()
    }
}

fn open(text: &str, options: Options) -> Result<Recording, ReplayError> {
    Recording::read(Cursor::new(text.as_bytes().to_vec()), options)
}

/// Each record as `topic payload received`, or `! error`.
fn play(text: &str, options: Options) -> Vec<String> {
    open(text, options)
        .unwrap()
        .map(|record| match record {
            Ok(Record { message, recorded }) => {
                let mark = if recorded.is_some() { "" } else { "~" };
                format!(
                    "{} {} {mark}{}",
                    message.topic,
                    String::from_utf8_lossy(&message.payload),
                    message.received.millis()
                )
            }
            Err(error) => format!("! {error}"),
        })
        .collect()
}

#[test]
fn json_lines() {
    let text = concat!(
        "{\"topic\": \"a/b\", \"payload\": {\"t\": 1.5}, \"time\": \"1970-01-01T00:00:01Z\"}\n",
        "{\"topic\": \"a/b\", \"payload\": \"on\"}\r\n",
        "\n",
        "{\"topic\": \"a/b\", \"payload\": [1, 2], \"time\": 1600000000000, \"retained\": true}\n",
        "{\"device\": \"d1\",  \"t\": 20, \"ts\": 1600000001}\n",
        "{\"device\": 7, \"topic\": \"mine\"}\n",
        "{\"t\": 20}\n",
        "{\"device\": \"a/b\"}\n",
        "{\"device\": \"d1\", \"ts\": \"soon\"}\n",
        "nonsense\n",
        "{\"device\": \"last\", \"ts\": \"1600000002.25\"}",
    );
    let expected = [
        "a/b {\"t\":1.5} 1000",
        "a/b on ~1000",
        "a/b [1,2] 1600000000000",
        "env/d1 {\"device\": \"d1\",  \"t\": 20, \"ts\": 1600000001} 1600000001000",
        "env/7 {\"device\": 7, \"topic\": \"mine\"} ~1600000001000",
        "! line 7: the topic needs `device`, which the record does not have",
        "! line 8: the topic needs `device`, and `a/b` is no level of a topic",
        "! line 9: `\"soon\"` is no time; write RFC 3339, or a number since 1970",
        "! line 10: not JSON, at column 2: expected ident at line 1 column 2",
        "env/last {\"device\": \"last\", \"ts\": \"1600000002.25\"} 1600000002250",
    ];
    assert_eq!(play(text, options(Format::JsonLines)), expected);
}

#[test]
fn only_the_marked_are_retained_and_a_topic_is_needed() {
    let text = "{\"topic\":\"a\",\"payload\":1,\"retained\":true}\n{\"topic\":\"a\",\"payload\":1}\n5\n";
    let read: Vec<_> = open(text, Options::default()).unwrap().collect();
    let retained: Vec<bool> = read.iter().flatten().map(|r| r.message.retained).collect();
    assert_eq!(retained, [true, false]);
    assert_eq!(read[2].as_ref().unwrap_err().line, 3);
    assert_eq!(&*read[0].as_ref().unwrap().message.source, "replay");
}

#[test]
fn csv() {
    let text = concat!(
        "\u{feff}ts,device,t,note\r\n",
        "1600000000,d1,-1.5e1,\"a, \"\"b\"\"\nc\"\r\n",
        "2020-09-13T12:26:41Z,007,,plain\n",
        "1,2,3\n",
        "1600000002,x,\"4\" 5,n\n",
        "1600000003,d1,nan,\"\"\n",
        "1600000004,d1,1,\"open\n",
    );
    let expected = [
        r#"env/d1 {"device":"d1","note":"a, \"b\"\nc","t":-15.0,"ts":1600000000} 1600000000000"#,
        r#"env/007 {"device":"007","note":"plain","t":null,"ts":"2020-09-13T12:26:41Z"} 1600000001000"#,
        "! line 5: 3 fields, but the header names 4 columns",
        "! line 6: text follows a quoted field; double the quotes inside it",
        r#"env/d1 {"device":"d1","note":null,"t":"nan","ts":1600000003} 1600000003000"#,
        "! line 8: a quoted field does not end",
    ];
    assert_eq!(play(text, options(Format::Csv)), expected);
}

#[test]
fn what_makes_no_recording() {
    for header in ["", "a,,b\n", "a,b,a\n"] {
        assert!(open(header, options(Format::Csv)).is_err(), "{header:?}");
    }
    for topic in ["", "a/{b", "a/{}", "a/+", "a/#"] {
        assert!(
            open("", Options { topic: Some(topic.to_owned()), ..Options::default() }).is_err(),
            "{topic:?}"
        );
    }
    let error = Recording::open(Path::new("/nowhere/x.csv"), Options::default()).unwrap_err();
    assert!(error.to_string().starts_with("open recording `/nowhere/x.csv`"));
}

#[test]
fn the_ending_tells_the_format() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, json) = (dir.path().join("a.CSV"), dir.path().join("a.jsonl"));
    std::fs::write(&csv, "device\nd1\n").unwrap();
    std::fs::write(&json, "{\"device\":\"d1\"}\n").unwrap();
    let topic = || Options { topic: Some("{device}".to_owned()), ..Options::default() };
    for path in [csv, json] {
        let records: Vec<Record> = Recording::open(&path, topic()).unwrap().map(Result::unwrap).collect();
        assert_eq!(&*records[0].message.topic, "d1");
        assert_eq!(&records[0].message.payload[..], b"{\"device\":\"d1\"}");
    }
}

#[test]
fn a_dotted_path_leads_to_the_time() {
    let given =
        Options { topic: Some("t".to_owned()), time_field: Some("meta.at".to_owned()), ..Options::default() };
    assert_eq!(
        play("{\"meta\":{\"at\":1600000000000000}}", given.clone()),
        ["t {\"meta\":{\"at\":1600000000000000}} 1600000000000"]
    );
    let csv = Options { format: Some(Format::Csv), ..given };
    assert_eq!(
        play("meta.at\n1600000000000000000\n", csv),
        ["t {\"meta.at\":1600000000000000000} 1600000000000"]
    );
}

#[test]
fn a_line_without_end_is_an_error_of_that_line() {
    let text = format!("{}\n{{\"device\":\"d\"}}\n", "x".repeat(lines::LONGEST + 10));
    let read = play(&text, options(Format::JsonLines));
    assert!(read[0].starts_with("! line 1: the line is longer"), "{}", &read[0][..60]);
    assert_eq!(read[1], "env/d {\"device\":\"d\"} ~0");
}

#[test]
fn the_pace() {
    let at = Timestamp::from_millis;
    let recorded = |speed| Pace::Recorded { speed };
    assert_eq!(Pace::AsFast.delay(at(0), at(5_000)), Duration::ZERO);
    assert_eq!(recorded(1.0).delay(at(0), at(5_000)), Duration::from_secs(5));
    assert_eq!(recorded(10.0).delay(at(0), at(5_000)), Duration::from_millis(500));
    assert_eq!(recorded(0.0).delay(at(0), at(5_000)), Duration::from_secs(5));
    assert_eq!(recorded(1.0).delay(at(5_000), at(0)), Duration::ZERO);
}
