//! The setup of a machine: system and root, then its mounts and the check of each. A failure names phase and mount.

use std::sync::Arc;

use smolvm_agent::{Failure, FailureKind, Setup, SetupMount, SetupPhase};

use crate::beginning::Image;
use crate::forwarder::Forwarder;
use crate::mounts::{Mounted, make_mount};
use crate::network;
use crate::root::make_root;
use crate::sys;
use crate::verify::{read_mount_table, verify_mount};
use crate::wire::Answers;

/// Makes the machine ready, but for its mounts.
pub(crate) fn set_up(setup: &Setup, answers: &Arc<Answers>) -> Result<(), Failure> {
    prepare_system(setup).map_err(|message| failed(SetupPhase::System, None, message))?;
    make_root(setup).map_err(|message| failed(SetupPhase::Root, None, message))?;
    let forwarder = Forwarder::new(&setup.links, Arc::clone(answers)).and_then(Forwarder::start);
    forwarder.map_err(|message| failed(SetupPhase::System, None, message))
}

/// Makes the mounts in their order, and verifies each.
pub(crate) fn mount_all(mounts: &[SetupMount]) -> Result<Vec<Mounted>, Failure> {
    let mut made = Vec::with_capacity(mounts.len().min(64));
    let image = Image::open()
        .map_err(|error| failed(SetupPhase::Mount, None, format!("the image cannot be looked at: {error}")))?;
    for mount in mounts {
        let mounted = make_mount(mount, &made, &image)
            .map_err(|message| failed(SetupPhase::Mount, Some(mount.target.clone()), message))?;
        made.push(mounted);
    }
    // After the last one: a later mount may lie over an earlier one.
    let verify = |target: Option<String>, message| failed(SetupPhase::Verify, target, message);
    let table = read_mount_table().map_err(|message| verify(None, message))?;
    for mount in mounts {
        verify_mount(mount, &table).map_err(|message| verify(Some(mount.target.clone()), message))?;
    }
    Ok(made)
}

fn failed(phase: SetupPhase, target: Option<String>, message: String) -> Failure {
    Failure { kind: FailureKind::Setup { phase, target }, message }
}

fn prepare_system(setup: &Setup) -> Result<(), String> {
    sys::set_clock(setup.clock_unix_ns).map_err(|error| format!("cannot set the clock: {error}"))?;
    sys::add_entropy(&setup.entropy.0).map_err(|error| format!("cannot seed the random numbers: {error}"))?;
    sys::set_hostname(&setup.hostname)
        .map_err(|error| format!("cannot set the host name `{}`: {error}", setup.hostname))?;
    sys::bring_loopback_up().map_err(|error| format!("cannot bring the loopback interface up: {error}"))?;
    match &setup.network {
        Some(network) => network::start(network).map_err(|error| format!("cannot make the network interface: {error}")),
        None => Ok(()),
    }
}
