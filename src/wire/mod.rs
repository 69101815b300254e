//! The protocol's types, and their conversion from and to the model's. What both ends speak lives
//! here, so that the model's types stay free to change.

pub mod digest;
pub mod figures;
pub mod pack;
pub mod record;
pub mod rules;
pub mod series;
pub mod transition;

/// The generated messages, client and (with feature `hub`) server of `proto/weir/v1`.
#[expect(missing_docs, clippy::all, reason = "generated; the comments are in the proto file")]
#[cfg_attr(feature = "hub", expect(clippy::allow_attributes, reason = "the generated server has some"))]
pub mod v1 {
    tonic::include_proto!("weir.v1");
}

/// The version of the protocol that this program speaks, as `Hello` and `Welcome` carry it.
pub const PROTOCOL: u32 = 2;
