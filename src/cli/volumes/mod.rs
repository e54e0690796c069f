//! `smolvm volumes`: the named volumes of a project, listed, removed and copied.
//!
//! Deliberately not here: their files (`storage`), their use in machines (`compose`).

mod archive;
mod args;
mod copy;
mod list;

pub(crate) use args::VolumesArgs;

use super::exit::{Class, ExitCode, Failure};
use super::printer::Printer;
use super::project::KnownProject;
use super::settings::Settings;
use crate::compose::Places;
use crate::config::nearest;
use crate::storage::{DEFAULT_SIZE_MIB, Storage, StorageError, StoredDisk};
use args::VolumesVerb;

/// Why a volume cannot be worked on.
#[derive(Debug, thiserror::Error)]
enum VolumesError {
    #[error("there is no volume `{0}`")]
    Unknown(String),
    #[error("an archive is not written to a terminal")]
    Terminal,
    #[error("an archive is not read from a terminal")]
    NoArchive,
    #[error("there is nothing in the volume `{0}`: no machine has used it yet")]
    NotMade(String),
    #[error("the archive cannot become the input of a machine")]
    Input(#[source] std::io::Error),
}

/// Does what was asked for.
pub(super) fn run(args: &VolumesArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let volumes = Volumes::find(settings)?;
    match &args.verb {
        VolumesVerb::Ls(args) => list::ls(&volumes, args, printer),
        VolumesVerb::Rm(args) => list::rm(&volumes, args, printer),
        VolumesVerb::Export(args) => copy::export(&volumes, &args.name, settings, printer),
        VolumesVerb::Import(args) => copy::import(&volumes, &args.name, settings, printer),
    }
}

/// The volumes of a project: those that its file declares, and those that are there.
struct Volumes {
    known: KnownProject,
    storage: Storage,
    stored: Vec<StoredDisk>,
}

impl Volumes {
    fn find(settings: &Settings) -> Result<Self, Failure> {
        let known = KnownProject::find(settings)?;
        let storage = Storage::new(known.state.folder(), Places::find()?.state_actor);
        let stored = storage.volumes().map_err(failure)?;
        Ok(Self { known, storage, stored })
    }

    /// Size in MiB that the file gives a volume, where it declares it.
    fn declared(&self, name: &str) -> Option<Option<u64>> {
        let volume = self.known.project.volumes.iter().find(|volume| volume.name.value == name)?;
        Some(volume.size_mib.as_ref().map(|size| size.value))
    }

    /// Size in MiB that a volume has, or will have when it is mounted next.
    fn size_mib(&self, name: &str) -> u64 {
        let is = self.stored.iter().find(|disk| disk.name == name).map(|disk| disk.length >> 20);
        let declared = self.declared(name).flatten();
        is.max(declared).unwrap_or(DEFAULT_SIZE_MIB)
    }

    /// Fails where neither the file nor the state has a volume of this name.
    fn check_known(&self, name: &str) -> Result<(), Failure> {
        let declared = self.known.project.volumes.iter().map(|volume| volume.name.value.as_str());
        let names: Vec<&str> = declared.chain(self.stored.iter().map(|disk| disk.name.as_str())).collect();
        if names.contains(&name) {
            return Ok(());
        }
        let failure = Failure::new(Class::Selection, VolumesError::Unknown(name.to_owned()));
        Err(match nearest(name, names) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure.help("`smolvm volumes ls` lists them"),
        })
    }
}

fn failure(error: StorageError) -> Failure {
    Failure::new(Class::World, error)
}
