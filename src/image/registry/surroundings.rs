//! What of the world outside counts for registries: where credentials and certificates lie, which proxies there are.
//!
//! A value, so that a test makes its own. Deliberately not here: reading any of these files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::sys::child::ChildIdentity;

/// The user for whom images are fetched: who ran smolvm, under `sudo` who called it.
#[derive(Debug, Clone)]
pub struct User {
    /// Home folder.
    pub home: Option<PathBuf>,
    /// Who they are, where this process is somebody else and can become them.
    pub identity: Option<ChildIdentity>,
}

/// What counts for registries.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Files that hold credentials, in the order in which they are asked, whether they are there or not.
    pub credential_files: Vec<PathBuf>,
    /// Folders with a folder a registry, in which `*.crt` are trusted.
    pub certificate_folders: Vec<PathBuf>,
    /// Proxy of https addresses.
    pub https_proxy: Option<String>,
    /// Proxy of http addresses.
    pub http_proxy: Option<String>,
    /// Where none is used, as in `NO_PROXY`. Loopback never has one.
    pub no_proxy: String,
    /// Variables that credential helpers get in the place of ours.
    pub(super) helper_variables: Vec<(OsString, OsString)>,
    /// Whose rights they have, where not ours.
    pub(super) helper_identity: Option<ChildIdentity>,
}

impl Surroundings {
    /// As the environment says.
    pub fn of(environment: &dyn Fn(&str) -> Option<OsString>, user: &User) -> Self {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        // Under `sudo` what the variables of root name is root's.
        let own = |name: &str| if user.identity.is_none() { set(name).map(PathBuf::from) } else { None };
        let home = |name: &str| user.home.as_ref().map(|home| home.join(name));
        let runtime = own("XDG_RUNTIME_DIR")
            .or_else(|| user.identity.as_ref().map(|user| Path::new("/run/user").join(user.uid.to_string())));
        let config = own("XDG_CONFIG_HOME").or_else(|| home(".config"));
        let below = |folder: &Option<PathBuf>, name: &str| folder.as_ref().map(|folder| folder.join(name));
        let credential_files = [
            below(&own("DOCKER_CONFIG").or_else(|| home(".docker")), "config.json"),
            own("REGISTRY_AUTH_FILE"),
            below(&runtime, "containers/auth.json"),
            below(&config, "containers/auth.json"),
        ];
        let certificate_folders = [
            Some(PathBuf::from("/etc/docker/certs.d")),
            Some(PathBuf::from("/etc/containers/certs.d")),
            below(&config, "containers/certs.d"),
        ];
        let text = |names: &[&str]| names.iter().find_map(|name| set(name)).and_then(|value| value.into_string().ok());
        let mut helper_variables = Vec::new();
        if user.identity.is_some() {
            helper_variables.extend(user.home.as_ref().map(|home| ("HOME".into(), home.clone().into())));
            if let Some(runtime) = runtime {
                let mut bus = OsString::from("unix:path=");
                bus.push(runtime.join("bus"));
                helper_variables.push(("XDG_RUNTIME_DIR".into(), runtime.into()));
                helper_variables.push(("DBUS_SESSION_BUS_ADDRESS".into(), bus));
            }
        }
        Self {
            credential_files: credential_files.into_iter().flatten().collect(),
            certificate_folders: certificate_folders.into_iter().flatten().collect(),
            https_proxy: text(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            http_proxy: text(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            no_proxy: text(&["NO_PROXY", "no_proxy"]).unwrap_or_default(),
            helper_variables,
            helper_identity: user.identity.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], identity: Option<ChildIdentity>) -> Surroundings {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Surroundings::of(&environment, &User { home: Some("/home/ann".into()), identity })
    }

    #[test]
    fn files_of_docker_come_before_those_of_podman() {
        let found = of(&[("XDG_RUNTIME_DIR", "/run/user/7")], None);
        let expected = [
            "/home/ann/.docker/config.json",
            "/run/user/7/containers/auth.json",
            "/home/ann/.config/containers/auth.json",
        ];
        assert_eq!(found.credential_files, expected.map(PathBuf::from));
        assert_eq!(of(&[("DOCKER_CONFIG", "/d")], None).credential_files[0], Path::new("/d/config.json"));
    }

    #[test]
    fn under_sudo_the_variables_of_root_name_nothing_of_the_user() {
        let user = ChildIdentity { uid: 1000, gid: 1000, groups: Vec::new() };
        let found = of(&[("DOCKER_CONFIG", "/root/d"), ("XDG_RUNTIME_DIR", "/run/user/0")], Some(user));
        assert_eq!(found.credential_files[0], Path::new("/home/ann/.docker/config.json"));
        assert_eq!(found.credential_files[1], Path::new("/run/user/1000/containers/auth.json"));
        assert!(found.helper_variables.contains(&("HOME".into(), "/home/ann".into())));
    }

    #[test]
    fn proxies_are_read_in_either_case() {
        let found = of(&[("https_proxy", "http://a:1"), ("ALL_PROXY", "http://b:2"), ("no_proxy", "x")], None);
        assert_eq!(found.https_proxy.as_deref(), Some("http://a:1"));
        assert_eq!(found.http_proxy.as_deref(), Some("http://b:2"));
        assert_eq!(found.no_proxy, "x");
    }
}
