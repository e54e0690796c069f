//! The rules over real files: links, pipes and modes of this computer instead of a small world in memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use smolvm::config::{FileRequest, LoadRequest, Mode, load};
use smolvm::diag::render_concise;
use smolvm::host::HostFiles;

/// The remarks on a file in this folder, a line each, without the name of the file.
fn check(folder: &Path, text: &str) -> Vec<String> {
    let path = folder.join("smolvm.yaml");
    fs::write(&path, text).expect("the file is written");
    let request = LoadRequest {
        files: vec![FileRequest::Path(path)],
        current_folder: folder.to_path_buf(),
        mode: Mode::Run,
        ..LoadRequest::default()
    };
    let loaded = load(request, &HostFiles::new());
    let concise = render_concise(&loaded.diagnostics, &loaded.sources, 0);
    concise.lines().map(|line| line.trim_start_matches("smolvm.yaml:").to_owned()).collect()
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["src", "out", "rootfs/usr/bin", "rootfs/run", "rootfs/var"] {
        fs::create_dir_all(folder.path().join(name)).expect("a folder");
    }
    folder
}

#[test]
fn sources_are_looked_at_as_they_are() {
    let project = project();
    let at = |name: &str| project.path().join(name);
    fs::write(at("notes.txt"), "").expect("a file");
    symlink("nowhere", at("dangling")).expect("a link");
    symlink("loop", at("loop")).expect("a link");
    symlink("src", at("current")).expect("a link");
    let pipe = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, pipe, 0).expect("a pipe");
    let text = "\
machines:
  build:
    mounts:
      - ./scr:/a:ro
      - ./notes.txt/x:/b:ro
      - ./dangling:/c:ro
      - ./loop:/d:ro
      - ./pipe:/e:ro
      - ./current:/f:ro
      - ./src:/g
steps: [{ run: x }]
";
    assert_eq!(
        check(project.path(), text),
        [
            "4:9: error[SMOL0109]: source `./scr` does not exist",
            "5:9: error[SMOL0109]: source `./notes.txt/x` cannot be there: `./notes.txt` is not a folder",
            "6:9: error[SMOL0109]: source `./dangling` is a link to `nowhere`, which does not exist",
            "7:9: error[SMOL0109]: source `./loop` leads through links that lead to themselves",
            "8:9: error[SMOL0109]: source `./pipe` is neither a folder nor a file",
            "10:9: error[SMOL0107]: the read-only mount of `./current` protects nothing: the same folder is, as `./src`, \
             writable in machine `build` at `/g`",
        ]
    );
}

#[test]
fn links_of_an_unpacked_image_are_followed_inside_it() {
    let project = project();
    symlink("usr/bin", project.path().join("rootfs/bin")).expect("a link");
    symlink("/run", project.path().join("rootfs/var/run")).expect("a link");
    symlink("../../../../../../usr/bin", project.path().join("rootfs/usr/programs")).expect("a link");
    let text = "\
machines:
  build:
    image: dir:./rootfs
    mounts:
      - ./src:/bin:ro
      - ./src:/var/run/app:ro
      - ./src:/run/app:ro
      - ./src:/usr/programs:ro
steps: [{ run: x }]
";
    assert_eq!(
        check(project.path(), text),
        [
            "5:15: error[SMOL0103]: a mount at `/bin` (here `/usr/bin`) would take away what the guest needs: programs \
             are there",
            "7:15: error[SMOL0101]: two mounts of machine `build` have the same place in it: `/var/run/app` and \
             `/run/app` are both `/run/app`",
            "8:15: error[SMOL0101]: two mounts of machine `build` have the same place in it: `/bin` and `/usr/programs` \
             are both `/usr/bin`",
            "8:15: error[SMOL0103]: a mount at `/usr/programs` (here `/usr/bin`) would take away what the guest needs: \
             programs are there",
        ]
    );
}

#[test]
fn a_folder_without_rights_is_refused_to_those_whom_it_refuses() {
    let project = project();
    let locked = project.path().join("locked");
    fs::create_dir(&locked).expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    fs::set_permissions(&locked, mode).expect("mode bits");
    let text = "machines: { a: { mounts: [\"./locked:/x\"] } }\nsteps: [{ run: x }]\n";
    let told = check(project.path(), text);
    if rustix::process::geteuid().is_root() {
        assert!(told.is_empty(), "{told:?}");
    } else {
        assert!(told.len() == 1 && told[0].contains("cannot be written by the invoking user"), "{told:?}");
    }
}
