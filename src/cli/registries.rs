//! How registries are asked for this user: settings, credentials, certificates, proxies.
//!
//! Deliberately not here: any request (`image::registry`).

use super::settings::Settings;
use crate::host;
use crate::image::registry::{Patience, RegistryAccess, Surroundings, User};
use crate::sys::child::ChildIdentity;

/// All that it takes to ask registries.
pub(crate) fn access(settings: &Settings) -> RegistryAccess {
    let invoker = host::facts().invoker;
    let is_other = invoker.is_process_root && invoker.uid != 0;
    let identity =
        is_other.then(|| ChildIdentity { uid: invoker.uid, gid: invoker.gid, groups: invoker.groups.clone() });
    let user = User { home: invoker.home, identity };
    RegistryAccess {
        settings: settings.registries.clone(),
        surroundings: Surroundings::of(&|name| std::env::var_os(name), &user),
        patience: Patience::default(),
    }
}
