//! What a terminal shows of images on their way: a bar for all, a line an image, a bar a layer.
//!
//! ```text
//! pulling 2 images  ━━━━━╸─────  12 of 30 MiB  4.1 MiB/s  4s left     3.2s
//! ⠹ alpine:3.20
//!     1e42bbe25081  fetching   ━━━━━╸─────  3.1 of 8.2 MiB
//!     10901ccd8d24  unpacking  ━━━━━━━━━━─  8.0 of 8.2 MiB
//!     … 3 more layers wait
//! · debian:12       asks the registry
//! ```
//!
//! An image that is here, or failed, leaves one line above the block. Deliberately not here: the forms for pipes and
//! programs (`report::pull`).

mod render;
mod reporter;
#[cfg(test)]
mod tests;

pub use reporter::TerminalPull;
