//! What is asked of the agent of one machine: mounts, the owner's view, a step's start; and what it says unasked.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::input::{MachineInput, RunInput, StartFailure, StepInput};
use super::provide::{Gift, GivenFiles, Network, Shares};
use super::service_work::service_news;
use super::step_work::step_of;
use super::worker::chain;
use crate::event::Stream as EventStream;
use crate::guest::{
    Bytes, DiskBeginning, ExecError, Session, SessionEvent, Setup, SetupMount, SetupMountKind, SetupRoot, Stream,
    UserError,
};
use crate::net;
use crate::plan::{DiskPlan, Image, ImageDefaults, MachinePlan, MountPlan, MountPlanKind, ROOT, StepPlan};

/// Random bytes that a guest starts with.
const ENTROPY_BYTES: usize = 64;

/// As whose the files of the shares appear: user and group of the guest. At the start it is root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct View {
    uid: u32,
    gid: u32,
}

impl View {
    pub(super) fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Has the mounts made and verified; the text of a failure names phase and mount.
pub(super) async fn set_up(
    session: &Session,
    shares: &dyn Shares,
    root: SetupRoot,
    machine: &MachinePlan,
    defaults: &ImageDefaults,
    network: Option<&dyn Network>,
) -> Result<(), String> {
    let View { uid, gid } = View::default();
    shares.set_view(uid, gid).map_err(|error| format!("the file servers do not answer: {}", chain(&error)))?;
    let setup = setup(root, machine).map_err(|error| format!("cannot make random numbers for the guest: {error}"))?;
    let setup = Setup { network: network.map(Network::setup), ..setup };
    session.setup(setup).await.map_err(|error| chain(&error))?;
    if let Some(network) = network {
        connect(session, network).await?;
    }
    if machine.mounts.is_empty() {
        return Ok(());
    }
    // Before they are mounted: an overlay keeps what it saw.
    fix_owners(session, shares, machine, defaults).await?;
    let beginning = disk_beginning(session, machine, defaults).await?;
    session.mount(setup_mounts(machine, beginning)).await.map_err(|error| chain(&error))
}

/// Brings the machine's packets to the server of its network.
async fn connect(session: &Session, network: &dyn Network) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| format!("cannot connect the machine's network: {}", chain(error));
    let stream = session.open_network().await.map_err(|error| failed(&error))?;
    network.connect(stream).map_err(|error| failed(&error))
}

/// Shows the files of the mounts whose owner is not the step's user as they will be seen for the machine's life.
async fn fix_owners(
    session: &Session,
    shares: &dyn Shares,
    machine: &MachinePlan,
    defaults: &ImageDefaults,
) -> Result<(), String> {
    let mut known: Vec<(&str, View)> = Vec::new();
    for mount in &machine.mounts {
        let Some((name, (tag, _))) = mount.fixed_owner(defaults).zip(mount.share()) else { continue };
        let failed = |error: &dyn std::error::Error| {
            format!("cannot show mount `{}` as owned by `{name}`: {}", mount.target.as_str(), chain(error))
        };
        let view = match known.iter().find(|(known, _)| *known == name) {
            Some((_, view)) => *view,
            None => {
                let user = session.resolve_user(name).await.map_err(|error| failed(&error))?;
                View { uid: user.uid, gid: user.gid }
            }
        };
        known.push((name, view));
        shares.fix_view(tag, view.uid, view.gid).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Whether new disks of the machine may get what its image has in their place.
pub(super) fn may_fill(machine: &MachinePlan) -> bool {
    machine.image != Image::Host && machine.mounts.iter().any(is_writable_disk)
}

fn is_writable_disk(mount: &MountPlan) -> bool {
    matches!(mount.kind, MountPlanKind::Disk { readonly: false, .. })
}

/// What new disks of the machine begin with. The root of this computer fills none: what it has at a place is nobody's image.
async fn disk_beginning(
    session: &Session,
    machine: &MachinePlan,
    defaults: &ImageDefaults,
) -> Result<DiskBeginning, String> {
    let is_filled = may_fill(machine);
    let root = DiskBeginning { uid: 0, gid: 0, is_filled, is_users: false };
    let user = defaults.user(machine.user.as_deref());
    if user == ROOT || !machine.mounts.iter().any(is_writable_disk) {
        return Ok(root);
    }
    match session.resolve_user(user).await {
        Ok(user) => Ok(DiskBeginning { uid: user.uid, gid: user.gid, ..root }),
        // The first step tells it.
        Err(UserError::Unknown { .. }) => Ok(root),
        Err(UserError::Session(error)) => Err(chain(&error)),
    }
}

fn setup(root: SetupRoot, machine: &MachinePlan) -> rustix::io::Result<Setup> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut entropy = vec![0; ENTROPY_BYTES];
    let filled = rustix::rand::getrandom(&mut entropy[..], rustix::rand::GetRandomFlags::empty())?;
    entropy.truncate(filled);
    Ok(Setup {
        hostname: machine.hostname.clone(),
        clock_unix_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        entropy: Bytes(entropy),
        root,
        links: net::setup_links(machine),
        network: None,
    })
}

fn setup_mounts(machine: &MachinePlan, beginning: DiskBeginning) -> Vec<SetupMount> {
    machine
        .mounts
        .iter()
        .map(|mount| SetupMount {
            target: mount.target.as_str().to_owned(),
            is_created_in_share: mount.create,
            kind: setup_mount_kind(&mount.kind, beginning),
        })
        .collect()
}

fn setup_mount_kind(kind: &MountPlanKind, beginning: DiskBeginning) -> SetupMountKind {
    match kind {
        MountPlanKind::Bind { tag, is_file: true, readonly, .. } => {
            SetupMountKind::File { tag: tag.clone(), is_read_only: *readonly }
        }
        MountPlanKind::Bind { tag, source, readonly, .. } => {
            SetupMountKind::Folder { tag: tag.clone(), is_read_only: *readonly, inode: inode(source) }
        }
        MountPlanKind::Overlay { tag, source, .. } => {
            SetupMountKind::Overlay { tag: tag.clone(), inode: inode(source) }
        }
        MountPlanKind::Tmpfs { size_mib } => SetupMountKind::Tmpfs { size_mib: *size_mib },
        MountPlanKind::Disk { serial, disk, readonly, .. } => {
            let is_users = !matches!(disk, DiskPlan::Volume(_));
            let beginning = (!*readonly).then_some(DiskBeginning { is_users, ..beginning });
            SetupMountKind::Disk { serial: serial.clone(), is_read_only: *readonly, beginning }
        }
    }
}

/// Where it cannot be known (a folder that only the invoker may look into), it is not compared.
fn inode(source: &Path) -> Option<u64> {
    std::fs::metadata(source).ok().map(|found| found.ino())
}

/// Shows the files of the shares as owned by the step's user, where they are not yet.
pub(super) async fn show_owner(
    session: &Session,
    shares: &dyn Shares,
    user: &str,
    view: View,
) -> Result<View, StartFailure> {
    let found = session.resolve_user(user).await.map_err(|error| match error {
        UserError::Unknown { message } => StartFailure { exit_code: 126, cause: message },
        UserError::Session(error) => StartFailure { exit_code: 125, cause: chain(&error) },
    })?;
    let wanted = View { uid: found.uid, gid: found.gid };
    if wanted == view {
        return Ok(view);
    }
    let failed = |error: &dyn std::error::Error| StartFailure {
        exit_code: 125,
        cause: format!("cannot show the shares as owned by `{user}`: {}", chain(error)),
    };
    shares.set_view(wanted.uid, wanted.gid).map_err(|error| failed(&error))?;
    session.refresh_shares().await.map_err(|error| failed(&error))?;
    Ok(wanted)
}

/// Begins to record what a step makes, where that is to be given to somebody and not declared.
pub(super) fn record(shares: &dyn Shares, step: &StepPlan) -> Result<(), StartFailure> {
    if step.chown.is_none() || !step.outputs.is_empty() {
        return Ok(());
    }
    shares.record().map_err(|error| StartFailure {
        exit_code: 125,
        cause: format!("the file servers do not record what the step makes: {}", chain(&error)),
    })
}

/// Gives what a step made to its owner.
pub(super) fn give_files(
    shares: Option<&dyn Shares>,
    step: &StepPlan,
    goes_on: &dyn Fn() -> bool,
) -> Result<GivenFiles, String> {
    let (shares, (uid, gid)) = shares.zip(step.chown).ok_or("its machine is gone")?;
    let outputs = step.outputs.iter().map(|output| output.as_str().to_owned()).collect();
    shares.give(&Gift { uid, gid, outputs }, goes_on).map_err(|error| chain(&error))
}

/// How long a look at the sources of a machine may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// What became of a source of the machine on the host, if anything.
pub(super) async fn lost_source(shares: &Arc<dyn Shares>) -> Option<String> {
    let shares = Arc::clone(shares);
    let look = tokio::task::spawn_blocking(move || shares.lost_source());
    match tokio::time::timeout(LOOK_LIMIT, look).await {
        Ok(Ok(lost)) => lost,
        // A look that panicked has seen nothing.
        Ok(Err(_)) => None,
        Err(_) => Some(format!(
            "a host folder of this machine does not answer within {} s: see whether its file system (network, disk) works",
            LOOK_LIMIT.as_secs()
        )),
    }
}

/// Refuses to start a step on a machine that has lost a source.
pub(super) async fn check_sources(shares: &Arc<dyn Shares>) -> Result<(), StartFailure> {
    match lost_source(shares).await {
        Some(cause) => Err(StartFailure { exit_code: 125, cause }),
        None => Ok(()),
    }
}

/// Why a command did not start, with its exit code.
pub(super) fn start_failure(error: &ExecError) -> StartFailure {
    StartFailure {
        exit_code: match error {
            ExecError::NotFound { .. } => 127,
            ExecError::CannotRun { .. } | ExecError::WorkingDir { .. } | ExecError::User { .. } => 126,
            ExecError::Session(_) => 125,
        },
        cause: chain(error),
    }
}

/// Passes on what the agent says, until the session is over.
pub(super) async fn forward_session(
    machine: usize,
    mut events: mpsc::Receiver<SessionEvent>,
    shares: Option<Arc<dyn Shares>>,
    inbox: mpsc::Sender<RunInput>,
) {
    while let Some(event) = events.recv().await {
        if let SessionEvent::Exited { exec, .. } = event
            && let Some(step) = step_of(exec)
            && let Some(shares) = &shares
            && let Some(lost) = lost_source(shares).await
            && inbox.send(RunInput::Step(step, StepInput::SourceLost(lost))).await.is_err()
        {
            return;
        }
        let event = match service_news(event) {
            Ok(input) => {
                if inbox.send(RunInput::Service(machine, input)).await.is_err() {
                    return;
                }
                continue;
            }
            Err(event) => event,
        };
        let (exec, input) = match event {
            SessionEvent::Output { exec, stream, bytes } => {
                let stream = match stream {
                    Stream::Stdout => EventStream::Stdout,
                    Stream::Stderr => EventStream::Stderr,
                };
                (Some(exec), Ok(StepInput::Output(stream, bytes)))
            }
            SessionEvent::Exited { exec, status, is_out_of_memory } => {
                (Some(exec), Ok(StepInput::Exited(status, is_out_of_memory)))
            }
            SessionEvent::Log { bytes } => (None, Err(MachineInput::Log(bytes))),
            SessionEvent::Silent { seconds } => (None, Err(MachineInput::Silent(seconds))),
            SessionEvent::Closed { reason } => (None, Err(MachineInput::Closed(reason))),
        };
        let input = match (exec.and_then(step_of), input) {
            (Some(step), Ok(input)) => RunInput::Step(step, input),
            (_, Err(input)) => RunInput::Machine(machine, input),
            // No step has this number.
            (None, Ok(_)) => continue,
        };
        if inbox.send(input).await.is_err() {
            return;
        }
    }
}
