//! The JSON Schema of `smolvm.yaml`, for editors: the whole language, with the meaning of every key.
//!
//! The types below are shapes and words for `schemars`; nothing makes values of them, and reading a file does not
//! use them. What a schema cannot say (names that refer to others, the host) is left to the rules.

mod file;
mod machine;
mod matrix;
mod mount;
mod render;
mod scalars;
mod step;

pub use render::render;
