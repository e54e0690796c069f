//! Which machines are up, for whoever only looks at a file: a process that does not answer holds none.

use std::net::SocketAddr;
use std::path::Path;

use super::project::asking;
use crate::compose::Places;
use crate::control::{Client, Found};
use crate::host::FindHeld;
use crate::run::ProjectState;

/// The machines of this user.
#[derive(Debug)]
pub(crate) struct KnownMachines;

impl FindHeld for KnownMachines {
    fn ports(&self, project: &str, folder: &Path) -> Vec<SocketAddr> {
        let Ok(places) = Places::find() else { return Vec::new() };
        let state = ProjectState::locate(&places.state_home, places.state_actor, project, folder);
        let Ok(Found::Held(client)) = Client::find(&state) else { return Vec::new() };
        let Ok(view) = asking(async move { client.view().await }) else { return Vec::new() };
        let ports = view.machines.iter().flat_map(|machine| &machine.ports);
        ports.map(|port| SocketAddr::new(port.address, port.host)).collect()
    }
}
