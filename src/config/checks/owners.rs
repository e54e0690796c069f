//! Rules about whose files are: owners that need privilege (0602) or that this host does not know (0603), a `chown` that
//! has nothing to work on (0601) or nothing to do (0604), and users who cannot write what is not shown as theirs (0605).

use super::outputs::mounts_of_outputs;
use super::world::World;
use crate::config::accounts::{Accounts, UnknownName};
use crate::config::model::{Chown, Machine, Mount, MountKind, Owner, Spanned, Step};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// So many mounts are pointed at beside the place that is meant.
const LABELS_MAX: usize = 3;

/// Checks the owner of every mount, and every step.
pub(super) fn check_owners(world: &World<'_>, out: &mut Diagnostics) {
    let checker = Checker { world, accounts: Accounts::read(world.files) };
    for machine in &world.project.machines {
        for mount in &machine.mounts {
            match &mount.kind {
                MountKind::Bind { owner: Spanned { value: Owner::Guest, span }, .. } => {
                    checker.check_guest_ids(*span, out);
                }
                MountKind::Bind { owner: Spanned { value: Owner::Named(name), span }, .. } => {
                    let _ = checker.check_name("owner", name, *span, out);
                }
                _ => {}
            }
        }
    }
    for step in world.project.steps.iter().chain(&world.project.finally) {
        let Some((machine, _)) = world.machine(&step.machine.value) else { continue };
        if let Some(chown) = &step.chown {
            let is_meant = match &chown.value {
                Chown::Named(name) => checker.check_name("chown", name, chown.span, out),
                Chown::Invoker => true,
            };
            // Whom it means is one question, what it does there another, asked only where the first has an answer.
            if is_meant
                && !machine.gaps.mounts
                && let Some(found) = checker.idle_chown(step, machine, chown)
            {
                out.push(found);
            }
        }
        if let Some(found) = check_user(world, step, machine) {
            out.push(found);
        }
    }
}

struct Checker<'w> {
    world: &'w World<'w>,
    accounts: Accounts,
}

impl Checker<'_> {
    fn check_guest_ids(&self, span: Span, out: &mut Diagnostics) {
        if !self.world.files.invoker().is_privileged {
            let message = "`owner: guest` gives files the guest's own ids on the host, which only root may do";
            out.push(self.privileged(message.to_owned(), span, "needs root"));
        }
    }

    /// Whether ids or names, as the value of this key, are known and may own files here.
    fn check_name(&self, key: &str, name: &str, span: Span, out: &mut Diagnostics) -> bool {
        let found = match self.accounts.resolve(name) {
            Err(unknown) => self.unknown(key, &unknown, span),
            Ok(ids) => {
                let invoker = self.world.files.invoker();
                if invoker.is_privileged || (ids.uid, ids.gid) == (invoker.uid, invoker.gid) {
                    return true;
                }
                let message = format!("`{key}: {name}` gives files to another user, which only root may do");
                self.privileged(message, span, "needs root, or to be oneself")
            }
        };
        out.push(found);
        false
    }

    fn privileged(&self, message: String, span: Span, label: &str) -> Diagnostic {
        Diagnostic::new(Code(602), Severity::Error, message)
            .label(span, label)
            .help("leave it out: files then belong to you; or run smolvm under `sudo`")
    }

    fn unknown(&self, key: &str, unknown: &UnknownName, span: Span) -> Diagnostic {
        let (what, name, near) = match unknown {
            UnknownName::User(name) => ("user", name, self.world.nearest.find(name, self.accounts.user_names())),
            UnknownName::Group(name) => ("group", name, self.world.nearest.find(name, self.accounts.group_names())),
        };
        let words = ["invoker", "guest"].into_iter().filter(|_| key == "owner");
        let near = self.world.nearest.find(name, words).or(near);
        let help = near.map_or_else(
            || format!("name an account of this host, or write ids, as `{key}: \"1000:1000\"`"),
            |near| format!("did you mean `{near}`?"),
        );
        Diagnostic::new(Code(603), Severity::Error, format!("this host knows no {what} `{name}`"))
            .label(span, format!("no such {what} here"))
            .help(help)
    }

    /// A `chown` without a mount that it could change (0601), or whose files are whose they should be already (0604).
    fn idle_chown(&self, step: &Step, machine: &Machine, chown: &Spanned<Chown>) -> Option<Diagnostic> {
        let writable: Vec<&Mount> = machine.mounts.iter().filter(|mount| mount.is_writable_bind()).collect();
        let (id, name) = (&step.id.value, &machine.name.value);
        if writable.is_empty() {
            let message = format!("`chown` of step `{id}`: machine `{name}` has no writable mount of the host");
            let mut found = Diagnostic::new(Code(601), Severity::Error, message).label(chown.span, "nothing to give");
            for mount in machine.mounts.iter().take(LABELS_MAX) {
                found = found.label(mount.span, kept_in(mount));
            }
            let help = "give the machine a writable mount with `owner: guest`, or leave `chown` out".to_owned();
            return Some(found.help(help));
        }
        // Outputs that lie in no mount, or in one that cannot be written, are told elsewhere.
        let touched: Vec<&Mount> = if step.outputs.is_empty() {
            writable
        } else {
            let outputs = mounts_of_outputs(self.world, step).into_iter().map(|(_, mount)| mount);
            outputs.filter(|mount| mount.is_writable_bind()).collect()
        };
        if touched.is_empty() || touched.iter().any(|mount| owner_of(mount) == Some(&Owner::Guest)) {
            return None;
        }
        let message = format!("`chown` of step `{id}` changes nothing: it works on mounts with `owner: guest`");
        let mut found = Diagnostic::new(Code(604), Severity::Note, message).label(chown.span, "not needed here");
        let mut told: Vec<Span> = Vec::new();
        for mount in touched {
            if told.len() < LABELS_MAX && !told.contains(&mount.span) {
                told.push(mount.span);
                found = found.label(mount.span, owned_already(mount));
            }
        }
        Some(found.help("leave `chown` out; the owner of a mount owns what is made there at once"))
    }
}

fn owner_of(mount: &Mount) -> Option<&Owner> {
    match &mount.kind {
        MountKind::Bind { owner, .. } => Some(&owner.value),
        _ => None,
    }
}

fn owned_already(mount: &Mount) -> String {
    match owner_of(mount) {
        Some(Owner::Named(name)) => format!("what is made here is `{name}`'s already"),
        _ => "what is made here is the invoking user's already".to_owned(),
    }
}

fn kept_in(mount: &Mount) -> &'static str {
    match &mount.kind {
        MountKind::Bind { .. } => "this is read-only",
        MountKind::Overlay { .. } => "what is written here stays in the machine",
        MountKind::Volume { .. } => "this is a volume of the project",
        MountKind::Tmpfs { .. } => "this is the machine's memory",
    }
}

/// A step whose user is neither root nor the one as whose the files of an output's mount appear (0605): the mount's
/// `guest_owner`, or the user of the service beside the step.
fn check_user(world: &World<'_>, step: &Step, machine: &Machine) -> Option<Diagnostic> {
    let user = step.user.as_ref().or(machine.user.as_ref())?;
    if is_same_user(&user.value, "root") || is_same_user(&user.value, "0") {
        return None;
    }
    let service = user_of_service(machine);
    let (output, shown_as, is_fixed) = mounts_of_outputs(world, step).into_iter().find_map(|(output, mount)| {
        let MountKind::Bind { readonly: false, guest_owner, owner, .. } = &mount.kind else { return None };
        // With `owner: guest` the guest sees the ids of the disk.
        let service = service.filter(|_| owner.value != Owner::Guest);
        let shown_as = guest_owner.as_ref().or(service)?;
        differs(&user.value, &shown_as.value).then_some((output, shown_as, guest_owner.is_some()))
    })?;
    let message = format!(
        "step `{}` runs as `{}` and its output `{}` lies where files appear as `{}`'s",
        step.id.value,
        user.value,
        output.value.as_str(),
        shown_as.value
    );
    let found = Diagnostic::new(Code(605), Severity::Warning, message)
        .label(output.span, "this user may not be able to write it")
        .label(
            shown_as.span,
            if is_fixed { "whose the files appear to be" } else { "who runs the machine's `command`" },
        )
        .label(user.span, "who runs the step");
    Some(found.help(if is_fixed {
        "leave `guest_owner` out: files then appear as those of each step's user".to_owned()
    } else {
        format!("run the step as `{}`, or in a machine without a `command`", shown_as.value)
    }))
}

/// Whose the files of shares appear to be as long as the machine lives: its service's, where that is not root.
fn user_of_service(machine: &Machine) -> Option<&Spanned<String>> {
    machine.service.command.as_ref()?;
    machine.user.as_ref().filter(|user| !is_same_user(&user.value, "root") && !is_same_user(&user.value, "0"))
}

fn is_same_user(a: &str, b: &str) -> bool {
    let user = |text: &str| text.split(':').next().map(str::to_owned);
    user(a) == user(b)
}

/// Whether two users are surely not the same. What name a number has is known only in the guest.
fn differs(a: &str, b: &str) -> bool {
    let is_number = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    is_number(a) == is_number(b) && !is_same_user(a, b)
}
