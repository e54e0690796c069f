//! What a machine is to be, and its text in the language of `smolvm.yaml`: the checker reads that, so that every rule
//! of a file holds for a program too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// What a machine is to be. Only the name is needed:
///
/// ```
/// use smolvm::{MachineConfig, MountSpec};
///
/// let config = MachineConfig {
///     mounts: vec![MountSpec::new("/host/code", "/code"), MountSpec::new("/host/data", "/data").read_only()],
///     ..MachineConfig::new("multi-mount")
/// };
/// assert!(config.mounts[1].readonly);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineConfig {
    /// Name, `[a-z0-9][a-z0-9_-]*`, at most 63 bytes. What a machine keeps in `/workspace` is kept by this name and the
    /// current folder.
    pub name: String,
    /// Image, as `image:` of a file: a reference, `dir:PATH`, `oci:PATH`, `docker-archive:PATH` or `host`, the default.
    pub image: Option<String>,
    /// Host folders and files in the machine.
    pub mounts: Vec<MountSpec>,
    /// Virtual CPUs; by default two, where the host has as many.
    pub cpus: Option<u32>,
    /// Memory in MiB; 1024 by default.
    pub memory_mib: Option<u64>,
    /// Environment of every command.
    pub env: BTreeMap<String, String>,
    /// Working folder of every command; the image's by default.
    pub working_dir: Option<String>,
    /// User of every command: `name`, `uid`, `uid:gid`; the image's by default.
    pub user: Option<String>,
    /// Ports of the machine that this computer reaches.
    pub ports: Vec<PortSpec>,
    /// What the machine reaches; nothing by default.
    pub network: Network,
}

/// A TCP port of the machine that an address of this computer leads to. The program in the machine listens on
/// `127.0.0.1`, `0.0.0.0` or `::`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// Address of this computer; 127.0.0.1, which only this computer reaches, in [`PortSpec::new`].
    pub address: IpAddr,
    /// Port of this computer; 0 is any free one, which [`Machine::address_of`](super::Machine::address_of) tells.
    pub host: u16,
    /// Port of the machine.
    pub guest: u16,
}

/// What a machine reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// What this computer reaches, by its addresses.
    Nat,
    /// Of that only these: host names, addresses, and networks as `10.0.0.0/8`.
    Allow(Vec<String>),
}

/// A host folder or file in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// On the host; a relative path starts at the current folder.
    pub source: PathBuf,
    /// In the machine, absolute.
    pub target: String,
    /// Whether the machine may not write, whatever it does.
    pub readonly: bool,
}

impl MountSpec {
    /// A mount that the machine may write to.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        Self { source: source.into(), target: target.into(), readonly: false }
    }

    /// The same, but the machine may not write.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { readonly: true, ..self }
    }
}

impl PortSpec {
    /// A port of 127.0.0.1.
    pub fn new(host: u16, guest: u16) -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), host, guest }
    }

    fn value(&self) -> Value {
        let Self { address, host, guest } = self;
        match address {
            IpAddr::V4(address) => json!(format!("{address}:{host}:{guest}")),
            IpAddr::V6(address) => json!(format!("[{address}]:{host}:{guest}")),
        }
    }
}

impl Network {
    fn value(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Nat => Some(json!("nat")),
            Self::Allow(names) => {
                let names: Vec<Value> = names.iter().map(|name| literal(name)).collect();
                Some(json!({ "mode": "nat", "allow": names }))
            }
        }
    }
}

impl MachineConfig {
    /// A machine of this name, and the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The text of a file that says the same.
    pub(super) fn text(&self) -> String {
        let mut machine = Map::new();
        let mut say = |key: &str, value: Option<Value>| value.map(|value| machine.insert(key.to_owned(), value));
        say("image", self.image.as_deref().map(literal));
        say("cpus", self.cpus.map(Value::from));
        say("memory", self.memory_mib.map(|mib| json!(format!("{mib}MiB"))));
        say("working_dir", self.working_dir.as_deref().map(literal));
        say("user", self.user.as_deref().map(literal));
        let env: Map<String, Value> = self.env.iter().map(|(name, value)| (name.clone(), literal(value))).collect();
        say("env", (!env.is_empty()).then_some(Value::Object(env)));
        let mounts: Vec<Value> = self.mounts.iter().map(MountSpec::value).collect();
        say("mounts", (!mounts.is_empty()).then_some(Value::Array(mounts)));
        let ports: Vec<Value> = self.ports.iter().map(PortSpec::value).collect();
        say("ports", (!ports.is_empty()).then_some(Value::Array(ports)));
        say("network", self.network.value());
        let machines = Map::from_iter([(self.name.clone(), Value::Object(machine))]);
        format!("{:#}\n", json!({ "machines": machines }))
    }
}

impl MountSpec {
    fn value(&self) -> Value {
        json!({
            "source": literal(&self.source.to_string_lossy()),
            "target": literal(&self.target),
            "readonly": self.readonly,
        })
    }
}

/// A text as it is: a dollar means a variable in a file.
fn literal(text: &str) -> Value {
    Value::String(text.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_the_config_does() {
        let config = MachineConfig {
            image: Some("alpine:3.20".to_owned()),
            mounts: vec![MountSpec::new("./my $data", "/data").read_only()],
            memory_mib: Some(256),
            env: BTreeMap::from([("PRICE".to_owned(), "5$".to_owned())]),
            ports: vec![
                PortSpec::new(0, 80),
                PortSpec { address: std::net::Ipv6Addr::LOCALHOST.into(), ..PortSpec::new(8080, 80) },
            ],
            network: Network::Allow(vec!["crates.example".to_owned()]),
            ..MachineConfig::new("box")
        };
        let expected = json!({ "machines": { "box": {
            "image": "alpine:3.20",
            "memory": "256MiB",
            "env": { "PRICE": "5$$" },
            "mounts": [{ "source": "./my $$data", "target": "/data", "readonly": true }],
            "ports": ["127.0.0.1:0:80", "[::1]:8080:80"],
            "network": { "mode": "nat", "allow": ["crates.example"] },
        } } });
        assert_eq!(serde_json::from_str::<Value>(&config.text()).unwrap(), expected);
    }
}
