//! Real counterparts for the tests: started on loopback, stopped by their own process id.

pub(crate) mod mosquitto;
