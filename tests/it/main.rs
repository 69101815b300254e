//! The integration tests: whole programs and their real counterparts.

#[cfg(test)]
#[cfg(feature = "hub")]
mod hub;
