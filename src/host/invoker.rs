//! Who ran smolvm, and so owns what it makes; under `sudo` the user who called it.

use super::accounts::{self, Account};
use super::files::sudo_ids;
use crate::plan::Invoker;

/// The invoking user.
pub(super) fn invoker() -> Invoker {
    let is_process_root = rustix::process::geteuid().is_root();
    let sudo = if is_process_root { sudo_ids() } else { None };
    let Account { uid, gid, mut groups, name, home } = match sudo {
        Some((uid, gid)) => accounts::other(uid, gid),
        None => accounts::oneself(),
    };
    groups.sort_unstable();
    groups.dedup();
    Invoker { uid, gid, groups, name, home, is_process_root }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invoker_is_oneself_or_the_caller_of_sudo() {
        let invoker = invoker();
        let own = rustix::process::geteuid().as_raw();
        assert!(invoker.uid == own || (own == 0 && sudo_ids().is_some()));
        assert!(invoker.groups.contains(&invoker.gid));
    }
}
