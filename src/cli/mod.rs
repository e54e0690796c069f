//! The command line: arguments, one file a verb, the composition of all parts, and the only printing besides `report`.
//!
//! ```text
//! arguments ─► settings (flag > SMOLVM_* > config.yaml) ─► verb ─► ExitCode
//!                                                            └──► Failure: `error:`, causes, `help:`, ExitCode
//! ```
//!
//! Data goes to standard output, everything else to standard error. The current folder, the environment and the
//! terminal are looked at only here.

mod args;
mod attendant;
mod check;
mod config;
mod copy;
mod doctor;
mod drift;
mod engines;
mod entry;
mod exec;
mod exit;
mod explain;
mod fix;
mod images;
mod init;
mod interrupts;
mod kernel;
mod known_images;
mod known_machines;
mod life;
mod load;
mod lock;
mod logs;
mod look;
mod ls;
mod lsp;
mod number;
mod opened;
mod plan;
mod port;
mod ports;
mod printer;
mod project;
mod ps;
mod pull;
mod record;
mod remarks;
mod report_run;
mod run;
mod schema;
mod settings;
mod stats;
mod system;
mod terminal;
mod unread;
mod up;
mod variable;
mod version;
mod volumes;

pub use entry::main;
pub use exit::ExitCode;
