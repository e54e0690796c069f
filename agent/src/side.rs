//! A socket that does not wait, and what is known of it: whether there may be something to read, and room to write.
//!
//! What is known comes from events, each told once, and from what calls came to; so no call is made only to hear that there is
//! nothing. Under emulation each costs as much as moving a page of bytes.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::sys::Event;

/// One of two sockets that are joined.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) file: File,
    may_read: bool,
    may_write: bool,
    /// Nothing more comes behind what is there.
    is_over: bool,
}

impl Side {
    /// One that is new: there is room, and its first event tells of what has come.
    pub(crate) fn new(file: File) -> Self {
        Self { file, may_read: false, may_write: true, is_over: false }
    }

    /// Takes what an event says.
    pub(crate) fn note(&mut self, event: &Event) {
        self.may_read |= event.is_readable;
        self.may_write |= event.is_writable;
        self.is_over |= event.is_over;
    }

    /// Reads what there is; fails with `WouldBlock` where there is nothing.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.may_read {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = not_interrupted(|| (&self.file).read(into));
        self.may_read = match &result {
            // Less than there was room for was all there is; but an end that was told of already is told of by no event.
            Ok(count) => *count == into.len() || self.is_over,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        result
    }

    /// Writes what there is room for; fails with `WouldBlock` where there is none.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.may_write {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = not_interrupted(|| (&self.file).write(bytes));
        self.may_write = match &result {
            Ok(count) => *count == bytes.len(),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        result
    }
}

fn not_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
