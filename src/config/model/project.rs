//! The whole file. Deliberately not here: what its parts hold.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::super::accounts::HostIds;
use super::super::reference::Reference;
use super::image::{Image, KernelSource};
use super::locks::Locks;
use super::machine::Machine;
use super::origins::Origins;
use super::step::Step;
use super::volume::Volume;
use crate::diag::Span;

/// A value and the place in the file that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was said.
    pub value: T,
    /// Where it was said.
    pub span: Span,
}

/// What of a file could not be read (its diagnostic was given), so that rules which would only follow stay silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProjectGaps {
    /// Machines are missing from [`Project::machines`]: say nothing about unknown (0201) or left-out (0210) machines.
    pub machines: bool,
    /// Steps or their ids are missing from [`Project::steps`]: say nothing about unknown steps (0202) or about
    /// machines that no step uses (0207).
    pub steps: bool,
    /// Volumes are missing from [`Project::volumes`]: say nothing about unknown ones (0203).
    pub volumes: bool,
}

/// One `smolvm.yaml`, checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// Name of the project: `name`, or the folder's name made fit.
    pub name: String,
    /// Absolute folder of the first file.
    pub folder: PathBuf,
    /// The files: where relative paths of each start, and which of two places is the later one.
    pub origins: Origins,
    /// Environment of every step of every machine (`env` of the file).
    pub env: BTreeMap<String, String>,
    /// Machines in file order.
    pub machines: Vec<Machine>,
    /// Steps in file order.
    pub steps: Vec<Step>,
    /// Entries of `finally` in file order; they have no `needs`.
    pub finally: Vec<Step>,
    /// Named volumes in file order.
    pub volumes: Vec<Volume>,
    /// Ids of the owners that mounts and steps name, by what is written; one that is missing is not known (0603 was said).
    pub owners: BTreeMap<String, HostIds>,
    /// What the lock file says of the images.
    pub locks: Locks,
    /// Profiles that are asked for.
    pub profiles: Vec<String>,
    /// What could not be read.
    pub gaps: ProjectGaps,
}

impl Project {
    /// A project of which only this is known: its file is gone, or cannot be understood.
    pub fn unread(name: &str, folder: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            origins: Origins::default(),
            env: BTreeMap::new(),
            machines: Vec::new(),
            steps: Vec::new(),
            finally: Vec::new(),
            volumes: Vec::new(),
            owners: BTreeMap::new(),
            locks: Locks::default(),
            profiles: Vec::new(),
            gaps: ProjectGaps { machines: true, steps: true, volumes: true },
        }
    }

    /// Each image that is to come from a registry, kernels too, and where it stands: each place once, in file order.
    pub fn references(&self) -> Vec<(&Reference, Span)> {
        let mut known: HashSet<(&Reference, Span)> = HashSet::new();
        let mut used = Vec::new();
        for machine in &self.machines {
            let image = match &machine.image.value {
                Image::Reference(reference) => Some((reference, machine.image.span)),
                _ => None,
            };
            let kernel = match &machine.kernel.value {
                KernelSource::Reference(reference) => Some((reference, machine.kernel.span)),
                _ => None,
            };
            used.extend([image, kernel].into_iter().flatten().filter(|one| known.insert(*one)));
        }
        used
    }
}
