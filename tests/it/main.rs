//! Tests of the program through its command line, and of the rules of the tree. One binary, a module an area.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod machine;
mod share;
