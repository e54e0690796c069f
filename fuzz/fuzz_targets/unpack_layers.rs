//! Bytes as the layers of an image: a search with the engine, else the files that are named, once each.
//!
//! Deliberately not here: what must hold (`smolvm_fuzz`).
#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smolvm_fuzz::layers::unpack_layers(bytes));

#[cfg(not(feature = "libfuzzer"))]
fn main() -> std::io::Result<()> {
    std::env::args_os().skip(1).try_for_each(|name| {
        smolvm_fuzz::layers::unpack_layers(&std::fs::read(name)?);
        Ok(())
    })
}
