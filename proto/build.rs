//! Compiles the protocol without `protoc`: protox parses it, tonic-prost-build writes the Rust.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    let file = root.join("weir/v1/session.proto");
    println!("cargo::rerun-if-changed={}", file.display());
    let descriptors = protox::compile([&file], [root])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(std::env::var_os("CARGO_FEATURE_HUB").is_some())
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
