//! From text to [`Project`]: spanned YAML tree, typed model, scalars, interpolation, checks. No input or output:
//! files, links and environment come through the trait [`Files`], which `host` implements.
//!
//! ```text
//! bytes ─text─► str ─yaml─► Tree ─merge─► Tree ─lower─► Project ─checks─► Diagnostics
//!                                                  ▲ interpolate, scalars
//! ```
//!
//! Every stage adds its diagnostics and goes on with what it could read, so that one run reports all mistakes.

mod accounts;
mod addresses;
mod alias;
mod archive;
mod checks;
mod combinations;
mod condition;
mod dotenv;
mod entries;
mod files;
mod forms;
mod hashes;
mod host_facts;
mod image_root;
mod inputs;
mod interpolate;
mod layout;
mod load;
mod lock;
mod lower;
mod memory_files;
mod mend;
mod merge;
mod merge_mounts;
pub mod model;
mod reference;
mod resolved;
mod resolved_names;
mod scalars;
pub mod schema;
mod suggest;
mod syntax;
mod text;
mod tree;
mod written;
mod yaml;

pub use accounts::HostIds;
pub use files::{FileError, FileKind, Files, FolderContents, InvokerFacts, Metadata};
pub use forms::{env_file_variables, exact_duration, exact_size};
pub use hashes::{Hashes, resolved_hashes};
pub use host_facts::{HostPorts, HostResources};
pub use image_root::{ImageNode, ImageRoot};
pub use load::{FileRequest, LoadRequest, Loaded, Mode, find, load};
pub use lock::{AUTO_KERNEL, LOCK_NAME, LockFile};
pub use memory_files::MemoryFiles;
pub use mend::{Fixed, Mended, MendedText, mend};
pub use model::Project;
pub use reference::{Reference, ReferenceError};
pub use resolved::{resolved_json, resolved_yaml};
pub(crate) use scalars::{is_name, show_duration};
pub(crate) use suggest::nearest;
