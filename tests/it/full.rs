//! Full disks: of a mount, of smolvm's own state and cache, of its folders for the moment. What can go on does and says
//! what is missing; what cannot ends with the name of the place.
//!
//! The disks are small file systems in a mount namespace of the run's own, so that no other test sees them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::events::Ran;
use crate::invoker::is_root;
use crate::support::{Case, machines};

/// A case whose runs have a small file system at `disk`, and the folder itself.
struct Small {
    case: Case,
    disk: PathBuf,
}

impl Small {
    /// None where only root could mount, which has been said.
    fn new(case: Case) -> Option<Self> {
        use std::io::Write;
        if !is_root() {
            let _ = writeln!(std::io::stderr(), "skipped: only root can mount a small disk");
            return None;
        }
        let case = case.folder("disk").with_shared_cache().args(["--progress", "json", "up", "--accel", "tcg"]);
        let disk = case.project().join("disk");
        Some(Self { case, disk })
    }

    /// Runs with a disk of these options, after a command of the shell in it.
    fn run(&self, options: &str, first: &str, env: &[(&str, &Path)]) -> Ran {
        let like = self.case.command();
        let disk = self.disk.display();
        let script = format!("mount -t tmpfs -o {options} disk '{disk}' && (cd '{disk}' && {first}) && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(like.get_program()).args(like.get_args());
        command.current_dir(like.get_current_dir().unwrap());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ran::of(command)
    }
}

/// The kernel that `auto` is, with its modules.
fn kernel() -> (PathBuf, PathBuf) {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("smolvm/kernels");
    let first = |folder: PathBuf, start: &str| {
        let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(start)).unwrap()
    };
    let package = first(cache, "package-");
    let modules = ["lib/modules", "usr/lib/modules"].map(|name| package.join(name));
    let modules = modules.into_iter().find(|folder| folder.is_dir()).unwrap();
    (first(package.join("boot"), "vmlinuz-"), first(modules, ""))
}

#[test]
fn a_full_disk_of_smolvms_own_keeps_a_run_from_starting_and_is_named() {
    let Some(_machines) = machines() else { return };
    let file = "name: acme\nmachines:\n  box: { cpus: 1, memory: 256MiB, kernel: ./kernel, modules: ./modules }\n\
                steps:\n  - run: [\"true\"]\n";
    let Some(small) = Small::new(Case::new().file("smolvm.yaml", file)) else { return };
    let (kernel, modules) = kernel();
    symlink(kernel, small.case.project().join("kernel")).unwrap();
    symlink(modules, small.case.project().join("modules")).unwrap();
    let disk = small.disk.display().to_string();
    let no_space = "No space left on device";
    // No inode is left, or no block is.
    for (options, first) in [("size=1m,nr_inodes=1", "true"), ("size=4k", "echo > full")] {
        let ran = small.run(options, first, &[("XDG_STATE_HOME", &small.disk)]);
        let cause = ran.last()["cause"].as_str().unwrap();
        assert!(cause.contains(&disk) && cause.contains(no_space), "{options}: {}", ran.told());
        assert_eq!(ran.code, Some(125), "{}", ran.told());

        let ran = small.run(options, first, &[("XDG_CACHE_HOME", &small.disk)]);
        let cause = ran.last()["cause"].as_str().unwrap();
        assert!(cause.contains(&disk) && cause.contains(no_space), "{options}: {}", ran.told());
        assert_eq!(ran.code, Some(125), "{}", ran.told());
    }
}

#[test]
fn a_disk_that_fills_up_in_a_run_is_told_and_the_run_goes_on() {
    let Some(_machines) = machines() else { return };
    let file = "name: acme
machines:
  box: { cpus: 1, memory: 256MiB, mounts: [\"./disk/share:/small\"] }
steps:
  - { id: fill, run: \"cat /dev/zero > /small/fill\", continue_on_error: true }
  - { id: free, run: \"rm /small/fill; echo kept > /small/file; cat /small/file\" }
  - { id: talk, run: \"head -c 3000000 /dev/zero | tr '\\\\0' x; echo\" }
  - { id: more, run: echo more }
";
    let Some(small) = Small::new(Case::new().file("smolvm.yaml", file)) else { return };
    // Folders for the moment that nothing fits in are not used at all.
    let full = small.disk.join("nowhere");
    let env = [("XDG_STATE_HOME", small.disk.join("state")), ("XDG_RUNTIME_DIR", full.clone()), ("TMPDIR", full)];
    let env = env.each_ref().map(|(name, path)| (*name, path.as_path()));
    let ran = small.run("size=2m", "mkdir share state", &env);
    assert_eq!(ran.end("fill"), ("failed", Some(1), ""), "{}", ran.told());
    let said = String::from_utf8(ran.bytes("fill", "stderr")).unwrap();
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(ran.stdout("free"), "kept\n");
    assert_eq!(ran.stdout("talk").len(), 3_000_001);
    assert_eq!(ran.stdout("more"), "more\n");
    let warnings: Vec<&str> = ran.named("warning").filter_map(|event| event["text"].as_str()).collect();
    assert!(
        warnings.iter().any(|text| text.starts_with("cannot write the log `") && text.contains("talk.log")),
        "{warnings:?}"
    );
    assert_eq!(ran.code, Some(0), "{}", ran.told());
}
