//! The one setup of a machine: system, root, mounts, and the check of each mount. A failure names phase and mount.

use smolvm_agent::{Failure, FailureKind, Setup, SetupPhase};

use crate::root::make_root;
use crate::shares::{Mounted, mount_share, read_mount_table, verify_share};
use crate::sys;

/// Makes the machine ready; gives its shares.
pub(crate) fn set_up(setup: &Setup) -> Result<Vec<Mounted>, Failure> {
    prepare_system(setup).map_err(|message| failed(SetupPhase::System, None, message))?;
    make_root(&setup.root_tag, &setup.hostname).map_err(|message| failed(SetupPhase::Root, None, message))?;
    let mut shares = Vec::with_capacity(setup.mounts.len().min(64));
    for mount in &setup.mounts {
        let share = mount_share(mount, &shares)
            .map_err(|message| failed(SetupPhase::Mount, Some(mount.target.clone()), message))?;
        shares.push(share);
    }
    // After the last one: a later mount may lie over an earlier one.
    let verify = |target: Option<String>, message| failed(SetupPhase::Verify, target, message);
    let table = read_mount_table().map_err(|message| verify(None, message))?;
    for mount in &setup.mounts {
        verify_share(mount, &table).map_err(|message| verify(Some(mount.target.clone()), message))?;
    }
    Ok(shares)
}

fn failed(phase: SetupPhase, target: Option<String>, message: String) -> Failure {
    Failure { kind: FailureKind::Setup { phase, target }, message }
}

fn prepare_system(setup: &Setup) -> Result<(), String> {
    sys::set_clock(setup.clock_unix_ns).map_err(|error| format!("cannot set the clock: {error}"))?;
    sys::add_entropy(&setup.entropy.0).map_err(|error| format!("cannot seed the random numbers: {error}"))?;
    sys::set_hostname(&setup.hostname)
        .map_err(|error| format!("cannot set the host name `{}`: {error}", setup.hostname))?;
    sys::bring_loopback_up().map_err(|error| format!("cannot bring the loopback interface up: {error}"))
}
