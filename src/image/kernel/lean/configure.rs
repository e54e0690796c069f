//! From our configuration to that of a kernel: `make allnoconfig` takes it in, and what it could not take is told.

use std::fs;
use std::path::Path;

use super::super::super::waiter::Waiter;
use super::CONFIG;
use super::error::LeanError;
use super::make::Make;

/// Without these no machine runs; what else is lost only makes a kernel that can less.
const REQUIRED: [&str; 20] = [
    "64BIT",
    "SMP",
    "PVH",
    "ACPI",
    "SERIAL_8250_CONSOLE",
    "BLK_DEV_INITRD",
    "BINFMT_ELF",
    "PROC_FS",
    "SYSFS",
    "DEVTMPFS",
    "TMPFS",
    "OVERLAY_FS",
    "VIRTIO_MMIO",
    "VIRTIO_PCI",
    "VIRTIO_FS",
    "VIRTIO_VSOCKETS",
    "CGROUPS",
    "MEMCG",
    "UNIX",
    "INET",
];

/// Configures the tree. The symbols that it does not have are returned, as far as machines run without them.
pub(super) fn configure(tree: &Path, make: &Make<'_>, waiter: &mut dyn Waiter) -> Result<Vec<String>, LeanError> {
    waiter.tell("configuring");
    let fragment = tree.join("lean.config");
    fs::write(&fragment, CONFIG).map_err(|source| LeanError::io("write", &fragment, source))?;
    make.run("configuring the kernel", &["KCONFIG_ALLCONFIG=lean.config", "allnoconfig"], waiter, &mut |_| {})?;
    let made = tree.join(".config");
    let made = fs::read_to_string(&made).map_err(|source| LeanError::io("read", &made, source))?;
    let lost = lost(CONFIG, &made);
    let symbols: Vec<String> = lost.iter().filter(|symbol| REQUIRED.contains(&symbol.as_str())).cloned().collect();
    if symbols.is_empty() { Ok(lost) } else { Err(LeanError::Symbols { symbols }) }
}

/// The symbols of a fragment that a configuration has otherwise.
fn lost(fragment: &str, made: &str) -> Vec<String> {
    let made: std::collections::BTreeSet<&str> = made.lines().collect();
    let symbol_of = |line: &str| -> Option<String> {
        let (symbol, _) = line.strip_prefix("CONFIG_")?.split_once('=')?;
        (!made.contains(line)).then(|| symbol.to_owned())
    };
    fragment.lines().filter_map(symbol_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_does_not_know_is_lost() {
        let fragment = "# CONFIG_OFF is not set\nCONFIG_A=y\nCONFIG_B=\"x\"\nCONFIG_C=y\n";
        assert_eq!(lost(fragment, "CONFIG_A=y\nCONFIG_B=\"y\"\n# CONFIG_C is not set\n"), ["B", "C"]);
        assert!(lost(fragment, fragment).is_empty());
    }

    #[test]
    fn what_machines_need_is_asked_for() {
        for symbol in REQUIRED {
            assert!(CONFIG.lines().any(|line| line == format!("CONFIG_{symbol}=y")), "{symbol}");
        }
    }

    #[test]
    fn no_symbol_is_said_twice_and_no_line_is_of_another_form() {
        let mut seen = std::collections::BTreeSet::new();
        for line in CONFIG.lines() {
            let off = line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
            let on = line.strip_prefix("CONFIG_").and_then(|rest| rest.split('=').next());
            match off.or(on) {
                Some(symbol) => assert!(seen.insert(symbol.to_owned()), "{symbol} is said twice"),
                None => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
            }
        }
    }
}
