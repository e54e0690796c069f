//! A plan as text for people and as JSON for programs. Deliberately not here: any decision.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::model::{DiskPlan, MachinePlan, MountPlan, MountPlanKind, Operation, OperationKind, OwnerPlan, Plan};
use super::render_service::{add_service, render_service};
use crate::config::model::{Cache, Image, KernelSource, Retry};

/// Version of the JSON form; new fields do not raise it.
const JSON_VERSION: u32 = 1;

/// The plan for people: what boots, then what happens, numbered, each with what comes before it and why.
pub fn render_text(plan: &Plan) -> String {
    let mut text = String::new();
    let counts = (plan.machines.len(), plan.steps.len());
    let _ = writeln!(text, "{}: {}, {}", plan.project, count(counts.0, "machine"), count(counts.1, "step"));
    if !plan.machines.is_empty() {
        text.push('\n');
    }
    for machine in &plan.machines {
        render_machine(&mut text, machine, Some(&plan.folder));
    }
    if !plan.operations.is_empty() {
        text.push('\n');
    }
    let numbers: HashMap<&str, usize> =
        plan.operations.iter().enumerate().map(|(number, operation)| (operation.id.as_str(), number)).collect();
    let number_of = |id: &String| numbers.get(id.as_str()).copied();
    let width = plan.operations.iter().map(|operation| operation.id.chars().count()).max().unwrap_or(0);
    let digits = plan.operations.len().to_string().len();
    for (index, operation) in plan.operations.iter().enumerate() {
        let mut after: Vec<usize> = operation.after.iter().filter_map(number_of).collect();
        after.sort_unstable();
        let after: Vec<String> = after.into_iter().map(|number| format!("#{}", number + 1)).collect();
        let waits = if after.is_empty() { String::new() } else { format!(" (after {})", after.join(" ")) };
        let _ = writeln!(text, "{:>digits$}  {:<width$}  {}{waits}", index + 1, operation.id, operation.why);
    }
    for skipped in &plan.skipped {
        let _ = writeln!(text, "{:>digits$}  step:{}  passed over: {}", "-", skipped.id, skipped.why);
    }
    text
}

/// The plan for programs: one object, `"version": 1`.
pub fn render_json(plan: &Plan) -> String {
    let tried = plan.steps.iter().filter_map(|step| Some((format!("step:{}", step.id), step.retry?)));
    let retries: HashMap<String, Retry> = tried.collect();
    let operations: Vec<Value> =
        plan.operations.iter().map(|operation| json_operation(operation, retries.get(operation.id.as_str()))).collect();
    let machines: Vec<Value> = plan.machines.iter().map(json_machine).collect();
    let skipped = plan.skipped.iter().map(|step| json!({"step": step.id, "machine": step.machine, "why": step.why}));
    let skipped: Vec<Value> = skipped.collect();
    let object = json!({
        "version": JSON_VERSION,
        "project": plan.project,
        "machines": machines,
        "operations": operations,
        "skipped": skipped,
    });
    format!("{object}\n")
}

/// A size in MiB as the file would say it: `1GiB`.
pub fn render_size(mib: u64) -> String {
    if mib > 0 && mib.is_multiple_of(1024) { format!("{}GiB", mib / 1024) } else { format!("{mib}MiB") }
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A host path as people know it: below the project's folder relative to it. Programs get it absolute.
fn shown(path: &Path, folder: Option<&Path>) -> String {
    match folder.map(|folder| path.strip_prefix(folder)) {
        Some(Ok(inside)) if inside.as_os_str().is_empty() => ".".to_owned(),
        Some(Ok(inside)) => format!("./{}", inside.display()),
        _ => path.display().to_string(),
    }
}

fn image(image: &Image, folder: Option<&Path>) -> String {
    match image.path() {
        Some(path) => format!("{}{}", image.prefix(), shown(path, folder)),
        None => image.to_string(),
    }
}

fn render_machine(text: &mut String, machine: &MachinePlan, folder: Option<&Path>) {
    let kernel = match &machine.kernel {
        KernelSource::Auto if machine.kernel_lock.is_none() => String::new(),
        KernelSource::Auto => ", kernel auto".to_owned(),
        KernelSource::Path(path) => format!(", kernel {}", shown(path, folder)),
        KernelSource::Reference(reference) => format!(", kernel {}", reference.written()),
    };
    let locked = if machine.image_lock.is_some() { " (locked)" } else { "" };
    let kernel_locked = if machine.kernel_lock.is_some() { " (locked)" } else { "" };
    let cpus = count(usize::try_from(machine.cpus).unwrap_or(usize::MAX), "CPU");
    let user = user(machine).map_or_else(|| "the image's user".to_owned(), |user| format!("user {user}"));
    let _ = writeln!(
        text,
        "machine {}: image {}{locked}, {cpus}, {}{kernel}{kernel_locked}, {user}",
        machine.name,
        image(&machine.image, folder),
        render_size(machine.memory_mib),
    );
    // Every machine has the workspace: it is told where the file says something of it.
    for mount in machine.mounts.iter().filter(|mount| !mount.is_default_workspace()) {
        let what = mount_words(machine, mount, folder);
        let made = if mount.create { ", made where missing" } else { "" };
        let _ = writeln!(text, "  {}  {what}{made}", mount.target.as_str());
    }
    for line in render_service(machine) {
        let _ = writeln!(text, "  {line}");
    }
}

/// The user of a machine; `None` where its image decides. Of those that have no config it is root.
fn user(machine: &MachinePlan) -> Option<&str> {
    let image = || matches!(machine.image, Image::Host | Image::Dir(_)).then_some("root");
    machine.user.as_deref().or_else(image)
}

fn mount_words(machine: &MachinePlan, mount: &MountPlan, folder: Option<&Path>) -> String {
    let seen = |user: &str| format!(", seen as owned by {user}");
    match &mount.kind {
        MountPlanKind::Bind { source, is_file, readonly, guest_owner, cache, .. } => {
            let what = if *is_file { "file " } else { "" };
            let mode = if *readonly { "read-only" } else { "writable" };
            let view = guest_owner.as_deref().map(seen).unwrap_or_default();
            let cached = match cache {
                Cache::Auto => "",
                Cache::Always => ", cached for ever",
                Cache::Never => ", not cached",
            };
            format!("{mode}, from {what}{}{view}{cached}", shown(source, folder))
        }
        MountPlanKind::Overlay { source, guest_owner, .. } => {
            let owner = guest_owner.as_deref().or_else(|| user(machine)).unwrap_or("the image's user");
            format!("writable in the machine, over {}{}", shown(source, folder), seen(owner))
        }
        MountPlanKind::Tmpfs { size_mib: Some(size) } => format!("in memory, at most {}", render_size(*size)),
        MountPlanKind::Tmpfs { size_mib: None } => "in memory, at most half of it".to_owned(),
        MountPlanKind::Disk { disk, size_mib, readonly, .. } => {
            let what = match disk {
                DiskPlan::Workspace => "a disk of its own".to_owned(),
                DiskPlan::Scratch => "a disk for this time".to_owned(),
                DiskPlan::Volume(name) => format!("volume {name}"),
            };
            let size = size_mib.map(|size| format!(", {}", render_size(size))).unwrap_or_default();
            let mode = if *readonly { ", read-only" } else { "" };
            format!("{what}{size}{mode}")
        }
    }
}

fn kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Prepare => "prepare",
        OperationKind::Boot => "boot",
        OperationKind::Service => "service",
        OperationKind::Step => "step",
        OperationKind::Finally => "finally",
        OperationKind::Stop => "stop",
    }
}

fn json_operation(operation: &Operation, retry: Option<&Retry>) -> Value {
    let mut object = json!({
        "id": operation.id,
        "kind": kind(operation.kind),
        "machine": operation.machine,
        "after": operation.after,
        "why": operation.why,
    });
    if let Some(Retry { attempts, delay }) = retry {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        object["retry"] = json!({ "attempts": attempts, "delay_ms": delay });
    }
    object
}

fn json_machine(machine: &MachinePlan) -> Value {
    let told = machine.mounts.iter().filter(|mount| !mount.is_default_workspace());
    let mounts: Vec<Value> = told.map(|mount| json_mount(machine, mount)).collect();
    let kernel = match &machine.kernel {
        KernelSource::Auto => "auto".to_owned(),
        KernelSource::Path(path) => shown(path, None),
        KernelSource::Reference(reference) => reference.written().to_owned(),
    };
    let mut object = json!({
        "name": machine.name,
        "image": image(&machine.image, None),
        "kernel": kernel,
        "cpus": machine.cpus,
        "memory_mib": machine.memory_mib,
        "user": user(machine),
        "mounts": mounts,
    });
    for (key, digest) in [("image_lock", &machine.image_lock), ("kernel_lock", &machine.kernel_lock)] {
        if let Some(digest) = digest {
            object[key] = digest.as_str().into();
        }
    }
    add_service(&mut object, machine);
    object
}

fn json_mount(machine: &MachinePlan, mount: &MountPlan) -> Value {
    let mut object =
        json!({ "target": mount.target.as_str(), "readonly": mount.is_readonly(), "create": mount.create });
    let mut set = |key: &str, value: Value| object[key] = value;
    if let Some((tag, source)) = mount.share() {
        set("tag", tag.into());
        set("source", source.to_string_lossy().into());
    }
    match &mount.kind {
        MountPlanKind::Bind { is_file, owner, guest_owner, cache, .. } => {
            set("type", "bind".into());
            set("is_file", (*is_file).into());
            set(
                "owner",
                match owner {
                    OwnerPlan::Invoker => "invoker".into(),
                    OwnerPlan::Guest => "guest".into(),
                    OwnerPlan::Ids { uid, gid, .. } => format!("{uid}:{gid}").into(),
                },
            );
            set("guest_owner", guest_owner.clone().into());
            let cache = match cache {
                Cache::Auto => "auto",
                Cache::Always => "always",
                Cache::Never => "never",
            };
            set("cache", cache.into());
        }
        MountPlanKind::Overlay { guest_owner, .. } => {
            set("type", "overlay".into());
            set("guest_owner", guest_owner.as_deref().or_else(|| user(machine)).into());
        }
        MountPlanKind::Tmpfs { size_mib } => {
            set("type", "tmpfs".into());
            set("size_mib", (*size_mib).into());
        }
        MountPlanKind::Disk { disk, size_mib, .. } => {
            match disk {
                DiskPlan::Workspace | DiskPlan::Scratch => set("type", "workspace".into()),
                DiskPlan::Volume(name) => {
                    set("type", "volume".into());
                    set("source", name.as_str().into());
                }
            }
            set("size_mib", (*size_mib).into());
        }
    }
    object
}
