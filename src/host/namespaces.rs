//! Whether this host lets the file servers of shares be confined: fresh user, mount and pid namespaces.
//!
//! Asked of the kernel, by a child that does nothing else in such namespaces: settings, container profiles and limits
//! all have their say in it. The child is the distribution's `unshare`, since our own process has threads.

use std::io;

use crate::sys::child::{self, ChildExit, ChildSpec};
use crate::sys::namespace::denial_hint;

/// Whether shares can be served here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceFacts {
    /// They can.
    Allowed,
    /// They cannot, and machines cannot run.
    Denied {
        /// What helps, in words.
        hint: String,
    },
    /// Nobody could be asked.
    Unknown,
}

/// Tries it.
pub fn namespaces() -> NamespaceFacts {
    let mut spec = ChildSpec::new("unshare");
    spec.args = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "true"].map(Into::into).to_vec();
    verdict(child::spawn(spec).and_then(|child| child.wait()))
}

fn verdict(ended: io::Result<ChildExit>) -> NamespaceFacts {
    match ended {
        Ok(ChildExit::Code(0)) => NamespaceFacts::Allowed,
        Ok(_) => NamespaceFacts::Denied { hint: denial_hint() },
        Err(_) => NamespaceFacts::Unknown,
    }
}

impl NamespaceFacts {
    /// What was found, in one sentence without an end.
    pub(super) fn words(&self) -> String {
        match self {
            NamespaceFacts::Allowed => "user namespaces are allowed, so shares can be served confined".to_owned(),
            NamespaceFacts::Denied { hint } => {
                format!("user namespaces are denied, so no share can be served confined: {hint}")
            }
            NamespaceFacts::Unknown => "whether user namespaces are allowed is not known".to_owned(),
        }
    }

    /// Commands that help, to be copied: what the hint says to run.
    pub(super) fn commands(&self) -> Vec<String> {
        let NamespaceFacts::Denied { hint } = self else { return Vec::new() };
        let command = hint.strip_prefix("run `").and_then(|rest| rest.split('`').next());
        command.map(str::to_owned).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_that_fails_means_denied_and_no_child_means_unknown() {
        assert_eq!(verdict(Ok(ChildExit::Code(0))), NamespaceFacts::Allowed);
        assert!(matches!(verdict(Ok(ChildExit::Code(1))), NamespaceFacts::Denied { .. }));
        assert_eq!(verdict(Err(io::ErrorKind::NotFound.into())), NamespaceFacts::Unknown);
    }

    #[test]
    fn command_in_the_hint_can_be_copied() {
        let hint = "run `sudo sysctl a.b=1`, or do something else".to_owned();
        assert_eq!(NamespaceFacts::Denied { hint }.commands(), ["sudo sysctl a.b=1"]);
        let hint = "in a container, start it otherwise".to_owned();
        assert_eq!(NamespaceFacts::Denied { hint }.commands(), Vec::<String>::new());
    }

    #[test]
    fn this_host_has_an_answer() {
        assert!(!namespaces().words().is_empty());
    }
}
