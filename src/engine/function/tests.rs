//! What the cases in `tests/cases` cannot say: bounds, counting, randomness.

use super::*;
use crate::plan::function::{Choice, Hash, Math};

#[track_caller]
fn check(function: Function, args: &[Value], expected: Value) {
    let refs: Vec<&Value> = args.iter().collect();
    let got = call(function, &[], &refs, &Env::default());
    assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{function:?}{args:?}");
}

#[test]
fn numbers() {
    let (i, x) = (Value::Int, Value::Float);
    check(Function::Math(Math::Abs), &[i(-3)], i(3));
    check(Function::Math(Math::Abs), &[i(i64::MIN)], Value::Null);
    check(Function::Math(Math::Abs), &[x(-1.5)], x(1.5));
    check(Function::Math(Math::Ceil), &[x(1.2)], x(2.0));
    check(Function::Math(Math::Floor), &[x(-1.2)], x(-2.0));
    check(Function::Math(Math::Floor), &[i(7)], i(7));
    check(Function::Math(Math::Round), &[x(2.5)], x(3.0));
    check(Function::Math(Math::Round), &[x(-2.5)], x(-3.0));
    check(Function::Math(Math::Round), &[x(1.2345), i(2)], x(1.23));
    check(Function::Math(Math::Round), &[x(1e300), i(300)], x(1e300));
    check(Function::Math(Math::Round), &[x(1234.5), i(-2)], x(1200.0));
    check(Function::Math(Math::Round), &[x(1234.5), i(-400)], x(0.0));
    check(Function::Math(Math::Round), &[i(1250), i(-2)], i(1300));
    check(Function::Math(Math::Round), &[i(-1250), i(-2)], i(-1300));
    check(Function::Math(Math::Round), &[i(i64::MAX), i(-1)], Value::Null);
    check(Function::Math(Math::Round), &[i(5), i(-50)], i(0));
    check(Function::Math(Math::Sqrt), &[x(-1.0)], Value::Null);
    check(Function::Math(Math::Sqrt), &[i(9)], x(3.0));
    check(Function::Math(Math::Power), &[i(2), i(10)], x(1024.0));
    check(Function::Math(Math::Ln), &[i(0)], Value::Null);
    check(Function::Math(Math::Log), &[i(1000)], x(3.0));
    check(Function::Math(Math::Log), &[i(2), i(8)], x(3.0));
    check(Function::Math(Math::Log), &[i(1), i(8)], Value::Null);
    check(Function::Math(Math::Sign), &[x(-0.0)], i(0));
    check(Function::Math(Math::Sign), &[i(-9)], i(-1));
    check(Function::Math(Math::Exp), &[x(1e9)], Value::Null);
    check(Function::Math(Math::Abs), &[Value::str("1")], Value::Null);
    check(Function::Math(Math::Abs), &[Value::Null], Value::Null);
}

#[test]
fn choices() {
    let (i, n) = (Value::Int, Value::Null);
    check(Function::Choice(Choice::Greatest), &[i(1), n.clone(), Value::Float(2.5)], Value::Float(2.5));
    check(Function::Choice(Choice::Least), &[i(1), i(0)], i(0));
    check(Function::Choice(Choice::Least), std::slice::from_ref(&n), n.clone());
    check(Function::Choice(Choice::Greatest), &[i(1), Value::str("a")], n.clone());
    check(Function::Choice(Choice::Coalesce), &[n.clone(), i(2), i(3)], i(2));
    check(Function::Choice(Choice::NullIf), &[i(1), Value::Float(1.0)], n.clone());
    check(Function::Choice(Choice::NullIf), &[i(1), n.clone()], i(1));
}

#[test]
fn text_is_counted_in_characters() {
    let (s, i) = (|t: &str| Value::str(t), Value::Int);
    check(Function::Text(Text::Length), &[s("größe")], i(5));
    check(Function::Text(Text::Upper), &[s("größe")], s("GRÖSSE"));
    check(Function::Text(Text::Lower), &[s("ÀB")], s("àb"));
    check(Function::Text(Text::Trim), &[s(" a ")], s("a"));
    check(Function::Text(Text::Ltrim), &[s(" a ")], s("a "));
    check(Function::Text(Text::Rtrim), &[s(" a ")], s(" a"));
    check(Function::Text(Text::Substring), &[s("größe"), i(2), i(4)], s("öß"));
    check(Function::Text(Text::Substring), &[s("größe"), i(3)], s("ße"));
    check(Function::Text(Text::Substring), &[s("abc"), i(5)], s(""));
    check(Function::Text(Text::Substring), &[s("abc"), i(-1)], Value::Null);
    check(Function::Text(Text::Substring), &[s("abc"), i(2), i(1)], Value::Null);
    check(Function::Text(Text::StartsWith), &[s("abc"), s("ab")], Value::Bool(true));
    check(Function::Text(Text::EndsWith), &[s("abc"), s("ab")], Value::Bool(false));
    check(Function::Text(Text::IndexOf), &[s("größe"), s("e")], i(4));
    check(Function::Text(Text::IndexOf), &[s("abc"), s("x")], i(-1));
    check(Function::Text(Text::Replace), &[s("a.b.c"), s("."), s("-")], s("a-b-c"));
    check(Function::Text(Text::Replace), &[s("abc"), s(""), s("-")], s("abc"));
    check(Function::Text(Text::Replace), &[s("abc"), Value::Null, s("-")], Value::Null);
    check(Function::Text(Text::Length), &[i(5)], Value::Null);
    check(Function::Text(Text::Concat), &[s("a"), Value::Null, i(1)], s("a1"));
}

#[test]
fn text_cannot_grow_without_bound() {
    let big = Value::str(&"a".repeat(MAX_TEXT / 2 + 1));
    check(Function::Text(Text::Replace), &[big.clone(), Value::str("a"), Value::str("aa")], Value::Null);
    check(Function::Text(Text::Concat), &[big.clone(), big], Value::Null);
}

/// What a call gives, and how much of it was counted as undefined.
fn counted(function: Function, args: &[Value]) -> (Value, u64) {
    let env = Env::default();
    let refs: Vec<&Value> = args.iter().collect();
    (call(function, &[], &refs, &env), env.undefined.get())
}

#[test]
fn what_does_not_exist_is_counted_and_a_wrong_kind_is_not() {
    let undefined = |function, args: &[Value]| {
        let (value, count) = counted(function, args);
        assert!(value.is_null(), "{function:?}{args:?}");
        count
    };
    let math = |f| Function::Math(f);
    assert_eq!(undefined(math(Math::Ln), &[Value::Int(0)]), 1);
    assert_eq!(undefined(math(Math::Abs), &[Value::Int(i64::MIN)]), 1);
    assert_eq!(undefined(math(Math::Acos), &[Value::Int(2)]), 1);
    assert_eq!(undefined(math(Math::Ln), &[Value::str("x")]), 0);
    assert_eq!(undefined(math(Math::Ln), &[Value::Null]), 0);
    let sequence = Function::Array(Array::Sequence);
    assert_eq!(undefined(sequence, &[Value::Int(0), Value::Int(1 << 40)]), 1);
    let time = Function::Time(crate::plan::function::Time::FromDays);
    assert_eq!(undefined(time, &[Value::Int(i64::MAX)]), 1);
}

#[test]
fn shared_values_cannot_be_made_to_look_endless() {
    let mut value = Value::Int(1);
    let mut rounds = 0;
    while !value.is_null() {
        value = counted(Function::Array(Array::Create), &[value.clone(), value.clone()]).0;
        rounds += 1;
        assert!(rounds < 30, "it doubles every time");
    }
    let mut deep = Value::Int(1);
    for _ in 0..MAX_DEPTH + 1 {
        deep = counted(Function::Array(Array::Create), &[deep]).0;
    }
    assert!(deep.is_null());
}

#[test]
fn random_numbers_spread() {
    let env = Env::default();
    let numbers: Vec<f64> =
        (0..1_000).filter_map(|_| call(Function::Math(Math::Rand), &[], &[], &env).as_f64()).collect();
    assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = numbers.iter().sum::<f64>() / 1_000.0;
    assert!((0.45..0.55).contains(&mean), "{mean}");
}

#[test]
fn hashes_have_their_published_values() {
    let hash = |function| counted(Function::Hash(function), &[Value::str("abc")]).0.to_string();
    assert_eq!(hash(Hash::Crc32), "352441c2");
    assert_eq!(hash(Hash::Md5), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hash(Hash::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert!(hash(Hash::Sha384).starts_with("cb00753f45a35e8bb5a03d699ac65007"));
    assert!(hash(Hash::Sha512).starts_with("ddaf35a193617abacc417349ae204131"));
}
