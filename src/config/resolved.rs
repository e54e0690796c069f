//! A project as a file again: variables replaced, paths whole, anchors, merges and short forms written out.
//!
//! What is written can be read again and means the same; a dollar is written `$$` for that, and the machines of a matrix
//! are machines with names of their own. What an `if` or a profile leaves out is left out. Deliberately not here: how the two
//! forms look (`written`).

use std::collections::BTreeMap;
use std::path::Path;

use super::addresses::show_port;
use super::model::{
    Access, Cache, Chown, Command, Destination, KernelSource, Link, Machine, Mount, MountKind, Network, NetworkMode,
    Owner, Project, Retry, Spanned, Step, Volume, Workspace,
};
use super::resolved_names::Names;
use super::scalars::show_duration;
use super::written::{Node, render_json, render_yaml};

mod service;

/// The shell of a step that names none.
const SHELL: [&str; 2] = ["sh", "-eu"];

/// The project as YAML.
pub fn resolved_yaml(project: &Project) -> String {
    render_yaml(&file(project))
}

/// The project as JSON.
pub fn resolved_json(project: &Project) -> String {
    render_json(&file(project))
}

/// Keys in the order in which they are written; those that say nothing are left out.
#[derive(Default)]
struct Keys(Vec<(String, Node)>);

impl Keys {
    fn put(&mut self, key: &str, value: impl Into<Option<Node>>) {
        if let Some(value) = value.into() {
            self.0.push((key.to_owned(), value));
        }
    }

    fn put_if(&mut self, is_said: bool, key: &str, value: Node) {
        self.put(key, is_said.then_some(value));
    }
}

/// The project as keys and values.
pub(super) fn file(project: &Project) -> Node {
    let project = &project.active();
    let mut keys = Keys::default();
    keys.put("name", text(&project.name));
    keys.put("env", environment(&project.env));
    let names = Names::new(project);
    let machines = project
        .machines
        .iter()
        .map(|machine| (names.machine(&machine.name.value).to_owned(), self::machine(machine, &names)));
    keys.put("machines", Node::Map(machines.collect()));
    // Where a machine says its own, a step's has to be said even where it is the default.
    let is_shell_said = project.machines.iter().any(|machine| service::own_shell(machine).is_some());
    let needs = |number: usize| Node::List(names.needs(number).into_iter().map(text).collect());
    let steps = project.steps.iter().enumerate();
    let steps: Vec<Node> =
        steps.map(|(number, step)| self::step(step, &names, Some(needs(number)), is_shell_said)).collect();
    keys.put_if(!steps.is_empty(), "steps", Node::List(steps));
    let finally: Vec<Node> = project.finally.iter().map(|step| self::step(step, &names, None, is_shell_said)).collect();
    keys.put_if(!finally.is_empty(), "finally", Node::List(finally));
    keys.put("volumes", volumes(project));
    Node::Map(keys.0)
}

fn volumes(project: &Project) -> Option<Node> {
    let volume = |volume: &Volume| {
        let mut keys = Keys::default();
        keys.put("size", volume.size_mib.as_ref().map(|mib| size(mib.value)));
        (volume.name.value.clone(), Node::Map(keys.0))
    };
    (!project.volumes.is_empty()).then(|| Node::Map(project.volumes.iter().map(volume).collect()))
}

fn machine<'a>(machine: &'a Machine, names: &Names<'a>) -> Node {
    let mut keys = Keys::default();
    keys.put("image", text(&machine.image.value.to_string()));
    keys.put(
        "kernel",
        match &machine.kernel.value {
            KernelSource::Auto => Node::Text("auto".to_owned()),
            KernelSource::Path(file) => path(file),
            KernelSource::Reference(reference) => text(reference.written()),
        },
    );
    keys.put("modules", machine.modules.as_ref().map(|folder| path(&folder.value)));
    keys.put("cpus", machine.cpus.as_ref().map(|cpus| Node::Number(cpus.value.into())));
    keys.put("memory", size(machine.memory_mib.value));
    keys.put("env", environment(&machine.env));
    keys.put("working_dir", machine.working_dir.as_ref().map(|folder| text(folder.value.as_str())));
    keys.put("user", machine.user.as_ref().map(spanned));
    let is_said = machine.hostname.is_some() || machine.combination.is_some();
    keys.put_if(is_said, "hostname", text(&machine.hostname_or_default()));
    let mounts: Vec<Node> = machine.mounts.iter().map(mount).collect();
    keys.put_if(!mounts.is_empty(), "mounts", Node::List(mounts));
    keys.put(
        "workspace",
        match &machine.workspace {
            Workspace::Default => None,
            Workspace::Size(mib) => Some(size(mib.value)),
            Workspace::Absent => Some(Node::Flag(false)),
        },
    );
    network(&machine.network, names, &mut keys);
    service::service(machine, names, &mut keys);
    Node::Map(keys.0)
}

fn network<'a>(network: &'a Network, names: &Names<'a>, keys: &mut Keys) {
    keys.put("network", network.access.as_ref().map(access));
    let ports: Vec<Node> = network.ports.iter().map(|port| Node::Text(show_port(port))).collect();
    keys.put_if(!ports.is_empty(), "ports", Node::List(ports));
    let named = |link: &'a Link| names.machines(&link.machine.value).into_iter().map(move |name| (name, link.port));
    let links = network.links.iter().flat_map(named).map(|(name, port)| text(&format!("{name}:{port}")));
    let links: Vec<Node> = links.collect();
    keys.put_if(!links.is_empty(), "links", Node::List(links));
}

fn access(access: &Access) -> Node {
    let mode = match access.mode {
        NetworkMode::None => "none",
        NetworkMode::Nat => "nat",
    };
    let Some(allow) = &access.allow else { return Node::Text(mode.to_owned()) };
    let allow = allow.iter().map(|destination| match destination {
        Destination::Name(name) => text(name),
        Destination::Addresses { first, bits } => Node::Text(format!("{first}/{bits}")),
    });
    let mut keys = Keys::default();
    keys.put("mode", Node::Text(mode.to_owned()));
    keys.put("allow", Node::List(allow.collect()));
    Node::Map(keys.0)
}

fn mount(mount: &Mount) -> Node {
    let mut keys = Keys::default();
    keys.put_if(!matches!(mount.kind, MountKind::Bind { .. }), "type", text(mount.kind_word()));
    keys.put("source", mount.source().map(|source| path(&source.value)));
    keys.put("source", mount.volume().map(spanned));
    keys.put("target", text(mount.target.value.as_str()));
    keys.put_if(mount.is_readonly(), "readonly", Node::Flag(true));
    keys.put_if(mount.create, "create", Node::Flag(true));
    match &mount.kind {
        MountKind::Bind { owner, guest_owner, cache, .. } => {
            keys.put(
                "owner",
                match &owner.value {
                    Owner::Invoker => None,
                    Owner::Guest => Some(text("guest")),
                    Owner::Named(name) => Some(text(name)),
                },
            );
            keys.put("guest_owner", guest_owner.as_ref().map(spanned));
            keys.put(
                "cache",
                match cache.value {
                    Cache::Auto => None,
                    Cache::Always => Some(text("always")),
                    Cache::Never => Some(text("never")),
                },
            );
        }
        MountKind::Overlay { guest_owner, .. } => keys.put("guest_owner", guest_owner.as_ref().map(spanned)),
        MountKind::Volume { .. } => {}
        MountKind::Tmpfs { size_mib } => keys.put("size", size_mib.as_ref().map(|mib| size(mib.value))),
    }
    Node::Map(keys.0)
}

fn retry(retry: Retry) -> Node {
    let mut keys = Keys::default();
    keys.put("attempts", Node::Number(u64::from(retry.attempts)));
    let delay = u64::try_from(retry.delay.as_millis()).unwrap_or(u64::MAX);
    keys.put("delay", Node::Text(show_duration(delay)));
    Node::Map(keys.0)
}

fn step<'a>(step: &'a Step, names: &Names<'a>, needs: Option<Node>, is_shell_said: bool) -> Node {
    let mut keys = Keys::default();
    keys.put("id", text(names.id(&step.id.value)));
    keys.put("name", step.title.as_deref().map(text));
    keys.put_if(!step.machine.value.is_empty(), "machine", text(names.machine(&step.machine.value)));
    keys.put("run", service::command(&step.command.value));
    if let Command::Script { shell, .. } = &step.command.value {
        keys.put_if(is_shell_said || *shell != SHELL, "shell", words(shell));
    }
    keys.put("env", environment(&step.env));
    keys.put("working_dir", step.working_dir.as_ref().map(|folder| text(folder.value.as_str())));
    keys.put("user", step.user.as_ref().map(spanned));
    keys.put("needs", needs);
    let inputs: Vec<Node> = step.inputs.iter().map(|input| text(&input.pattern)).collect();
    keys.put_if(!inputs.is_empty(), "inputs", Node::List(inputs));
    let outputs: Vec<Node> = step.outputs.iter().map(|output| text(output.value.as_str())).collect();
    keys.put_if(!outputs.is_empty(), "outputs", Node::List(outputs));
    let timeout = step.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    keys.put("timeout", timeout.map(|ms| Node::Text(show_duration(ms))));
    keys.put("retry", step.retry.map(retry));
    keys.put_if(step.continue_on_error, "continue_on_error", Node::Flag(true));
    keys.put(
        "chown",
        step.chown.as_ref().map(|chown| match &chown.value {
            Chown::Invoker => Node::Flag(true),
            Chown::Named(name) => text(name),
        }),
    );
    Node::Map(keys.0)
}

fn environment(env: &BTreeMap<String, String>) -> Option<Node> {
    let pairs = env.iter().map(|(name, value)| (name.clone(), text(value)));
    (!env.is_empty()).then(|| Node::Map(pairs.collect()))
}

/// A text in which variables are replaced when it is read.
fn text(text: &str) -> Node {
    Node::Text(text.replace('$', "$$"))
}

fn spanned(value: &Spanned<String>) -> Node {
    text(&value.value)
}

fn path(path: &Path) -> Node {
    text(&path.display().to_string())
}

fn words(words: &[String]) -> Node {
    Node::List(words.iter().map(|word| text(word)).collect())
}

fn size(mib: u64) -> Node {
    Node::Text(if mib.is_multiple_of(1024) { format!("{}GiB", mib / 1024) } else { format!("{mib}MiB") })
}
