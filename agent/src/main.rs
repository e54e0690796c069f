//! PID 1 of a machine: from the initramfs to a power off, doing what the host asks.
//!
//! ```text
//! boot: /dev, /proc, modules ─► listen ─► greet control and output ─► Setup: root, mounts, verified ─► Exec… ─► power off
//!
//! threads: main (requests) · heartbeat · reaper · streams · forward · a pump a command, and one for its input · kernel log ·
//!          two for packets where there is a network · one for each slow request
//! ```
//!
//! The agent never ends while the machine lives: its end is the kernel's panic, which the engine tells the host.
//! A host that goes away ends the machine. Deliberately not here: decisions; the host makes them all.

#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, expect(dead_code, reason = "the parts that need to be PID 1 do not run in tests"))]

mod beginning;
mod boot;
mod cgroups;
mod checker;
mod commands;
mod control;
mod copying;
mod disk;
mod ends;
mod exec;
mod fill;
mod forwarder;
mod importing;
mod kernel_log;
mod mounts;
mod network;
mod outputs;
mod places;
mod points;
mod power;
mod pump;
mod relay;
mod root;
mod setup;
mod side;
mod stats;
mod storage;
mod streams;
mod sys;
mod users;
mod verify;
mod wire;

use std::fs::File;
use std::io;

use smolvm_agent::{CONTROL_PORT, OUTPUT_PORT, STREAM_PORT};

use crate::control::Control;
use crate::sys::VsockListener;
use crate::wire::{Answers, Reports, eprint_kernel, greet};

/// The life of the agent; called by the C entry point with what it gives back as exit code.
fn run() -> i32 {
    if std::process::id() != 1 {
        // It would mount over and power off the machine that it runs on.
        return copying::work();
    }
    match boot::prepare().and_then(|()| connect()) {
        Ok((control, stream)) => control.serve(&stream),
        Err(error) => {
            eprint_kernel(&format!("the agent cannot work: {error}"));
            std::process::abort()
        }
    }
}

/// Waits for the host's two connections. After them only streams are listened for.
fn connect() -> io::Result<(Control, File)> {
    let control = VsockListener::bind(CONTROL_PORT)?;
    let output = VsockListener::bind(OUTPUT_PORT)?;
    let streams = VsockListener::bind(STREAM_PORT)?;
    let control = accept(&control)?;
    let output = accept(&output)?;
    let requests = control.try_clone()?;
    Ok((Control::new(Answers::new(control), Reports::new(output), streams), requests))
}

/// The first connection of the host that greets as it should.
fn accept(listener: &VsockListener) -> io::Result<File> {
    loop {
        let stream = listener.accept_host()?;
        if greet(&stream).is_ok() {
            return Ok(stream);
        }
    }
}
