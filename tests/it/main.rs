//! Tests that need real counterparts: brokers, databases, files, processes.

mod ingest;
mod support;
//! The integration tests: whole programs and their real counterparts.

#[cfg(test)]
#[cfg(feature = "hub")]
mod hub;
