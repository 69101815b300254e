//! The spool against a model of it, over storage that fails, is full, writes half and loses power.
//!
//! `SPOOL_CASES` says how many random stories are told, and `SPOOL_SEED` with which it begins; each prints its seed when
//! it ends badly. A binary of its own, as the storage lies under every connection of the process.

#![cfg(test)]

mod chance;
mod damage;
mod figures;
mod model;
mod nth;
