//! The integration tests: the stages against their real counterparts, and whole programs.

#[cfg(test)]
#[cfg(feature = "hub")]
mod hub;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod support;
