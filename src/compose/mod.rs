//! Where the parts meet: the only place that knows kernels, file servers, devices and engines at once.
//!
//! `run` says through its traits what it needs; here the rest of the program answers. Deliberately not here: the
//! order in which things happen (`run`), any decision about the project (`plan`).

mod checker;
mod defaults;
mod dial;
mod disks;
mod engine;
mod folders;
mod images;
mod network;
mod places;
mod provide;
mod registries;
mod root;
mod wish;
mod words;

pub use engine::{ChooseError, Chosen, choose};
pub(crate) use images::ImageTold;
pub use places::{Places, PlacesError};
pub use provide::Provider;
pub use registries::registry_access;
pub use wish::{AccelWish, EngineWish, RootWish};
pub(crate) use words::chain;
