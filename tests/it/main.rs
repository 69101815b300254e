//! The integration tests: whole programs and their real counterparts.

#[cfg(feature = "hub")]
mod hub;
mod ingest;
#[cfg(feature = "hub")]
mod spine;
mod support;
