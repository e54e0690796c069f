//! What `run` needs for a machine: kernel, initramfs, host folders, file servers, the root's disk, vsock.
//!
//! Deliberately not here: when a machine is prepared, what happens to it afterwards.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::dial::VsockDial;
use super::disks;
use super::folders;
use super::images::{BroughtRoot, ProjectImages};
use super::network::{self, NetworkHooks};
use super::root::{self, ROOT_SERIAL, Root};
use super::wish::RootWish;
use super::words::chain;
use crate::config::model::KernelSource;
use crate::engine::{DiskSocket, ShareSocket};
use crate::guest::{AGENT, SetupRoot};
use crate::image::registry::RegistryAccess;
use crate::image::store::Lease;
use crate::image::{Waiter, initramfs, kernel};
use crate::net::nat::Resolvers;
use crate::plan::{Cache, Invoker, MachinePlan, MountPlan, MountPlanKind, OwnerPlan};
use crate::run::{Gift, GivenFiles, Prepared, Provide, ProvideError, ProvideHooks, Pulled, Shares};
use crate::share::{
    Makers, Outputs, Rights, ShareCache, ShareError, ShareHandle, ShareSource, ShareSpec, ShareTree, spawn_share,
};
use crate::storage::Storage;
use crate::virtio::block::{DiskHandle, spawn_disk};
use crate::virtio::vsock::VsockBackend;

/// Context id of a guest; each has a vsock of its own, so that all can have the same (0 to 2 are taken by the protocol).
const GUEST_CID: u64 = 3;

/// Tag of the root share.
const ROOT_TAG: &str = "root";

/// Makes machines ready to boot with the parts of this program.
#[derive(Debug)]
pub struct Provider {
    cache: PathBuf,
    invoker: Invoker,
    /// That of images.
    root_form: RootWish,
    images: ProjectImages,
    /// Who finds names for machines with a network.
    resolvers: Resolvers,
    /// Where the disks of the project are.
    storage: Storage,
    /// Held while a kernel is found, so that two machines do not download the same one twice.
    kernel: Mutex<()>,
}

impl Provider {
    /// A provider that keeps kernels, images and initramfs in `cache` and acts on the host for `invoker`; images come from
    /// `registries`, where there are any to be asked, and its disks are in `storage`.
    pub fn new(
        cache: PathBuf,
        invoker: Invoker,
        root_form: RootWish,
        registries: Option<RegistryAccess>,
        storage: Storage,
    ) -> Self {
        let images = ProjectImages::new(cache.clone(), registries);
        Self { cache, invoker, root_form, images, resolvers: Resolvers::OfHost, storage, kernel: Mutex::new(()) }
    }

    /// The same, but registries are asked what each name means now.
    pub fn asked_anew(self) -> Self {
        Self { images: self.images.asked_anew(), ..self }
    }

    /// The same, but names are asked of these servers for machines with a network.
    pub fn resolving(self, resolvers: Resolvers) -> Self {
        Self { resolvers, ..self }
    }

    /// Kernel, initramfs and root of a machine; which form the root has says what the initramfs must hold.
    fn boot_files(
        &self,
        machine: &MachinePlan,
        tree: ShareTree,
        waiter: &mut HookedWaiter,
    ) -> Result<(PathBuf, PathBuf, Root), ProvideError> {
        let _one_at_a_time = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let kernel = self.kernel(machine, waiter)?;
        let root = root::choose(tree, self.root_form, &kernel, &self.cache)
            .map_err(|error| world("the root cannot be served", &error))?;
        let mut modules = disks::modules(machine, root.modules(), &kernel, &self.cache)?;
        modules.extend(network::modules(machine));
        let initramfs = initramfs::build(&kernel, AGENT, &modules, &self.cache)
            .map_err(|error| world("the initramfs cannot be built", &error))?;
        Ok((kernel.boot_file, initramfs, root))
    }

    /// The kernel of a machine, looked into.
    fn kernel(&self, machine: &MachinePlan, waiter: &mut HookedWaiter) -> Result<kernel::Kernel, ProvideError> {
        let (modules, lock) = (machine.modules.as_deref(), machine.kernel_lock.as_deref());
        let resolve = |request, waiter: &mut HookedWaiter| kernel::resolve(&request, modules, &self.cache, waiter);
        let found = match &machine.kernel {
            KernelSource::Auto => resolve(kernel::KernelRequest::Auto, waiter),
            KernelSource::Path(path) => resolve(kernel::KernelRequest::Path(path.clone()), waiter),
            KernelSource::Reference(reference) => {
                let image = self.images.with_kernel(reference, lock, waiter)?;
                kernel::of_image(&image, reference.written(), modules, &self.cache, waiter).map(|(kernel, _)| kernel)
            }
        };
        let kernel = found.map_err(|error| unfit_kernel(&error))?;
        if machine.kernel == KernelSource::Auto {
            check_kernel_lock(&kernel, lock)?;
        }
        Ok(kernel)
    }

    /// The shares of a machine, that of the root first where it has one.
    fn share_specs(&self, machine: &MachinePlan, root: Option<ShareTree>) -> Vec<ShareSpec> {
        let rights = Rights { uid: self.invoker.uid, gid: self.invoker.gid, groups: self.invoker.groups.clone() };
        let root = root.map(|tree| ShareSpec { tag: ROOT_TAG.to_owned(), tree, rights, makers: Makers::Owner });
        let mut specs: Vec<ShareSpec> = root.into_iter().collect();
        for mount in &machine.mounts {
            let (rights, makers) = self.rights_on(mount);
            specs.extend(mount_share(mount).map(|(tag, tree)| ShareSpec { tag, tree, rights, makers }));
        }
        specs
    }

    /// With whose rights a mount acts on the host: wholly its owner's.
    fn rights_on(&self, mount: &MountPlan) -> (Rights, Makers) {
        match owner_of(mount) {
            OwnerPlan::Invoker => {
                let Invoker { uid, gid, groups, .. } = self.invoker.clone();
                (Rights { uid, gid, groups }, Makers::Owner)
            }
            OwnerPlan::Ids { uid, gid, groups } => (Rights { uid, gid, groups }, Makers::Owner),
            OwnerPlan::Guest => (Rights { uid: 0, gid: 0, groups: Vec::new() }, Makers::Guest),
        }
    }
}

impl Provide for Provider {
    fn prepare(&self, machine: &MachinePlan, hooks: ProvideHooks) -> Result<Prepared, ProvideError> {
        let ProvideHooks { progress, pulled, is_canceled, share_died, warn, fail } = hooks;
        let mut waiter = HookedWaiter { progress, pulled, is_canceled: Arc::clone(&is_canceled) };
        let BroughtRoot { tree, defaults, lease } = self.images.bring(machine, &mut waiter)?;
        let (kernel, initramfs, root) = self.boot_files(machine, tree, &mut waiter)?;
        folders::create_missing(&machine.mounts, &self.invoker)
            .map_err(|error| world("the folders of the mounts are not there", &error))?;
        let (mut sockets, mut disks) = (Vec::new(), Vec::new());
        let mut shares = ServedShares { _lease: lease, ..ServedShares::default() };
        let root = match root {
            Root::Share(tree) => Some(tree),
            Root::Disk(disk) => {
                let name = format!("the root's disk (image `{}`)", machine.image);
                let died = Arc::clone(&share_died);
                let on_death = Box::new(move |how: String| died(name, how));
                let (handle, socket) =
                    spawn_disk(disk, on_death, None).map_err(|error| world("the root cannot be served", &error))?;
                shares.disks.push(handle);
                disks.push(DiskSocket { socket });
                None
            }
        };
        let setup_root = match &root {
            Some(_) => SetupRoot::Share { tag: ROOT_TAG.to_owned() },
            None => SetupRoot::Erofs { serial: ROOT_SERIAL.to_owned() },
        };
        for (handle, socket) in disks::serve(&self.storage, machine, &share_died, &warn)? {
            shares.disks.push(handle);
            disks.push(socket);
        }
        for spec in self.share_specs(machine, root) {
            if is_canceled() {
                return Err(ProvideError { message: "it is no longer wanted".to_owned(), is_host_unfit: false });
            }
            let (tag, name) = (spec.tag.clone(), people_name(&spec));
            let has_view = spec.tree.is_mount() && spec.makers == Makers::Owner;
            let keeps_guest_ids = spec.tree.is_writable() && spec.makers == Makers::Guest;
            let guest_place = keeps_guest_ids.then(|| target_of(machine, &tag)).flatten();
            let handle_tag = tag.clone();
            let died = Arc::clone(&share_died);
            let on_death = Box::new(move |how: String| died(name, how));
            let (handle, socket) = spawn_share(spec, on_death).map_err(|error| share_failure(&error))?;
            shares.sources.push((handle.source(), place_name(machine, &tag)));
            sockets.push(ShareSocket { tag, socket });
            shares.handles.get_mut().unwrap_or_else(PoisonError::into_inner).push(Served {
                tag: handle_tag,
                handle,
                has_view,
                guest_place,
            });
        }
        let network = network::serve(machine, &self.resolvers, NetworkHooks { warn, fail })?;
        let (vsock_handle, vsock) =
            VsockBackend::spawn(GUEST_CID).map_err(|error| world("the vsock device cannot be made", &error))?;
        Ok(Prepared {
            kernel,
            initramfs,
            cmdline: String::new(),
            sockets,
            disks,
            root: setup_root,
            vsock,
            dial: Arc::new(VsockDial(vsock_handle)),
            network,
            shares: Box::new(shares),
            defaults,
        })
    }
}

/// The run, as who waits for a kernel.
pub(super) struct HookedWaiter {
    progress: Box<dyn FnMut(String) + Send>,
    pulled: Box<dyn FnMut(Pulled) + Send>,
    is_canceled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Waiter for HookedWaiter {
    fn tell(&mut self, words: &str) {
        (self.progress)(words.to_owned());
    }

    fn pulled(&mut self, what: &str, done: u64, total: Option<u64>) {
        (self.pulled)(Pulled { name: what.to_owned(), done, total });
    }

    fn has_left(&self) -> bool {
        (self.is_canceled)()
    }
}

/// The file servers of one machine.
#[derive(Default)]
struct ServedShares {
    handles: Mutex<Vec<Served>>,
    /// The servers of its disks: held, and ended with the machine.
    disks: Vec<DiskHandle>,
    /// What they serve, each with where it is mounted, in words.
    sources: Vec<(Arc<ShareSource>, String)>,
    /// Keeps the image in the store as long as it is served.
    _lease: Option<Lease>,
}

struct Served {
    tag: String,
    handle: ShareHandle,
    /// Whether its files are shown as the step user's; those of the root are 0:0 for all.
    has_view: bool,
    /// Where it is mounted, if what the guest makes there keeps the guest's ids.
    guest_place: Option<String>,
}

impl Shares for ServedShares {
    fn set_view(&self, uid: u32, gid: u32) -> io::Result<()> {
        let served = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        served.iter().filter(|served| served.has_view).try_for_each(|served| served.handle.set_view(uid, gid))
    }

    fn record(&self) -> io::Result<()> {
        let served = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        served.iter().filter(|served| served.guest_place.is_some()).try_for_each(|served| served.handle.record())
    }

    fn give(&self, gift: &Gift, goes_on: &dyn Fn() -> bool) -> io::Result<GivenFiles> {
        let served = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = GivenFiles::default();
        for served in served.iter() {
            let Some(target) = &served.guest_place else { continue };
            let outputs = Outputs { target: target.clone(), patterns: gift.outputs.clone() };
            let outputs = (!gift.outputs.is_empty()).then_some(outputs);
            let given = served.handle.give(gift.uid, gift.gid, outputs, goes_on)?;
            total.changed += given.changed;
            total.linked += given.linked;
            total.failure = total.failure.or(given.failure.map(|failure| format!("below `{target}`: {failure}")));
        }
        Ok(total)
    }

    fn fix_view(&self, tag: &str, uid: u32, gid: u32) -> io::Result<()> {
        let mut served = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        served.iter_mut().filter(|served| served.tag == tag).try_for_each(|served| {
            served.has_view = false;
            served.handle.set_view(uid, gid)
        })
    }

    fn lost_source(&self) -> Option<String> {
        self.sources.iter().find_map(|(source, place)| {
            let loss = source.loss()?;
            let what = chain(&loss).collect::<Vec<_>>().join(": ");
            Some(format!(
                "{what} while {place}: what the guest reads and writes there is no longer at that path; put it back, \
                 and leave it in place until the run has ended"
            ))
        })
    }
}

fn owner_of(mount: &MountPlan) -> OwnerPlan {
    match &mount.kind {
        MountPlanKind::Bind { owner, .. } => owner.clone(),
        _ => OwnerPlan::Invoker,
    }
}

/// Where the share of this tag is mounted in the guest.
fn target_of(machine: &MachinePlan, tag: &str) -> Option<String> {
    let is_it = |mount: &&MountPlan| mount.share().is_some_and(|(own, _)| own == tag);
    machine.mounts.iter().find(is_it).map(|mount| mount.target.as_str().to_owned())
}

/// Tag and tree of the share of a mount, where it has one.
fn mount_share(mount: &MountPlan) -> Option<(String, ShareTree)> {
    let (tag, path) = mount.share()?;
    let (is_read_only, cache) = match &mount.kind {
        MountPlanKind::Bind { readonly, cache, .. } => {
            let cache = match cache {
                Cache::Auto => ShareCache::Auto,
                Cache::Always => ShareCache::Always,
                Cache::Never => ShareCache::Never,
            };
            (*readonly, cache)
        }
        // The guest writes to a layer of its own.
        _ => (true, ShareCache::Names),
    };
    let path = path.to_path_buf();
    let tree = match &mount.kind {
        MountPlanKind::Bind { is_file: true, .. } => ShareTree::File { path, is_read_only, cache },
        _ => ShareTree::Folder { path, is_read_only, cache },
    };
    Some((tag.to_owned(), tree))
}

/// Where a share is mounted, for people.
fn place_name(machine: &MachinePlan, tag: &str) -> String {
    match target_of(machine, tag) {
        Some(target) => format!("machine `{}` has it mounted at `{target}` ({tag})", machine.name),
        None => format!("machine `{}` has it as its root ({tag})", machine.name),
    }
}

fn people_name(spec: &ShareSpec) -> String {
    match &spec.tree {
        ShareTree::Folder { path, .. } | ShareTree::File { path, .. } | ShareTree::RootFolder { path } => {
            format!("{} (`{}`)", spec.tag, path.display())
        }
        ShareTree::HostRoot => format!("{} (the host's root)", spec.tag),
        ShareTree::Image { .. } => format!("{} (the image)", spec.tag),
    }
}

fn share_failure(error: &ShareError) -> ProvideError {
    let is_host_unfit = matches!(error, ShareError::Start { is_host_unfit: true, .. });
    ProvideError { message: chain(error).collect::<Vec<_>>().join(": "), is_host_unfit }
}

/// The error with its causes, and what to do.
fn unfit_kernel(error: &kernel::KernelError) -> ProvideError {
    let mut unfit = world("the kernel cannot be had", error);
    if let Some(help) = error.help() {
        unfit.message.push_str("; ");
        unfit.message.push_str(&help);
    }
    unfit
}

/// Whether `kernel: auto` is the kernel of the lock file, where that has a line for it.
fn check_kernel_lock(kernel: &kernel::Kernel, lock: Option<&str>) -> Result<(), ProvideError> {
    let Some(locked) = lock else { return Ok(()) };
    let found = kernel.digest().map_err(|error| world("the kernel cannot be read", &error))?;
    if found.as_str() == locked {
        return Ok(());
    }
    let message = format!(
        "`kernel: auto` is {} here ({found}), and the lock file has {locked}; `smolvm update` takes this one into the \
         lock file, and `kernel: REFERENCE` or a path names one kernel for all hosts",
        kernel.origin
    );
    Err(ProvideError { message, is_host_unfit: false })
}

pub(super) fn world(what: &str, error: &(dyn std::error::Error + 'static)) -> ProvideError {
    ProvideError { message: format!("{what}: {}", chain(error).collect::<Vec<_>>().join(": ")), is_host_unfit: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{GuestPath, Image};

    fn provider() -> Provider {
        let invoker = Invoker { uid: 1000, gid: 100, groups: vec![4], name: None, home: None, is_process_root: true };
        let storage = Storage::new(std::path::Path::new("/state"), crate::sys::identity::Actor::Own);
        Provider::new(PathBuf::from("/cache"), invoker, RootWish::Auto, None, storage)
    }

    fn machine(image: Image) -> MachinePlan {
        let mount = MountPlan {
            target: GuestPath::parse("/code").unwrap(),
            create: false,
            kind: MountPlanKind::Bind {
                tag: "share0".to_owned(),
                source: PathBuf::from("/project/src"),
                is_file: false,
                readonly: true,
                owner: OwnerPlan::Invoker,
                guest_owner: None,
                cache: Cache::Auto,
            },
        };
        MachinePlan { image, mounts: vec![mount], ..MachinePlan::bare("box", 256) }
    }

    #[test]
    fn the_root_comes_first_and_every_share_has_the_invokers_rights() {
        let machine = machine(Image::Host);
        let specs = provider().share_specs(&machine, Some(ShareTree::HostRoot));
        let rights = Rights { uid: 1000, gid: 100, groups: vec![4] };
        let tree =
            ShareTree::Folder { path: PathBuf::from("/project/src"), is_read_only: true, cache: ShareCache::Auto };
        assert_eq!(
            specs,
            [
                ShareSpec {
                    tag: "root".to_owned(),
                    tree: ShareTree::HostRoot,
                    rights: rights.clone(),
                    makers: Makers::Owner
                },
                ShareSpec { tag: "share0".to_owned(), tree, rights, makers: Makers::Owner },
            ]
        );
    }

    #[test]
    fn a_host_that_denies_confinement_is_unfit() {
        let error =
            ShareError::Start { tag: "root".to_owned(), message: "no namespaces".to_owned(), is_host_unfit: true };
        assert!(share_failure(&error).is_host_unfit);
    }
}
