//! How machines are reached and reach one another, over connections of their vsock devices: no network device of an
//! engine is known here.
//!
//! ```text
//! port   TcpListener ─accepted socket─► vsock device of the machine ─► its agent ─► 127.0.0.1:PORT in the guest
//! link   guest ─► its agent ─ticket─► vsock device ◄─socketpair─► vsock device of the service ─► its agent ─► PORT
//! ```
//!
//! The sockets themselves are given to the devices: no task of ours copies bytes, and the back-pressure of either side
//! is the other's. Deliberately not here: when a machine is up (`run`).

mod claims;
mod links;
pub mod nat;
mod ports;

pub use claims::{link_claim, own_links_claim, ports_claim};
pub use links::{LinkEnd, join_link, refuse_link, setup_links};
pub use ports::{PublishError, Published, Unpublished, publish, publish_after, refuse_port, serve_port};
