//! What building a kernel needs of the host: looked for all at once, and named with the command that installs it.

use std::collections::BTreeSet;

use super::super::super::tool::{self, Tool};
use super::super::super::waiter::Waiter;

/// Something that is needed, with its package in Debian's, Fedora's and Arch's words.
struct Needed {
    name: &'static str,
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
}

const fn needed(name: &'static str, packages: [&'static str; 3]) -> Needed {
    let [apt, dnf, pacman] = packages;
    Needed { name, apt, dnf, pacman }
}

const PROGRAMS: [Needed; 9] = [
    needed("make", ["make", "make", "make"]),
    needed("gcc", ["gcc", "gcc", "gcc"]),
    needed("ld", ["binutils", "binutils", "binutils"]),
    needed("flex", ["flex", "flex", "flex"]),
    needed("bison", ["bison", "bison", "bison"]),
    needed("bc", ["bc", "bc", "bc"]),
    needed("perl", ["perl", "perl-interpreter", "perl"]),
    needed("tar", ["tar", "tar", "tar"]),
    needed("xz", ["xz-utils", "xz", "xz"]),
];

/// Headers, which only the compiler can find.
const HEADERS: [Needed; 2] = [
    needed("stdlib.h", ["libc6-dev", "glibc-devel", "glibc"]),
    needed("gelf.h", ["libelf-dev", "elfutils-libelf-devel", "libelf"]),
];

/// What is not installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    names: Vec<&'static str>,
    /// Command that installs it, up to the packages, where the package manager is known.
    installer: Option<&'static str>,
    packages: BTreeSet<&'static str>,
}

impl Missing {
    /// The names, for people.
    pub(super) fn names(&self) -> String {
        let quoted: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    }

    /// What to type to have it all.
    pub(super) fn command(&self) -> Option<String> {
        let packages: Vec<&str> = self.packages.iter().copied().collect();
        Some(format!("sudo {} {}", self.installer?, packages.join(" ")))
    }
}

/// Looks for all that is needed; nothing where all is there.
pub(super) fn missing(waiter: &dyn Waiter) -> Option<Missing> {
    let has_program = |name: &str| tool::find(name).is_some();
    // Without a compiler its headers cannot be looked for, and come with it in most packages.
    let has_header = |name: &str| {
        let look = ["-E", "-x", "c", "-o", "/dev/null", "-include", name, "/dev/null"];
        !has_program("gcc") || Tool::new("gcc").args(look).run(waiter).is_ok()
    };
    type NameIn = fn(&Needed) -> &'static str;
    let managers: [(&str, &'static str, NameIn); 3] = [
        ("apt-get", "apt-get install", |needed| needed.apt),
        ("dnf", "dnf install", |needed| needed.dnf),
        ("pacman", "pacman -S", |needed| needed.pacman),
    ];
    let manager = managers.into_iter().find(|(program, _, _)| has_program(program));
    let mut missing = Missing { installer: manager.map(|(_, command, _)| command), ..Missing::default() };
    let programs = PROGRAMS.iter().filter(|needed| !has_program(needed.name));
    let headers = HEADERS.iter().filter(|needed| !has_header(needed.name));
    for needed in programs.chain(headers) {
        missing.names.push(needed.name);
        missing.packages.extend(manager.map(|(_, _, package)| package(needed)));
    }
    (!missing.names.is_empty()).then_some(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_one_command() {
        let missing = Missing {
            names: vec!["flex", "gelf.h"],
            installer: Some("apt-get install"),
            packages: ["libelf-dev", "flex"].into(),
        };
        assert_eq!(missing.names(), "`flex`, `gelf.h`");
        assert_eq!(missing.command().unwrap(), "sudo apt-get install flex libelf-dev");
        assert_eq!(Missing { installer: None, ..missing }.command(), None);
    }
}
