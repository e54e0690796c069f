//! Safe wrappers over the calls that PID 1 needs and the standard library lacks; the only `unsafe` of the agent.

#[cfg(not(test))]
mod entry;
mod events;
mod file;
mod launch;
mod machine;
mod mount;
mod network;
mod process;
mod terminal;
mod vsock;

pub(crate) use events::{Event, Events, connect_tcp, is_connected, listen_tcp};
pub(crate) use file::{Readiness, open_null, pipe, poll, set_nonblocking, unread_bytes};
pub(crate) use launch::{Forked, Identity, Launch, LaunchError, LaunchStage, fork_child};
pub(crate) use machine::{
    add_entropy, bring_loopback_up, ignore_broken_pipes, load_module, power_off, set_clock, set_hostname,
    set_open_files_limit, sync_file_system,
};
pub(crate) use mount::{
    FileSystemKind, MountFlags, Stat, attach_mount, bind, change_root, clone_mount, file_system, make_bind_read_only,
    mount, move_mount_to_root, resize_ext4, stat_from_server, unmount_lazily,
};
pub(crate) use network::{open_tun, set_interface_up};
pub(crate) use process::{ChildEnd, kill_all, kill_process, kill_process_group, wait_any_child};
pub(crate) use terminal::{end_of_input, open_terminal, set_terminal_size};
pub(crate) use vsock::{VsockListener, end_reading, end_writing, reset_when_closed, takes_more};

use std::io;

/// The result of a call that gives −1 and `errno` when it fails.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
