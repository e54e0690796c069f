//! The steps of a build, from the source to a kernel in the cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::super::cache::{self, Cache};
use super::super::super::tool::Tool;
use super::super::super::waiter::Waiter;
use super::super::package::KernelFiles;
use super::super::resolve::{Kernel, finish};
use super::super::stored::{self, Contents};
use super::super::{KernelError, elf};
use super::configure::configure;
use super::error::LeanError;
use super::make::{Counter, Make};
use super::source::Source;
use super::{key, tools};

/// Room that a build takes below the cache, in MiB: the packed source, its tree, what is compiled.
const NEEDED_MIB: u64 = 2200;
/// How many files a build makes, as far as it can be known before: for the bar only.
const USUAL_STEPS: u64 = 1500;
/// Signs in a path that the kernel's makefiles take for something else.
const SIGNS: [char; 9] = [' ', ':', '\t', '#', '%', '$', '\'', '"', '\\'];
/// Name of the kernel in its folder.
const IMAGE: &str = "vmlinux";

/// What is to be built.
#[derive(Debug, Clone, Default)]
pub struct LeanRequest {
    /// A tar of the source, instead of the distribution's.
    pub source: Option<PathBuf>,
    /// How many compilers may run at once.
    pub jobs: usize,
    /// Whether it is built also where it is there.
    pub is_forced: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct LeanBuilt {
    /// The kernel, which `auto` takes from now on.
    pub kernel: Kernel,
    /// Whether it was built now.
    pub is_new: bool,
    /// What else there is to know, for people.
    pub remarks: Vec<String>,
}

/// Builds the lean kernel, unless it is in the cache for this source and this configuration.
pub fn build(request: &LeanRequest, cache: &Path, waiter: &mut dyn Waiter) -> Result<LeanBuilt, LeanError> {
    let cache = Cache::open(cache).map_err(|source| LeanError::io("make cache folder", cache, source))?;
    cache.sweep();
    let io = |source| LeanError::io("use cache folder", cache.path(""), source);
    let mut lock = cache.build_lock_file().map_err(io)?;
    let guard = cache::hold(&mut lock, "builds a kernel", waiter).map_err(io)?;
    let Some(_guard) = guard else { return Err(LeanError::NotWanted) };
    let existing = stored::newest_lean(&cache).filter(|_| !request.is_forced);
    if existing.is_none() {
        // Before anything is downloaded for nothing.
        check_host(&cache, waiter)?;
    }
    let scratch = cache.build_scratch().map_err(io)?;
    let source = match (Source::find(request.source.as_deref(), scratch.path(), waiter), existing) {
        (Ok(source), _) => source,
        (Err(LeanError::NoSource { why }), Some((_, files))) if request.source.is_none() => {
            let remarks = vec![format!("whether there is a newer source is not known: {why}")];
            return ready(&files, false, remarks, &cache);
        }
        (Err(error), _) => return Err(error),
    };
    let name = format!("{}{}-{}", stored::LEAN, key(), source.name());
    let folder = cache.path(&name);
    if let Some(files) = stored::files_in(&folder).filter(|_| !request.is_forced) {
        // Of several kernels the last one that was asked for is taken.
        stored::renew(&folder).map_err(io)?;
        return ready(&files, false, Vec::new(), &cache);
    }
    check_host(&cache, waiter)?;
    let tree = source.unpack(scratch.path(), &scratch.path().join("tree"), waiter)?;
    let make = Make { tree: &tree, scratch: scratch.path(), cache: &cache };
    let lost = configure(&tree, &make, waiter)?;
    compile(&make, request.jobs, waiter)?;
    let made = collect(&tree, scratch.path(), &source.name(), waiter)?;
    cache.publish_folder(&made, &name).map_err(io)?;
    // The log of an earlier failure tells nothing any more.
    let _ = fs::remove_file(cache.path(super::LOG));
    let files = stored::files_in(&folder).ok_or_else(|| io(std::io::ErrorKind::NotFound.into()))?;
    let remarks = if lost.is_empty() { Vec::new() } else { vec![format!("this source has no {}", lost.join(", "))] };
    ready(&files, true, remarks, &cache)
}

fn ready(files: &KernelFiles, is_new: bool, remarks: Vec<String>, cache: &Cache) -> Result<LeanBuilt, LeanError> {
    let kernel = finish(files, None, cache).map_err(LeanError::Unusable)?;
    Ok(LeanBuilt { kernel, is_new, remarks })
}

/// Whether a kernel can be built here at all: the place, the room, the tools.
fn check_host(cache: &Cache, waiter: &dyn Waiter) -> Result<(), LeanError> {
    let place = cache.path("");
    let text = place.to_string_lossy();
    if let Some(sign) = text.chars().find(|sign| SIGNS.contains(sign)) {
        return Err(LeanError::Place { path: place, sign });
    }
    if let Some(missing) = tools::missing(waiter) {
        return Err(if waiter.has_left() { LeanError::NotWanted } else { LeanError::Tools { missing } });
    }
    let room = rustix::fs::statvfs(&place).map_err(|error| LeanError::io("look at", &place, error.into()))?;
    let here_mib = room.f_bavail.saturating_mul(room.f_frsize) >> 20;
    if here_mib < NEEDED_MIB {
        return Err(LeanError::Room { path: place, here_mib, needed_mib: NEEDED_MIB });
    }
    Ok(())
}

fn compile(make: &Make<'_>, jobs: usize, waiter: &mut dyn Waiter) -> Result<(), LeanError> {
    let words = "compiling the kernel";
    waiter.tell(words);
    let mut counter = Counter::new(make.log());
    let jobs = format!("-j{}", jobs.max(1));
    make.run(words, &[&jobs, IMAGE], waiter, &mut |waiter| {
        if counter.look() {
            waiter.worked(words, counter.count, Some(USUAL_STEPS.max(counter.count)));
        }
    })?;
    counter.look();
    waiter.worked(words, counter.count, Some(counter.count));
    Ok(())
}

/// Puts what is kept into a folder: the kernel without its symbols, and the configuration that it was made with.
fn collect(tree: &Path, scratch: &Path, source: &str, waiter: &mut dyn Waiter) -> Result<PathBuf, LeanError> {
    waiter.tell("keeping the kernel in the cache");
    let folder = scratch.join("kernel");
    let io = |source| LeanError::io("write", &folder, source);
    fs::create_dir(&folder).map_err(io)?;
    let (from, to) = (tree.join(IMAGE), folder.join(IMAGE));
    let strip = Tool::new("strip").args(["--strip-all".as_ref(), "-o".as_ref(), to.as_os_str(), from.as_os_str()]);
    if strip.run(waiter).is_err() {
        // It is only larger with them.
        fs::copy(&from, &to).map_err(io)?;
    }
    fs::copy(tree.join(".config"), folder.join("config")).map_err(io)?;
    if !fs::File::open(&to).and_then(|file| elf::has_pvh_entry(&file)).map_err(io)? {
        return Err(LeanError::Unusable(KernelError::NoPvhEntry { path: from }));
    }
    let release = tree.join("include/config/kernel.release");
    let version = fs::read_to_string(&release).map_err(|source| LeanError::io("read", &release, source))?;
    let version = version.trim().to_owned();
    let origin = format!("lean kernel {version}, made from {source}");
    Contents { image: IMAGE.into(), modules: None, origin, version: Some(version) }.write(&folder).map_err(io)?;
    Ok(folder)
}
