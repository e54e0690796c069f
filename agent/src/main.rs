//! PID 1 of a machine.

fn main() {}
