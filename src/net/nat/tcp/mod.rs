//! Connections of TCP: the machine's end is a stack of our own, the world's is a socket of the host.
//!
//! ```text
//! machine ─packets─► Flow (smoltcp: sequence, window) ─bytes─► Connection ─bytes─► socket of the host
//! ```
//!
//! A connection is accepted from the machine once the host's socket is connected, and refused where that is refused.
//! Nothing is kept but what both ends have agreed on by their windows; the buffers come out of one budget.

mod budget;
mod connection;
mod flow;
mod names;
mod table;
#[cfg(test)]
mod table_tests;

pub(super) use table::TcpTable;
