//! The integration tests: the stages against their real counterparts, and whole programs.
#![cfg(test)]

#[cfg(feature = "hub")]
mod accounts;
#[cfg(feature = "hub")]
mod alerts;
#[cfg(feature = "hub")]
mod compat;
#[cfg(feature = "hub")]
mod conditions;
#[cfg(feature = "hub")]
mod config;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "hub")]
mod docs;
#[cfg(feature = "hub")]
mod doctor;
#[cfg(feature = "hub")]
mod explain;
#[cfg(feature = "hub")]
mod fingerprint;
#[cfg(feature = "hub")]
mod hub;
mod ingest;
#[cfg(feature = "hub")]
mod link;
#[cfg(feature = "hub")]
mod query;
#[cfg(feature = "hub")]
mod replay;
#[cfg(feature = "hub")]
mod spine;
mod support;
mod testing;
mod tidy;
#[cfg(feature = "hub")]
mod transcript;
