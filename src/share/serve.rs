//! The child's side: `smolvm __share` becomes a confined file server.
//!
//! ```text
//! spawn_share ─► outer process: makes the namespaces, writes the id maps, waits
//!                  └──► server, process 1 inside: confines itself, says it is ready, serves one front end, ends
//! ```
//!
//! The outer process touches nothing that a guest can reach. Either ends with the other, and both with smolvm.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use rustix::process::{Pid, WaitOptions, getegid, geteuid, waitpid};
use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use crate::sys::exit::{exit_now, exit_on_signal};
use crate::sys::{credentials, namespace};

use super::confine::{Entered, enter_tree, give_up_rights};
use super::device::{Device, Served};
use super::filesystem::ShareFs;
use super::identity::{Starter, choose_identity};
use super::image::{ImageFiles, ImageFs, open_zeros};
use super::ownership::{NewOwner, Scope};
use super::settings::{Pace, Settings, pace_for, settings_for};
use super::single::SingleFs;
use super::source::ServedRoot;
use super::spec::{ShareSpec, ShareTree};
use super::tree::Tree;
use super::view::View;
use super::wire::{Answer, Ask, CONTROL_FD, IMAGE_FD, LISTENER_FD, Report, SPEC_FD, send_report, serve_asks};
use super::words::{say, speak_on_stderr};

/// Why a server could not start.
struct Refusal {
    message: String,
    is_host_unfit: bool,
}

impl Refusal {
    fn unfit(message: String) -> Self {
        Self { message: format!("{message}; {}", namespace::denial_hint()), is_host_unfit: true }
    }

    fn plain(message: String) -> Self {
        Self { message, is_host_unfit: false }
    }
}

/// What the parent hands over.
struct Handed {
    spec: ShareSpec,
    listener: UnixListener,
    control: File,
    image: Option<ImageFiles>,
}

/// Runs `smolvm __share`: the hidden command that [`super::spawn_share`] starts, useless to anybody else.
pub fn serve_main() -> ExitCode {
    main_then(None)
}

/// What a confined process does in place of serving.
type Attempt = fn(&ShareSpec);

/// As [`serve_main`], but once it is confined the process does something else than to serve, and ends: for tests of
/// the confinement.
#[doc(hidden)]
pub fn confined_main(attempt: fn(&ShareSpec)) -> ExitCode {
    main_then(Some(attempt))
}

fn main_then(attempt: Option<Attempt>) -> ExitCode {
    speak_on_stderr();
    let handed = match take_handed() {
        Ok(handed) => handed,
        Err(error) => {
            say(&format!("`__share` is started by smolvm itself: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let control = handed.control.try_clone();
    match run(handed, attempt) {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            let report = Report::Failed { message: refusal.message, is_host_unfit: refusal.is_host_unfit };
            if let Ok(control) = control {
                // A parent that is gone needs no report.
                let _ = send_report(&control, &report);
            }
            ExitCode::FAILURE
        }
    }
}

fn take_handed() -> io::Result<Handed> {
    let spec = File::from(handed_fd(SPEC_FD)?);
    let spec: ShareSpec = serde_json::from_reader(io::BufReader::new(spec))?;
    let listener = UnixListener::from(handed_fd(LISTENER_FD)?);
    // A plain file, for reads by read(2): the filter of system calls has no recvfrom(2).
    let control = File::from(handed_fd(CONTROL_FD)?);
    let image = match &spec.tree {
        ShareTree::Image { packs, .. } => Some(take_image(packs.len())?),
        _ => None,
    };
    Ok(Handed { spec, listener, control, image })
}

fn take_image(packs: usize) -> io::Result<ImageFiles> {
    let tree = File::from(handed_fd(IMAGE_FD)?);
    let packs =
        (IMAGE_FD + 1..).take(packs).map(|number| handed_fd(number).map(File::from)).collect::<io::Result<_>>()?;
    Ok(ImageFiles { tree, packs, zeros: open_zeros()? })
}

/// Makes the namespaces and waits for the server in them.
fn run(handed: Handed, attempt: Option<Attempt>) -> Result<u8, Refusal> {
    let (spec, starter) = (&handed.spec, starter()?);
    let identity = choose_identity(spec, &starter).map_err(Refusal::plain)?;
    if let Some(groups) = &identity.groups {
        let denied = |error| Refusal::unfit(format!("this host denies a change of groups: {error}"));
        credentials::set_groups(groups).map_err(denied)?;
    }
    let (outer, inner) = UnixStream::pair().map_err(|error| Refusal::plain(format!("cannot make a pipe: {error}")))?;
    let denied = |error| Refusal::unfit(format!("this host denies the namespaces that confine a file server: {error}"));
    match namespace::fork_into_namespaces().map_err(denied)? {
        None => {
            drop(outer);
            let Err(refusal) = serve(handed, inner, attempt);
            Err(refusal)
        }
        Some(server) => {
            drop(inner);
            // Without its byte the server ends.
            namespace::write_id_maps(server, &identity.maps)
                .map_err(|error| Refusal::unfit(format!("this host denies the id map of a user namespace: {error}")))?;
            drop(handed);
            // A server that has ended already is reported below.
            let _ = (&outer).write_all(&[1]);
            Ok(wait_for(server))
        }
    }
}

fn starter() -> Result<Starter, Refusal> {
    let unreadable = |error| Refusal::plain(format!("cannot read the ids of this namespace: {error}"));
    Ok(Starter {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        groups: credentials::groups().map_err(unreadable)?,
        uids: namespace::own_uids().map_err(unreadable)?,
        gids: namespace::own_gids().map_err(unreadable)?,
    })
}

fn wait_for(server: Pid) -> u8 {
    loop {
        match waitpid(Some(server), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                if let Some(signal) = status.terminating_signal() {
                    let why = if signal == libc::SIGSYS { " (a system call that it may not make)" } else { "" };
                    say(&format!("the server was ended by signal {signal}{why}"));
                    return 1;
                }
                return status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            }
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(_) => return 1,
        }
    }
}

/// Confines this process and serves until the front end goes. Ends the process but for a refusal.
fn serve(handed: Handed, bond: UnixStream, attempt: Option<Attempt>) -> Result<Infallible, Refusal> {
    // The other end closes without a byte where the parent could not write the id maps, and says so itself.
    if (&bond).read_exact(&mut [0]).is_err() {
        exit_now(1);
    }
    let Handed { spec, listener, control, image } = handed;
    let refuse = |error: super::confine::ConfineError| match error.is_host_unfit() {
        true => Refusal::unfit(error.to_string()),
        false => Refusal::plain(error.to_string()),
    };
    let fd_limit = virtiofsd::limits::setup_rlimit_nofile(None)
        .map_err(|error| Refusal::plain(format!("cannot raise the limit of open files: {error}")))?;
    exit_on_signal(libc::SIGTERM).map_err(|error| Refusal::plain(format!("cannot set a signal handler: {error}")))?;
    let Entered { own_fds, sink, only } = enter_tree(&spec.tree).map_err(refuse)?;
    give_up_rights(&spec, &bond).map_err(refuse)?;
    // From here on every thread is confined.
    let line = Line { listener, control, attempt: attempt.map(|attempt| (attempt, spec.clone())) };
    let Err(error) = match image {
        Some(files) => {
            // No way to what is open either.
            drop((own_fds, sink));
            serve_image(files, line)
        }
        None => serve_host(settings_for(&spec, fd_limit, own_fds, sink), only, line),
    };
    Err(Refusal::plain(format!("cannot serve: {error}")))
}

fn serve_image(files: ImageFiles, line: Line) -> io::Result<Infallible> {
    let image = ImageFs::new(files)?;
    serve_share(image, pace_for(false), ServedRoot::nowhere(), Controlled::Image, line)
}

fn serve_host(settings: Settings, only: Option<CString>, line: Line) -> io::Result<Infallible> {
    let view = Arc::new(View::new(0, 0));
    let (pace, is_read_only) = (settings.pace, settings.tree.is_read_only);
    let (tree, share) = open_share(settings, &view)?;
    let root = ServedRoot::at(Path::new("/"), only.as_ref().map(|name| name.to_bytes().to_vec()))?;
    let controlled = Controlled::Host { tree, view, only: only.clone() };
    match only {
        None => serve_share(share, pace, root, controlled, line),
        Some(name) => serve_share(SingleFs::new(share, name, is_read_only), pace, root, controlled, line),
    }
}

fn open_share(settings: Settings, view: &Arc<View>) -> io::Result<(Arc<Tree>, ShareFs)> {
    // The guest's kernel applies its own umask.
    rustix::process::umask(rustix::fs::Mode::empty());
    let tree = Arc::new(Tree::open(c"/", settings.tree)?);
    let share = ShareFs::new(Arc::clone(&tree), settings.rules, Arc::clone(view));
    Ok((tree, share))
}

/// What a server speaks through.
struct Line {
    listener: UnixListener,
    control: File,
    /// What it does instead.
    attempt: Option<(Attempt, ShareSpec)>,
}

/// What the parent has a say in while the share is served.
enum Controlled {
    /// Files of the host.
    Host {
        tree: Arc<Tree>,
        view: Arc<View>,
        /// The one file that is served of the tree.
        only: Option<CString>,
    },
    /// An image, in which there is nothing to say.
    Image,
}

fn serve_share<F: Served>(
    share: F,
    pace: Pace,
    root: ServedRoot,
    controlled: Controlled,
    line: Line,
) -> io::Result<Infallible> {
    let Line { listener, control, attempt } = line;
    if let Some((attempt, spec)) = attempt {
        attempt(&spec);
        exit_now(0);
    }
    let mut daemon = daemon_for(share, pace)?;
    send_report(&control, &Report::Ready(root))?;
    thread::Builder::new().name("control".into()).spawn(move || {
        // Whether the parent closed the stream or broke it: without a parent there is nobody to serve.
        let _ = serve_asks(&control, |ask, tick| controlled.answer(ask, tick));
        exit_now(0);
    })?;
    // Whoever connects after the front end finds nobody: the listener closes before the first request.
    let started = daemon.start(&mut Listener::from(listener));
    let ended = started.and_then(|()| daemon.wait());
    match ended {
        Ok(()) | Err(DaemonError::HandleRequest(VhostUserError::Disconnected)) => exit_now(0),
        Err(error) => {
            say(&error.to_string());
            exit_now(1)
        }
    }
}

impl Controlled {
    /// Does what the parent asks. An error is the parent's leaving.
    fn answer(&self, ask: Ask, tick: &mut dyn FnMut() -> io::Result<()>) -> io::Result<Answer> {
        let Self::Host { tree, view, only } = self else { return Ok(Answer::Done) };
        match ask {
            Ask::View { uid, gid } => view.set(uid, gid),
            Ask::Record => tree.recorder.begin(),
            Ask::Give { uid, gid, outputs } => {
                let scope = Scope { tree, only: only.as_deref(), owner: NewOwner { uid, gid } };
                return Ok(Answer::Given(match outputs {
                    Some(outputs) => scope.give_outputs(&outputs, tick)?,
                    None => scope.give_recorded(&tree.recorder.end(), tick)?,
                }));
            }
        }
        Ok(Answer::Done)
    }
}

type Daemon<F> = VhostUserDaemon<Arc<Device<F>>>;

fn daemon_for<F: Served>(share: F, pace: Pace) -> io::Result<Daemon<F>> {
    let device = Device::new(share, pace)?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    VhostUserDaemon::new("share".to_owned(), Arc::new(device), memory)
        .map_err(|error| io::Error::other(error.to_string()))
}

fn handed_fd(number: i32) -> io::Result<OwnedFd> {
    crate::sys::handed::take(number)
}
