//! Tests that need real counterparts: brokers, databases, files, processes.

#[cfg(test)]
mod ingest;
#[cfg(test)]
mod support;
