//! The hashes.

use super::Param::Any;
use super::{Function, Gives, Signature, takes};

/// A hash in hexadecimal digits: of bytes as they are, of everything else as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// `crc32(x)`
    Crc32,
    /// `md5(x)`
    Md5,
    /// `sha1(x)`
    Sha1,
    /// `sha256(x)`
    Sha256,
    /// `sha384(x)`
    Sha384,
    /// `sha512(x)`
    Sha512,
}

pub(super) const TABLE: &[Signature] = &[
    takes("crc32", Function::Hash(Hash::Crc32), &[Any], Gives::Text),
    takes("md5", Function::Hash(Hash::Md5), &[Any], Gives::Text),
    takes("sha1", Function::Hash(Hash::Sha1), &[Any], Gives::Text),
    takes("sha256", Function::Hash(Hash::Sha256), &[Any], Gives::Text),
    takes("sha384", Function::Hash(Hash::Sha384), &[Any], Gives::Text),
    takes("sha512", Function::Hash(Hash::Sha512), &[Any], Gives::Text),
];
