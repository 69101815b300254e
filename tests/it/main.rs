//! The integration tests: the stages against their real counterparts, and whole programs.
#![cfg(test)]

#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "hub")]
mod docs;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod config;
mod ingest;
#[cfg(feature = "hub")]
mod replay;
#[cfg(feature = "hub")]
mod spine;
mod support;
mod tidy;
