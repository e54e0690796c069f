//! Whose files a guest makes: the invoking user's on the host, and in the guest those of the user that the step runs as.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::events::Ran;
use crate::invoker::{Invoker, is_root};
use crate::support::{Case, machines};

const FILE: &str = "name: acme
machines:
  box:
    cpus: 1
    memory: 512MiB
    mounts:
      - ./out:/out
      - { source: ./made/deep, target: /made, create: true }
      - ./in:/in:ro
steps:
  - id: root
    run: |
      echo root > /out/by-root; mkdir /out/dir; echo root > /out/dir/private; chmod 600 /out/dir/private
      stat -c '%n %u:%g %a' /out /out/by-root /out/dir/private /out/host-private /made /in/file
      cat /out/host-private
  - id: nobody
    user: nobody
    run: |
      stat -c '%n %u:%g %a' /out /out/by-root /out/dir/private /out/host-private /made /in/file
      cat /out/host-private /out/dir/private
      echo nobody >> /out/by-root; chmod 640 /out/by-root; touch -d @1000000000 /out/by-root
      mv /out/dir/private /out/dir/moved; chmod 755 /out/dir/moved; mkdir /out/dir/sub; echo x > /out/dir/sub/file
      ln /out/dir/moved /out/dir/linked; ln -s moved /out/dir/symlink; echo x > /made/by-nobody
      test -O /out/by-root; test -w /out/dir
      ! chown 0:0 /out/by-root 2>/dev/null; ! touch /usr/nobody 2>/dev/null
  - id: number
    user: \"4242:4343\"
    run: |
      stat -c '%n %u:%g %a' /out/by-root /out/dir/sub
      echo 4242 >> /out/by-root; rm -r /out/dir/sub; mkdir -m 700 /out/mine; echo x > /out/mine/file; umask 077; echo x > /out/mine/own
  - id: root-again
    run: |
      stat -c '%n %u:%g %a' /out/by-root /out/dir/moved /out/mine /out/mine/own
      chown 33:33 /out/by-root; chown -R 1000:1000 /out/dir; chmod 4755 /out/dir/moved
      cat /out/by-root
    outputs: [/out/by-root, /out/mine/own, /made/by-nobody]
finally:
  - { id: end, user: www-data, run: \"echo end >> /out/by-root; cat /out/foreign 2>/dev/null || echo none of ours\" }
";

#[test]
fn files_belong_to_the_invoker_on_the_host_and_to_the_steps_user_in_the_guest() {
    let Some(_machines) = machines() else { return };
    for invoker in Invoker::all() {
        let args = ["up", "--accel", "tcg", "--progress", "json"];
        let case = Case::new()
            .file("smolvm.yaml", FILE)
            .with_shared_cache()
            .args(args)
            .file("out/host-private", "of the host\n")
            .file("in/file", "in\n");
        let private = |name: &str| {
            fs::set_permissions(case.project().join(name), PermissionsExt::from_mode(0o600)).unwrap();
        };
        private("out/host-private");
        let project = case.project();
        let stage = invoker.stage(case);
        let is_foreign = is_root() && invoker != Invoker::Own;
        if is_foreign {
            // Root's own, in the folder of another.
            fs::write(project.join("out/foreign"), "root's own\n").unwrap();
            fs::set_permissions(project.join("out/foreign"), PermissionsExt::from_mode(0o600)).unwrap();
            chown(project.join("out/foreign"), Some(0), Some(0)).unwrap();
        }
        let ran = Ran::of(stage.command());
        assert_eq!(ran.code, Some(0), "{invoker:?}: {}", ran.told());
        let seen = |owner: &str| {
            format!(
                "/out {owner} 755\n/out/by-root {owner} 644\n/out/dir/private {owner} 600\n/out/host-private {owner} 600\n\
                 /made {owner} 755\n/in/file {owner} 644\nof the host\n"
            )
        };
        assert_eq!(ran.stdout("root"), seen("0:0"), "{invoker:?}");
        assert_eq!(ran.stdout("nobody"), format!("{}root\n", seen("65534:65534")), "{invoker:?}");
        assert_eq!(ran.stdout("number"), "/out/by-root 4242:4343 640\n/out/dir/sub 4242:4343 755\n", "{invoker:?}");
        assert_eq!(
            ran.stdout("root-again"),
            "/out/by-root 0:0 640\n/out/dir/moved 0:0 755\n/out/mine 0:0 700\n/out/mine/own 0:0 600\n\
             root\nnobody\n4242\n",
            "{invoker:?}"
        );
        assert_eq!(ran.stdout("end"), "none of ours\n", "{invoker:?}");
        assert_owned(&project, invoker);
        assert_eq!(fs::read_to_string(project.join("out/by-root")).unwrap(), "root\nnobody\n4242\nend\n");
    }
}

/// All that the guest made is the invoker's, without the bits that would borrow an id.
fn assert_owned(project: &Path, invoker: Invoker) {
    for (name, mode) in [
        ("out/by-root", 0o640),
        ("out/dir", 0o755),
        ("out/dir/moved", 0o755),
        ("out/dir/linked", 0o755),
        ("out/dir/symlink", 0o777),
        ("out/mine", 0o700),
        ("out/mine/file", 0o644),
        ("out/mine/own", 0o600),
        ("made", 0o755),
        ("made/deep", 0o755),
        ("made/deep/by-nobody", 0o644),
    ] {
        let it = project.join(name).symlink_metadata().unwrap();
        assert_eq!((it.uid(), it.gid()), invoker.owner(), "{invoker:?}: {name}");
        assert_eq!(it.mode() & 0o7777, mode, "{invoker:?}: {name} has mode {:o}", it.mode());
    }
}
