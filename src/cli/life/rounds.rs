//! What the process that holds the machines gives each round: ports, a folder of its own, and its events to who asked.
//!
//! Deliberately not here: when a round begins and ends (`run`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::Sender;

use crate::cli::exit;
use crate::cli::opened::Opened;
use crate::cli::ports;
use crate::cli::record::Record;
use crate::event::Timed;
use crate::net::{self, Published};
use crate::plan::Plan;
use crate::run::{self, RunFolder};

/// The folders of the rounds, and who looks on.
#[derive(Debug)]
pub(super) struct Rounds {
    opened: Arc<Opened>,
    folder: Mutex<RunFolder>,
    next: Mutex<Option<NextRound>>,
}

/// A round whose first event is on its way.
#[derive(Debug)]
pub(super) struct NextRound {
    pub(super) record: Record,
    pub(super) listener: Sender<Timed>,
}

impl Rounds {
    pub(super) fn new(opened: Arc<Opened>) -> Self {
        let folder = Mutex::new(opened.folder.clone());
        Self { opened, folder, next: Mutex::default() }
    }

    /// The round that begins with the event that has come.
    pub(super) fn take_next(&self) -> Option<NextRound> {
        held(&self.next).take()
    }

    /// Says that the last round has ended.
    pub(super) fn finish(&self) -> Result<(), run::StateError> {
        held(&self.folder).finish()
    }

    fn begin_folder(&self) -> Result<(RunFolder, Record), String> {
        let mut folder = held(&self.folder);
        let begun = self.opened.begin_next(&folder);
        let begun = begun.map_err(|error| exit::chain(&error).collect::<Vec<_>>().join(": "))?;
        folder.clone_from(&begun);
        let record = begun.create(&begun.events()).map_err(|error| format!("the record cannot be made: {error}"))?;
        Ok((begun, Record::new(record).0))
    }
}

impl run::Rounds for Rounds {
    fn begin(
        &self,
        plan: &mut Plan,
        earlier: &Published,
        listener: Sender<Timed>,
    ) -> Result<(Option<RunFolder>, Published), String> {
        ports::raise_for(plan);
        let published = net::publish_after(earlier, &mut plan.machines)
            .map_err(|error| format!("{error}: {}", ports::help(&error)))?;
        let (folder, record) = self.begin_folder()?;
        *held(&self.next) = Some(NextRound { record, listener });
        Ok((Some(folder), published))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
