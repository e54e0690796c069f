//! The log files of a run: what each step and each machine's console wrote, byte for byte.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::state::RunFolder;
use crate::event::{Event, OutputOf};

/// Log files, opened when something is written. A file that cannot be written is given up and named once.
#[derive(Debug)]
pub(super) struct Logs {
    folder: RunFolder,
    files: HashMap<OutputOf, Option<File>>,
}

impl Logs {
    pub(super) fn new(folder: RunFolder) -> Self {
        Self { folder, files: HashMap::new() }
    }

    /// Records what an event says, and returns a warning where that failed.
    pub(super) fn record(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::StepStarted { step, .. } => self.write(&OutputOf::Step(step.clone()), b""),
            Event::Output { of, bytes, .. } => self.write(of, bytes),
            Event::StepFinished { step, .. } => {
                self.files.insert(OutputOf::Step(step.clone()), None);
                None
            }
            _ => None,
        }
    }

    fn write(&mut self, of: &OutputOf, bytes: &[u8]) -> Option<String> {
        let path = match of {
            OutputOf::Step(step) => self.folder.step_log(step),
            OutputOf::Machine(machine) => self.folder.console(machine),
        };
        if !self.files.contains_key(of) {
            match create(&path) {
                Ok(file) => self.files.insert(of.clone(), Some(file)),
                Err(error) => {
                    self.files.insert(of.clone(), None);
                    return Some(format!("cannot write the log `{}`: {error}", path.display()));
                }
            };
        }
        let file = self.files.get_mut(of)?;
        let failed = file.as_mut()?.write_all(bytes).err()?;
        *file = None;
        Some(format!("cannot write the log `{}`: {failed}; what follows is not in it", path.display()))
    }
}

fn create(path: &PathBuf) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).open(path)
}
