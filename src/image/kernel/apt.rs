//! Debian, Ubuntu and what is made from them: APT with its own lists and downloads in a scratch folder.
//!
//! Sources, keys, preferences and proxies are the system's. The distribution's own source files are asked first, so
//! that a third party's broken repository neither delays nor fails anything; then all of them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::pull::Pull;
use super::super::tool::{Tool, ToolError};
use super::super::waiter::Waiter;
use super::package::{PackageError, Unpacked};

/// Packages whose dependencies name the newest kernel, the smallest kernel first.
const NAMES: [&str; 5] =
    ["linux-image-cloud-amd64", "linux-image-virtual", "linux-image-kvm", "linux-image-generic", "linux-image-amd64"];
/// Files below `sources.list.d` that are the distribution's own.
const OWN_SOURCES: [&str; 3] = ["debian.sources", "ubuntu.sources", "raspi.sources"];

/// Read after the system's configuration, which it overrides where that would change the system or ask for more than
/// package lists: hooks after an update, other indexes and architectures.
const CONFIGURATION: &str = r#"
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear Acquire::IndexTargets;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages { "none"; };
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::Packages {
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
  flatMetaKey "Packages";
  ShortDescription "Packages";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
  flatDescription "$(RELEASE) Packages";
  Optional "false";
};
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "/nonexistent";
"#;

/// A package as the lists describe it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    depends: Vec<String>,
    /// Bytes of its file.
    size: u64,
}

/// APT, kept in a folder of ours.
pub(super) struct Apt<'a> {
    scratch: &'a Path,
    sources: Option<PathBuf>,
}

/// Downloads and unpacks the newest kernel for guests, unless it is here.
pub(super) fn download(
    scratch: &Path,
    is_here: &dyn Fn(&str) -> bool,
    waiter: &mut dyn Waiter,
) -> Result<Unpacked, PackageError> {
    let (apt, packages) = with_lists(scratch, waiter, |apt, waiter| apt.find_kernel(waiter))?;
    let package = folder_name(&packages[0].name, &packages[0].version);
    if is_here(&package) {
        return Ok(Unpacked { root: None, package });
    }
    let root = scratch.join("root");
    apt.fetch(&packages, waiter)?;
    waiter.tell(&format!("unpacking {}", packages[0].name));
    apt.unpack(&root, &["--exclude=./usr/share"], waiter)?;
    Ok(Unpacked { root: Some(root), package })
}

/// Reads the lists of packages in an empty folder, and finds something in them.
pub(super) fn with_lists<'a, T>(
    scratch: &'a Path,
    waiter: &mut dyn Waiter,
    find: impl Fn(&Apt<'a>, &dyn Waiter) -> Result<T, PackageError>,
) -> Result<(Apt<'a>, T), PackageError> {
    let io = |source| PackageError::Io { path: scratch.to_owned(), source };
    for folder in ["lists/partial", "cache/archives/partial", "state", "root"] {
        fs::create_dir_all(scratch.join(folder)).map_err(io)?;
    }
    fs::write(scratch.join("apt.conf"), CONFIGURATION).map_err(io)?;
    let own = own_sources(Path::new("/etc/apt"), scratch).map_err(io)?;
    let mut last = None;
    for sources in own.map(Some).into_iter().chain([None]) {
        let apt = Apt { scratch, sources };
        let which = if apt.sources.is_some() { "the distribution's" } else { "all" };
        waiter.tell(&format!("reading {which} package lists"));
        // One repository that fails does not matter while another one has what is looked for.
        let updated = apt.tool("apt-get", ["-q", "update"]).run(waiter);
        match find(&apt, waiter) {
            Ok(found) => return Ok((apt, found)),
            Err(error) => last = Some(updated.err().map_or(error, PackageError::Tool)),
        }
    }
    Err(last.unwrap_or_else(|| PackageError::NoPackage { names: NAMES.map(str::to_owned).to_vec() }))
}

impl Apt<'_> {
    fn tool<const N: usize>(&self, program: &str, args: [&str; N]) -> Tool {
        let mut options: Vec<OsString> = vec!["-c".into(), self.scratch.join("apt.conf").into()];
        let mut set = |key: &str, value: &Path| {
            let mut option = OsString::from(format!("{key}="));
            option.push(value);
            options.extend(["-o".into(), option]);
        };
        set("Dir::State", &self.scratch.join("state"));
        set("Dir::State::lists", &self.scratch.join("lists"));
        set("Dir::State::status", Path::new("/var/lib/dpkg/status"));
        set("Dir::Cache", &self.scratch.join("cache"));
        set("Dir::Cache::archives", &self.scratch.join("cache/archives"));
        if let Some(sources) = &self.sources {
            set("Dir::Etc::sourceparts", sources);
        }
        Tool::new(program).args(options).args(args)
    }

    /// The package of the kernel and those that it needs of the same kernel, the kernel's own first.
    fn find_kernel(&self, waiter: &dyn Waiter) -> Result<Vec<Package>, PackageError> {
        for name in NAMES {
            let Some(entry) = self.show(name, waiter)? else { continue };
            let mut found = Vec::new();
            let mut wanted = kernel_packages(&entry);
            while let Some(name) = wanted.pop() {
                if found.iter().any(|package: &Package| package.name == name) {
                    continue;
                }
                let Some(package) = self.show(&name, waiter)? else { continue };
                wanted.extend(kernel_packages(&package));
                found.push(package);
            }
            // The entry may be the kernel itself where a distribution has no package above it.
            found.sort_by_key(|package| (!package.name.starts_with("linux-image-"), package.name.clone()));
            if found.first().is_some_and(|package| package.name.starts_with("linux-image-")) {
                return Ok(found);
            }
        }
        Err(PackageError::NoPackage { names: NAMES.map(str::to_owned).to_vec() })
    }

    /// The names in the lists that match a pattern.
    pub(super) fn names(&self, pattern: &str, waiter: &dyn Waiter) -> Result<Vec<String>, PackageError> {
        let listed = self.tool("apt-cache", ["search", "--names-only", pattern]).run(waiter)?;
        Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// `None` where the lists have no such package.
    pub(super) fn show(&self, name: &str, waiter: &dyn Waiter) -> Result<Option<Package>, PackageError> {
        match self.tool("apt-cache", ["show", "--no-all-versions", name]).run(waiter) {
            Ok(text) => Ok(parse_show(&text)),
            Err(ToolError::Failed { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Downloads these packages; the first one names the download.
    pub(super) fn fetch(&self, packages: &[Package], waiter: &mut dyn Waiter) -> Result<(), PackageError> {
        let Some(first) = packages.first() else { return Ok(()) };
        waiter.tell(&format!("downloading {} {}", first.name, first.version));
        let downloads = self.downloads();
        let names = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        let total = packages.iter().map(|package| package.size).fold(0, u64::saturating_add);
        let mut pull = Pull::new(&first.name, &downloads, total);
        let tool = self.tool("apt-get", ["-q", "download"]).args(names).folder(&downloads);
        tool.run_watched(waiter, &mut |waiter| pull.look(waiter))?;
        pull.end(waiter);
        Ok(())
    }

    /// Unpacks what was downloaded; `options` are those of tar.
    pub(super) fn unpack(&self, root: &Path, options: &[&str], waiter: &dyn Waiter) -> Result<(), PackageError> {
        let downloads = self.downloads();
        let io = |source| PackageError::Io { path: downloads.clone(), source };
        for entry in fs::read_dir(&downloads).map_err(io)? {
            let file = entry.map_err(io)?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                let unpack = Tool::new("tar").folder(root).args(["-x", "--no-same-owner"]).args(options);
                Tool::new("dpkg-deb").args(["--fsys-tarfile".as_ref(), file.as_os_str()]).run_into(unpack, waiter)?;
                // Nothing needs it any more, and it takes room.
                fs::remove_file(file).map_err(io)?;
            }
        }
        Ok(())
    }

    fn downloads(&self) -> PathBuf {
        self.scratch.join("cache/archives")
    }
}

/// Name and version as the name of a folder: an epoch's `:` and the like become `-`.
pub(super) fn folder_name(name: &str, version: &str) -> String {
    let text = format!("{name}_{version}");
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._+~-".contains(c) { c } else { '-' }).collect()
}

/// A folder with links to the distribution's own source files, where it has such.
fn own_sources(etc: &Path, scratch: &Path) -> io::Result<Option<PathBuf>> {
    let folder = scratch.join("sources");
    fs::create_dir(&folder)?;
    let has_list = fs::read_to_string(etc.join("sources.list"))
        .is_ok_and(|text| text.lines().map(str::trim_start).any(|line| !line.is_empty() && !line.starts_with('#')));
    let mut has_any = has_list;
    for name in OWN_SOURCES {
        let file = etc.join("sources.list.d").join(name);
        if file.exists() {
            symlink(&file, folder.join(name))?;
            has_any = true;
        }
    }
    Ok(has_any.then_some(folder))
}

/// Which of the dependencies are parts of the kernel: its image and its modules.
fn kernel_packages(package: &Package) -> Vec<String> {
    let is_part = |name: &&String| {
        ["linux-image-", "linux-modules-"]
            .iter()
            .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.contains(|c: char| c.is_ascii_digit())))
    };
    package.depends.iter().filter(is_part).cloned().collect()
}

/// The first entry of `apt-cache show`.
fn parse_show(text: &str) -> Option<Package> {
    let entry = text.split("\n\n").next()?;
    let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let depends = field("Depends").unwrap_or("").split(',').filter_map(|one| {
        // The first alternative is the distribution's choice.
        one.split('|').next()?.split_whitespace().next().map(str::to_owned)
    });
    let depends = depends.collect();
    let size = field("Size").and_then(|size| size.trim().parse().ok()).unwrap_or(0);
    Some(Package { name: field("Package")?.to_owned(), version: field("Version")?.to_owned(), depends, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
        Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\nDescription: x\n\nPackage: other\nVersion: 1\n";
    const UBUNTU: &str = "Package: linux-image-6.8.0-60-generic\nVersion: 6.8.0-60.63\n\
        Depends: kmod, linux-base (>= 4.5), linux-modules-6.8.0-60-generic | other, linux-image-extra\n";

    #[test]
    fn kernel_is_what_the_first_package_depends_on() {
        let package = parse_show(DEBIAN).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("linux-image-cloud-amd64", "6.1.192-2"));
        assert_eq!(kernel_packages(&package), ["linux-image-6.1.0-56-cloud-amd64"]);
    }

    #[test]
    fn modules_in_a_package_of_their_own_are_taken_too() {
        assert_eq!(kernel_packages(&parse_show(UBUNTU).unwrap()), ["linux-modules-6.8.0-60-generic"]);
        assert_eq!(parse_show("N: nothing\n"), None);
    }

    #[test]
    fn only_the_distributions_own_sources_are_asked_first() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("etc/sources.list.d");
        fs::create_dir_all(&parts).unwrap();
        fs::write(parts.join("third-party.sources"), "").unwrap();
        let scratch = folder.path().join("one");
        fs::create_dir(&scratch).unwrap();
        fs::write(folder.path().join("etc/sources.list"), "# moved\n").unwrap();
        assert_eq!(own_sources(&folder.path().join("etc"), &scratch).unwrap(), None);
        fs::write(parts.join("debian.sources"), "").unwrap();
        let scratch = folder.path().join("two");
        fs::create_dir(&scratch).unwrap();
        let own = own_sources(&folder.path().join("etc"), &scratch).unwrap().unwrap();
        let names: Vec<_> = fs::read_dir(own).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["debian.sources"]);
    }

    #[test]
    fn folder_names_hold_no_separators() {
        assert_eq!(folder_name("linux", "1:6.1/x~rc1"), "linux_1-6.1-x~rc1");
    }
}
