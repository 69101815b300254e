//! The functions that change how something is written.

use super::Param::{Any, Bytes, Compression, Encoding, Number, Text};
use super::{Function, Gives, Signature, takes};

/// A function between ways of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encode {
    /// `chr(x)`: the character of a number, or the first of a text
    Chr,
    /// `compress(x, method)`
    Compress,
    /// `dec2hex(n)`
    Dec2Hex,
    /// `decode(s, encoding)`: bytes of text
    Decode,
    /// `decompress(x, method)`
    Decompress,
    /// `encode(x, encoding)`: bytes as text
    Encode,
    /// `hex2dec(s)`
    Hex2Dec,
    /// `newuuid()`: of version 4
    NewUuid,
}

pub(super) const TABLE: &[Signature] = &[
    takes("chr", Function::Encode(Encode::Chr), &[Any], Gives::Text),
    takes("compress", Function::Encode(Encode::Compress), &[Bytes, Compression], Gives::Bytea),
    takes("dec2hex", Function::Encode(Encode::Dec2Hex), &[Number], Gives::Text),
    takes("decode", Function::Encode(Encode::Decode), &[Text, Encoding], Gives::Bytea),
    takes("decompress", Function::Encode(Encode::Decompress), &[Bytes, Compression], Gives::Bytea),
    takes("encode", Function::Encode(Encode::Encode), &[Bytes, Encoding], Gives::Text),
    takes("hex2dec", Function::Encode(Encode::Hex2Dec), &[Text], Gives::Bigint),
    takes("newuuid", Function::Encode(Encode::NewUuid), &[], Gives::Text),
];
