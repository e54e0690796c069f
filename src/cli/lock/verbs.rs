//! What the verbs do. Deliberately not here: the disk (`file`), the registries (`ask`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::args::{LockArgs, UpdateArgs};
use super::file::OnDisk;
use super::{ask, auto};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::{load, pull, remarks};
use crate::config::model::{Image, KernelSource};
use crate::config::{AUTO_KERNEL, LOCK_NAME, LockFile, Mode, Project, Reference};

/// Hexadecimal digits of a digest that people read.
const SHORT: usize = 12;

/// Why `--check` fails, beside what is told of the file.
#[derive(Debug, thiserror::Error)]
enum LockError {
    #[error("`{LOCK_NAME}` is not up to date: no image of the project is {names}")]
    Unused { names: String },
    #[error("{count} of the names in `{LOCK_NAME}` {} another image by now", if *count == 1 { "means" } else { "mean" })]
    Moved { count: usize },
    #[error("no image of the project is {name}")]
    NotOfProject { name: String },
}

/// Writes the lock file, or checks it.
pub(crate) fn lock(args: &LockArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let Some(project) = project(settings, args.check, args.max_diagnostics, printer)? else {
        return Ok(ExitCode::InvalidFile);
    };
    if args.check { check(args, &project, settings, printer) } else { write(args, &project, settings, printer) }
}

/// Asks for images anew.
pub(crate) fn update(args: &UpdateArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let Some(project) = project(settings, false, args.max_diagnostics, printer)? else {
        return Ok(ExitCode::InvalidFile);
    };
    let all = open_references(&project);
    let meant = if args.named.is_empty() { all } else { named(&args.named, &project, &all)? };
    let (disk, mut file) = read(&project)?;
    let gone = file.retain(|name| is_used(name, &project));
    let digests = ask::digests(meant.clone(), settings, printer)?;
    let mut told = String::new();
    for (reference, digest) in meant.iter().zip(digests) {
        match file.set(&reference.name(), digest.as_str()) {
            Some(old) if old == digest.as_str() => {}
            Some(old) => drop(writeln!(told, "{}: {} → {}", reference.name(), short(&old), short(digest.as_str()))),
            None => drop(writeln!(told, "{}: {}", reference.name(), short(digest.as_str()))),
        }
    }
    if args.named.is_empty() && file.digest(AUTO_KERNEL).is_some() {
        lock_kernel(&mut file, &mut told, printer)?;
    }
    finish(&disk, &file, (&told, &gone), printer)
}

/// The project, where it is right.
fn project(settings: &Settings, is_locked: bool, max: usize, printer: &Printer) -> Result<Option<Project>, Failure> {
    let loaded = load::load_locked(settings, Mode::Check, is_locked)?;
    if loaded.diagnostics.has_errors() {
        remarks::tell(&loaded.diagnostics, &loaded.sources, max, printer);
        return Ok(None);
    }
    Ok(loaded.project)
}

fn read(project: &Project) -> Result<(OnDisk, LockFile), Failure> {
    OnDisk::read(project).map_err(|error| Failure::new(Class::World, error))
}

/// Names without a digest, each once, in file order.
fn open_references(project: &Project) -> Vec<Reference> {
    let mut seen = BTreeSet::new();
    let used = project.references().into_iter().map(|(reference, _)| reference);
    used.filter(|reference| reference.digest().is_none() && seen.insert(reference.name())).cloned().collect()
}

/// Whether a name of the lock file is one of the project.
fn is_used(name: &str, project: &Project) -> bool {
    let is_auto = || project.machines.iter().any(|machine| machine.kernel.value == KernelSource::Auto);
    match name {
        AUTO_KERNEL => is_auto(),
        name => project.references().iter().any(|(reference, _)| reference.name() == name),
    }
}

fn write(args: &LockArgs, project: &Project, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let (disk, mut file) = read(project)?;
    let mut told = String::new();
    let gone = file.retain(|name| is_used(name, project));
    // A digest of the file is the image: where the lock file has another one, it is out of date.
    for (reference, _) in project.references() {
        if let (Some(digest), Some(old)) = (reference.digest(), file.digest(&reference.name()).map(str::to_owned))
            && old != digest
        {
            file.set(&reference.name(), digest);
            let _ = writeln!(told, "{}: {} → {}", reference.name(), short(&old), short(digest));
        }
    }
    let missing: Vec<Reference> =
        open_references(project).into_iter().filter(|one| file.digest(&one.name()).is_none()).collect();
    for (reference, digest) in missing.iter().zip(ask::digests(missing.clone(), settings, printer)?) {
        file.set(&reference.name(), digest.as_str());
        let _ = writeln!(told, "{}: {}", reference.name(), short(digest.as_str()));
    }
    if args.kernel && file.digest(AUTO_KERNEL).is_none() && is_used(AUTO_KERNEL, project) {
        lock_kernel(&mut file, &mut told, printer)?;
    }
    finish(&disk, &file, (&told, &gone), printer)
}

/// Gives `kernel: auto` the digest that it has on this host.
fn lock_kernel(file: &mut LockFile, told: &mut String, printer: &Printer) -> Result<(), Failure> {
    let digest = auto::digest(printer)?;
    match file.set(AUTO_KERNEL, digest.as_str()) {
        Some(old) if old == digest.as_str() => {}
        Some(old) => drop(writeln!(told, "{AUTO_KERNEL}: {} → {}", short(&old), short(digest.as_str()))),
        None => drop(writeln!(told, "{AUTO_KERNEL}: {}", short(digest.as_str()))),
    }
    Ok(())
}

/// Writes what changed, and says it.
fn finish(
    disk: &OnDisk,
    file: &LockFile,
    (told, gone): (&str, &[String]),
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    if file.is_empty() && !disk.is_there() {
        printer.note("nothing to lock: no image of the project comes from a registry by a name\n");
        return Ok(ExitCode::Passed);
    }
    if !disk.is_changed(file) {
        printer.note(&format!("`{LOCK_NAME}` is up to date\n"));
        return Ok(ExitCode::Passed);
    }
    disk.write(file).map_err(|error| Failure::new(Class::World, error))?;
    let gone: String = gone.iter().map(|name| format!("{name}: no longer used\n")).collect();
    printer.data(&format!("{told}{gone}"))?;
    printer.note(&format!("wrote `{LOCK_NAME}`\n"));
    Ok(ExitCode::Passed)
}

/// The project has all of its images in the lock file, or would have been refused: what is left is the other way round.
fn check(args: &LockArgs, project: &Project, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let (disk, mut file) = read(project)?;
    let gone = file.retain(|name| is_used(name, project));
    if !gone.is_empty() {
        let names = gone.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Class::File, LockError::Unused { names }).help("run `smolvm lock`"));
    }
    if args.remote {
        let all = open_references(project);
        let mut moved = String::new();
        for (reference, digest) in all.iter().zip(ask::digests(all.clone(), settings, printer)?) {
            let old = file.digest(&reference.name()).unwrap_or_default();
            if old != digest.as_str() {
                let _ = writeln!(moved, "{}: {} → {}", reference.name(), short(old), short(digest.as_str()));
            }
        }
        if !moved.is_empty() {
            printer.data(&moved)?;
            let count = moved.lines().count();
            return Err(Failure::new(Class::File, LockError::Moved { count })
                .help("`smolvm update` takes them into the lock file"));
        }
    }
    match (disk.is_there(), args.remote) {
        (true, false) => printer.note(&format!("`{LOCK_NAME}` has each image of the project\n")),
        (true, true) => printer.note(&format!("`{LOCK_NAME}` has each image of the project, as its registry has it\n")),
        (false, _) => printer.note("no image of the project needs a lock\n"),
    }
    Ok(ExitCode::Passed)
}

/// The names without a digest that these words mean.
fn named(words: &[String], project: &Project, all: &[Reference]) -> Result<Vec<Reference>, Failure> {
    let wanted = pull::of_words(words, Some(project)).map_err(pull::word_failure)?;
    let mut found: Vec<Reference> = Vec::new();
    for one in wanted {
        let Image::Reference(reference) = &one.image else { continue };
        let Some(own) = all.iter().find(|known| known.name() == reference.name()) else {
            if project.references().iter().any(|(known, _)| *known == reference) {
                // It has a digest, and so nothing to ask for.
                continue;
            }
            let name = format!("`{}`", reference.written());
            return Err(Failure::new(Class::Selection, LockError::NotOfProject { name })
                .help("`smolvm config --images` lists them"));
        };
        if !found.contains(own) {
            found.push(own.clone());
        }
    }
    Ok(found)
}

/// The digits by which people tell digests apart.
fn short(digest: &str) -> &str {
    let hex = digest.split(':').next_back().unwrap_or(digest);
    hex.get(..SHORT).unwrap_or(hex)
}
