//! The hashes, in hexadecimal digits.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::Digest as _;

use crate::model::value::Value;
use crate::plan::function::Hash;

pub(super) fn call(function: Hash, args: &[&Value]) -> Value {
    let [value] = args else { return Value::Null };
    let bytes: Cow<'_, [u8]> = match value {
        Value::Bytes(bytes) => Cow::Borrowed(bytes),
        Value::Str(text) => Cow::Borrowed(text.as_bytes()),
        other => Cow::Owned(other.to_string().into_bytes()),
    };
    Value::str(&match function {
        Hash::Crc32 => {
            let mut crc = flate2::Crc::new();
            crc.update(&bytes);
            format!("{:08x}", crc.sum())
        }
        Hash::Md5 => hex(&md5::Md5::digest(&bytes)),
        Hash::Sha1 => hex(&sha1::Sha1::digest(&bytes)),
        Hash::Sha256 => hex(&sha2::Sha256::digest(&bytes)),
        Hash::Sha384 => hex(&sha2::Sha384::digest(&bytes)),
        Hash::Sha512 => hex(&sha2::Sha512::digest(&bytes)),
    })
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
