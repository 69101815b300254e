//! The scanner beside serde_json alone: whatever the message and whatever is wanted, the same rows and the
//! same rejects.

use super::*;

/// What is wanted, in several shapes: single members, nested ones, a whole with a part of it.
const WANTED: &[&[&str]] = &[
    &["v"],
    &["v", "ts"],
    &["a.b", "a.c.d", "v"],
    &["a", "a.b"],
    &["temperature", "temperament", "humidity", "eight888", "ninechars", "s", "n", "größe"],
    &["a.b.c.d.e"],
    &[],
];

fn spec(wanted: &[&str], ty: &DataType, strict: bool) -> StreamSpec {
    let fields = wanted.iter().map(|name| field(name, ty.clone())).collect();
    StreamSpec { strict, ..stream("s", "t/x", Format::Json, fields) }
}

/// What comes between a message and the same one again: what the scanner took for usual may then be of
/// either of them.
const BETWEEN: &[u8] = br#"{"v":1,"ts":2.5,"a":{"b":1,"c":{"d":"e"}},"x":[{}],"temperature":3,"s":"t"}"#;

/// What a decoder makes of a message, three times.
fn told(spec: &Arc<StreamSpec>, payload: &[u8], scan: bool) -> (Vec<String>, Vec<Sample>, bool) {
    let config = Config { scan, max_rows: 20, ..Config::default() };
    let mut decoder = Decoder::with_config(vec![spec.clone()], config);
    let mut rows = Rows::new();
    for payload in [payload, payload, BETWEEN, payload] {
        decoder.decode(&message("t/x", payload), &mut rows);
    }
    // Minus zero is equal to zero, and yet another number.
    let rows = rows.iter().map(|(_, row)| format!("{row:?}")).collect();
    let (_, stats) = decoder.stats().next().unwrap();
    (rows, stats.samples().cloned().collect(), decoder.elements.scanned)
}

/// Holds the two against each other for every shape of wants; says how often the scanner decided.
#[track_caller]
fn judge(payload: &[u8]) -> usize {
    let mut scanned = 0;
    for wanted in WANTED {
        for (ty, strict) in [(DataType::Any, true), (DataType::Float, true), (DataType::String, false)] {
            let spec = Arc::new(spec(wanted, &ty, strict));
            let (rows, samples, decided) = told(&spec, payload, true);
            let (expected, rejects, _) = told(&spec, payload, false);
            let text = String::from_utf8_lossy(payload);
            assert_eq!((rows, samples), (expected, rejects), "{text} for {wanted:?} as {ty}");
            scanned += usize::from(decided);
        }
    }
    scanned
}

#[test]
fn what_is_usual_is_scanned() {
    let all = WANTED.len() * 3;
    for payload in [
        "{}",
        " { \"v\" : 1 , \"ts\" : 2.5 } \r\n",
        r#"{"temperature":23.5,"humidity":40,"s":"on","größe":"é","ok":true,"none":null,"x":-1e-9,"list":[1,[],{}]}"#,
        r#"{"other": "an \"escape\" \u00e9 \ud800", "deep": {"er": [[{"still": [true, false, null, "x\\"]}]]}}"#,
        r#"[{"v":1},{"v":2.25},5,"x",null,[1,{"v":[]}],{}]"#,
        "[]",
    ] {
        assert_eq!(judge(payload.as_bytes()), all, "{payload}");
    }
}

#[test]
fn what_is_unusual_is_left_to_serde_json_and_what_is_wrong_is_refused_by_it() {
    let deep =
        |n: usize, open: &str, close: &str| format!("{{\"x\":{}1{}}}", open.repeat(n), close.repeat(n));
    for payload in [
        r#"{"v": 1, "v": 2}"#,
        r#"{"a": {"b": 1}, "a": {"c": 2}}"#,
        r#"{"a": {"b": 1}, "a": 7}"#,
        r#"{"\u0076": 1}"#,
        r#"{"v": "a\nb", "s": "\ud83d\ude00"}"#,
        r#"{"v": "\ud800"}"#,
        r#"{"a": "\ud800"}"#,
        r#"{"a": 1e999}"#,
        r#"{"a": {"b": {"c": 1e999}}}"#,
        r#"{"other": 1e999}"#,
        r#"["\ud800"]"#,
        "[1e999]",
        r#"{"v": {"x": 1}, "s": [1, 2]}"#,
        r#"{"v": 12345678901234567890, "n": -0, "s": 1234567890123456789}"#,
        r#"{"v": 0.1234567890123456789, "n": 1e23, "s": -0.0}"#,
        r#"{"v": 01}"#,
        r#"{"v": 1.}"#,
        r#"{"x": -}"#,
        r#"{"x": "\x"}"#,
        r#"{"x": "\u12g4"}"#,
        r#"{"x": "\u12"#,
        r#"{"x": 1,}"#,
        r#"{"x": [1,]}"#,
        r#"{"x": [1 2]}"#,
        r#"{"x": {1: 2}}"#,
        r#"{"x": {"y"}}"#,
        r#"{"x": {"y": 1]}"#,
        r#"{"x": 1} 2"#,
        r#"{"x": 1}}"#,
        r#"{"x" 1}"#,
        r#"{x: 1}"#,
        r#"{"x": nul}"#,
        r#"{"x": truest}"#,
        r#"{"v": TRUE}"#,
        "{\"x\": \"\u{1}\"}",
        "{\"x\": \"\t\"}",
        "{\"x\u{0}\": 1}",
        "{\"x\":\u{b}1}",
        "\u{feff}{}",
        "{\"v\": 1}\u{0}",
        "[",
        "[{}",
        "[{},]",
        "5",
        "\"v\"",
        "null",
        "nul",
        "{\"v",
        "{\"v\"",
        "{\"v\":",
        "{\"v\": \"",
        "{",
    ] {
        judge(payload.as_bytes());
    }
    for n in [62, 63, 64, 65, 200] {
        judge(deep(n, "[", "]").as_bytes());
        judge(deep(n, "{\"a\":", "}").as_bytes());
        judge(format!("[{}]", deep(n, "[{\"b\":", "}]")).as_bytes());
        judge(deep(n, "[", "").as_bytes());
    }
    judge(format!("[{}{{}}]", "{},".repeat(19)).as_bytes());
    judge(format!("[{}{{}}]", "{},".repeat(20)).as_bytes());
}

#[test]
fn a_message_cut_anywhere_is_refused_alike() {
    let whole = r#" {"v":-12.5e-3, "a":{"b":"x","c":{"d":null}},"x":["\u00e9\\",{"y":[true,false]}],"größe":123456789} "#;
    for end in 0..=whole.len() {
        judge(&whole.as_bytes()[..end]);
    }
    for place in 0..whole.len() {
        for byte in *b"\"\\,:{}[]0e.- \t\x00\x1f\xff" {
            let mut other = whole.as_bytes().to_vec();
            other[place] = byte;
            judge(&other);
        }
    }
}

/// A number as a person, a program or a fault writes it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-1_000..1_000_i32, 0..5_usize).prop_map(|(n, digits)| format!("{:.digits$}", f64::from(n) / 100.0)),
        any::<f64>().prop_map(|x| x.to_string()),
        any::<f64>().prop_map(|x| format!("{x:e}")),
        "-?[0-9]{1,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{0,3})?",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z ]{0,20}",
        2 => "\\PC{0,12}".prop_map(|text| text.replace(['"', '\\'], "")),
        1 => "(a|\\\\\"|\\\\\\\\|\\\\n|\\\\u00e9|\\\\ud83d\\\\ude00|\\\\ud800|\\\\u12|\\\\x|é){0,6}",
    ]
}

/// Objects whose names are often those that are wanted, and often come twice.
fn json() -> impl Strategy<Value = String> {
    let names = [
        "v",
        "ts",
        "a",
        "b",
        "c",
        "d",
        "e",
        "s",
        "n",
        "temperature",
        "temperament",
        "eight888",
        "größe",
        "x",
    ];
    let name = prop_oneof![8 => prop::sample::select(names.to_vec()).prop_map(str::to_owned), 1 => text()];
    let blank = prop::sample::select(&["", "", "", " ", "\n\t", "\r\n  "][..]);
    let leaf = prop_oneof![
        4 => number(),
        4 => text().prop_map(|text| format!("\"{text}\"")),
        2 => prop::sample::select(&["true", "false", "null"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        let member = (name.clone(), blank.clone(), inner.clone(), blank.clone()).prop_map(
            |(name, before, value, after)| format!("{before}\"{name}\"{after}:{before}{value}{after}"),
        );
        prop_oneof![
            3 => prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

proptest! {
    #[test]
    fn any_json(payload in json()) {
        judge(payload.as_bytes());
    }

    #[test]
    fn any_json_with_a_few_bytes_changed(
        payload in json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = payload.into_bytes();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            // As often as not a byte that means something.
            bytes[place] = if byte < 128 { b"\"\\{}[]:,0-9eE.tfn u\n"[usize::from(byte) % 20] } else { byte };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        judge(&bytes);
    }

    #[test]
    fn any_bytes(payload in nearly_json()) {
        judge(&payload);
    }
}
