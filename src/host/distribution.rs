//! Which distribution this is, and so how something is installed on it.

use std::fs;

/// How packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Debian,
    Fedora,
    Arch,
    Suse,
    Alpine,
    Other,
}

/// What has to be installed, whatever each distribution calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// QEMU for x86-64.
    Qemu,
}

/// Commands that install it here, to be copied; empty where we do not know.
pub(super) fn install_commands(wanted: Wanted) -> Vec<String> {
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok());
    commands(family(&text.unwrap_or_default()), wanted, rustix::process::geteuid().is_root())
}

/// `ID` and then the words of `ID_LIKE`: the first one that is known.
fn family(os_release: &str) -> Family {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    let ids = format!("{} {}", field("ID"), field("ID_LIKE"));
    let known = ids.split_whitespace().find_map(|id| match id {
        "debian" | "ubuntu" => Some(Family::Debian),
        "fedora" | "rhel" | "centos" => Some(Family::Fedora),
        "arch" => Some(Family::Arch),
        "alpine" => Some(Family::Alpine),
        id if id == "suse" || id.starts_with("opensuse") => Some(Family::Suse),
        _ => None,
    });
    known.unwrap_or(Family::Other)
}

fn commands(family: Family, wanted: Wanted, is_root: bool) -> Vec<String> {
    let Wanted::Qemu = wanted;
    let lines: &[&str] = match family {
        Family::Debian => &["apt-get update", "apt-get install --no-install-recommends qemu-system-x86"],
        Family::Fedora => &["dnf install qemu-system-x86-core"],
        Family::Arch => &["pacman -S qemu-system-x86"],
        Family::Suse => &["zypper install qemu-x86"],
        Family::Alpine => &["apk add qemu-system-x86_64"],
        Family::Other => &[],
    };
    let sudo = if is_root { "" } else { "sudo " };
    lines.iter().map(|line| format!("{sudo}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_known_by_what_they_are_like() {
        assert_eq!(family("NAME=x\nID=debian\n"), Family::Debian);
        assert_eq!(family("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Family::Debian);
        assert_eq!(family("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Family::Fedora);
        assert_eq!(family("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n"), Family::Suse);
        assert_eq!(family("ID=manjaro\nID_LIKE=arch\n"), Family::Arch);
        assert_eq!(family("ID=nixos\n"), Family::Other);
        assert_eq!(family(""), Family::Other);
    }

    #[test]
    fn root_needs_no_sudo() {
        assert_eq!(commands(Family::Fedora, Wanted::Qemu, true), ["dnf install qemu-system-x86-core"]);
        assert_eq!(commands(Family::Arch, Wanted::Qemu, false), ["sudo pacman -S qemu-system-x86"]);
        assert!(commands(Family::Other, Wanted::Qemu, false).is_empty());
    }
}
