//! Between ways of writing: encodings, compression, hexadecimal numbers, characters, UUIDs.

use std::io::Read;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read;

use super::hash::hex;
use super::{MAX_TEXT, bounded, random, str, whole};
use crate::engine::expr::Env;
use crate::model::value::Value;
use crate::plan::function::{Compiled, Compression, Encode, Encoding};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn call(function: Encode, fixed: &[Compiled], args: &[&Value], env: &Env) -> Value {
    let found = match (function, fixed, args) {
        (Encode::NewUuid, _, _) => Some(uuid(env)),
        (Encode::Chr, _, [value]) => chr(value),
        (Encode::Dec2Hex, _, [value]) => whole(value).map(dec2hex),
        (Encode::Hex2Dec, _, [value]) => str(value).and_then(hex2dec),
        (Encode::Encode, [Compiled::Encoding(encoding)], [value]) => {
            bytes(value).and_then(|bytes| encode(bytes, *encoding, env))
        }
        (Encode::Decode, [Compiled::Encoding(encoding)], [value]) => {
            str(value).and_then(|text| decode(text, *encoding))
        }
        (Encode::Compress, [Compiled::Compression(method)], [value]) => {
            bytes(value).map(|bytes| compress(bytes, *method, env))
        }
        (Encode::Decompress, [Compiled::Compression(method)], [value]) => {
            bytes(value).and_then(|bytes| decompress(bytes, *method, env))
        }
        _ => None,
    };
    found.unwrap_or_default()
}

/// Bytes, or those of a text.
fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Str(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn chr(value: &Value) -> Option<Value> {
    let c = match value {
        Value::Str(text) => text.chars().next(),
        _ => whole(value).and_then(|i| u32::try_from(i).ok()).and_then(char::from_u32),
    };
    c.map(|c| Value::str(c.encode_utf8(&mut [0; 4])))
}

fn dec2hex(number: i64) -> Value {
    let sign = if number < 0 { "-" } else { "" };
    Value::str(&format!("{sign}0x{:x}", number.unsigned_abs()))
}

/// With or without a sign and `0x`.
fn hex2dec(text: &str) -> Option<Value> {
    let text = text.trim();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits);
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), 16).ok().map(Value::Int)
}

fn encode(bytes: &[u8], encoding: Encoding, env: &Env) -> Option<Value> {
    Some(match encoding {
        Encoding::Base64 => bounded(&BASE64.encode(bytes), env),
        Encoding::Hex => bounded(&hex(bytes), env),
        Encoding::Utf8 => bounded(std::str::from_utf8(bytes).ok()?, env),
    })
}

fn decode(text: &str, encoding: Encoding) -> Option<Value> {
    let bytes = match encoding {
        Encoding::Base64 => BASE64.decode(text.trim()).ok()?,
        Encoding::Hex => unhex(text.trim())?,
        Encoding::Utf8 => text.as_bytes().to_vec(),
    };
    Some(Value::Bytes(bytes.into()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn compress(bytes: &[u8], method: Compression, env: &Env) -> Value {
    let level = flate2::Compression::default();
    let made = match method {
        Compression::Zlib => read_all(read::ZlibEncoder::new(bytes, level)),
        Compression::Gzip => read_all(read::GzEncoder::new(bytes, level)),
        Compression::Flate => read_all(read::DeflateEncoder::new(bytes, level)),
    };
    made.flatten().map_or_else(|| env.undefined(), |bytes| Value::Bytes(bytes.into()))
}

/// NULL for what was not compressed so, and for what becomes too large.
fn decompress(bytes: &[u8], method: Compression, env: &Env) -> Option<Value> {
    let made = match method {
        Compression::Zlib => read_all(read::ZlibDecoder::new(bytes)),
        Compression::Gzip => read_all(read::MultiGzDecoder::new(bytes)),
        Compression::Flate => read_all(read::DeflateDecoder::new(bytes)),
    };
    made.map(|bytes| bytes.map_or_else(|| env.undefined(), |bytes| Value::Bytes(bytes.into())))
}

/// Everything, `Some(None)` where that is too much, `None` where it cannot be read.
fn read_all(from: impl Read) -> Option<Option<Vec<u8>>> {
    let mut made = Vec::new();
    let most = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
    from.take(most + 1).read_to_end(&mut made).ok()?;
    Some((made.len() <= MAX_TEXT).then_some(made))
}

/// RFC 9562, version 4.
fn uuid(env: &Env) -> Value {
    let high = (random(env) & !0xf000) | 0x4000;
    let low = (random(env) & !(0b11 << 62)) | (0b10 << 62);
    let text = format!("{high:016x}{low:016x}");
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    Value::str(&format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)))
}
