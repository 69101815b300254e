//! Tests that need real counterparts: brokers, databases, files, processes.

mod ingest;
mod support;
