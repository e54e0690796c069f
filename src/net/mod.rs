//! How machines reach the world and are reached by it, over connections of their vsock device: no network device of an
//! engine is known here.

pub mod nat;
