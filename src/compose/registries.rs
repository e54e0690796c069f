//! How registries are asked for this user: settings, credentials, certificates, proxies.
//!
//! Deliberately not here: any request (`image::registry`).

use crate::host;
use crate::image::registry::{Patience, RegistryAccess, RegistrySettings, Surroundings, User};
use crate::sys::child::ChildIdentity;

/// All that it takes to ask registries.
pub fn registry_access(settings: RegistrySettings) -> RegistryAccess {
    let invoker = host::facts().invoker;
    let is_other = invoker.is_process_root && invoker.uid != 0;
    let identity =
        is_other.then(|| ChildIdentity { uid: invoker.uid, gid: invoker.gid, groups: invoker.groups.clone() });
    let user = User { home: invoker.home, identity };
    RegistryAccess {
        settings,
        surroundings: Surroundings::of(&|name| std::env::var_os(name), &user),
        patience: Patience::default(),
    }
}
