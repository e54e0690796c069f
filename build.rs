//! Builds the agent and hands its path to the crate.

fn main() {}
