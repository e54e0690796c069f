//! Kernels of images: a machine boots one that a registry gave.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lock::Project;
use crate::pull::shared_kernels;
use crate::registry::images::{LayoutImage, push, small_image};
use crate::registry::is_skipped;
use crate::registry::server::Registry;
use crate::support::machines;

/// Folders of modules that a machine with `image: host` needs.
const NEEDED: [&str; 5] =
    ["kernel/drivers/virtio", "kernel/fs/fuse", "kernel/fs/overlayfs", "kernel/net/vmw_vsock", "modules.builtin"];

/// The kernel of the distribution in the invoking user's cache, and its version.
fn distribution_kernel(cache: &Path) -> Option<(PathBuf, String)> {
    let kernels = shared_kernels(cache).then(|| cache.join("smolvm/kernels"))?;
    let folder = kernels.join(fs::read_to_string(kernels.join("auto")).ok()?.trim_end());
    let version = fs::read_dir(folder.join("lib/modules")).ok()?.next()?.ok()?.file_name().into_string().ok()?;
    folder.join(format!("boot/vmlinuz-{version}")).is_file().then_some((folder, version))
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An image with this kernel, one that is older and no kernel, and what of its modules is needed.
fn image_of(scratch: &Path, (folder, version): &(PathBuf, String)) -> LayoutImage {
    let root = scratch.join("root");
    fs::create_dir_all(root.join("boot")).unwrap();
    fs::copy(folder.join(format!("boot/vmlinuz-{version}")), root.join(format!("boot/vmlinuz-{version}"))).unwrap();
    fs::write(root.join("boot/vmlinuz-0.9"), "no kernel").unwrap();
    let modules = root.join("usr/lib/modules").join(version);
    fs::create_dir_all(&modules).unwrap();
    for name in NEEDED {
        let (from, to) = (folder.join("lib/modules").join(version).join(name), modules.join(name));
        if from.exists() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            run(Command::new("cp").arg("-r").arg(from).arg(to));
        }
    }
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    std::os::unix::fs::symlink("/usr/src", modules.join("build")).unwrap();
    let (layer, layout) = (scratch.join("layer.tar"), scratch.join("layout"));
    run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&layer).arg("."));
    let image = format!("{}:kernel", layout.display());
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &image]));
    run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&layer));
    LayoutImage { layout, tag: "kernel".to_owned() }
}

#[test]
fn a_machine_boots_the_kernel_of_an_image() {
    if is_skipped() {
        return;
    }
    let Some(_machines) = machines() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let Some(kernel) = distribution_kernel(&scratch.path().join("shared")) else { return };
    let registry = Registry::start();
    push(&image_of(scratch.path(), &kernel), &registry, "kernel:1", &[]);
    push(&small_image(), &registry, "none:1", &[]);
    let reference = registry.image("kernel:1");
    let file = format!(
        "machines:\n  build: {{ kernel: \"{reference}\", cpus: 1, memory: 512MiB, workspace: false }}\nsteps:\n  - run: uname -r\n"
    );
    let project = Project::new(&file);

    let (code, _, stderr) = project.smolvm(&format!("kernel pull {}", registry.image("none:1")));
    assert!(code == 125 && stderr.contains("holds no kernel (looked for `boot/vmlinuz*`"), "{code} {stderr}");
    let (code, _, stderr) = project.smolvm(&format!("kernel pull {reference}"));
    assert!(code == 0 && stderr.contains(&format!("{} (image {reference}) is in the cache now", kernel.1)), "{stderr}");
    let listed = project.passes("kernel ls");
    assert!(listed.contains(&kernel.1) && listed.contains("taken where the file names it"), "{listed}");
    project.passes("lock");
    drop(registry);
    let (code, stdout, stderr) = project.smolvm("up --locked");
    assert!(code == 0 && format!("{stdout}{stderr}").contains(&kernel.1), "{stdout}\n{stderr}");
}
