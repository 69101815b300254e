//! The body of a transition as the outbox keeps it: the protocol's own message, without its
//! number, which the outbox gives.

use prost::Message;

use crate::model::transition::Transition;
use crate::wire::{transition::transition_to_wire, v1};

/// A transition as the outbox keeps it.
pub fn encode(boot_id: &str, transition: &Transition) -> Vec<u8> {
    transition_to_wire(0, boot_id, transition).encode_to_vec()
}

/// A kept transition with its number. `None` where the bytes are no transition, which only a
/// damaged file can cause.
pub(super) fn decode(seq: u64, body: &[u8]) -> Option<v1::Transition> {
    let mut transition = v1::Transition::decode(body).ok()?;
    transition.seq = seq;
    Some(transition)
}
