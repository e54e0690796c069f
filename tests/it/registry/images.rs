//! Images for tests, made by `umoci` from a small root with busybox, and pushed by `skopeo`.
//!
//! They lie in a folder of the build, made once: an OCI layout with an image a tag.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::server::Registry;

/// Changes whenever what is made here does.
const VERSION: u32 = 2;

/// An image in an OCI layout.
#[derive(Debug, Clone)]
pub(crate) struct LayoutImage {
    /// The layout.
    pub(crate) layout: PathBuf,
    /// Its tag there.
    pub(crate) tag: String,
}

impl LayoutImage {
    /// As `skopeo` and `umoci` name it, without the scheme: `LAYOUT:TAG`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.layout.display(), self.tag)
    }

    /// Digest and bytes of its manifest (or index).
    pub(crate) fn manifest(&self) -> (String, Vec<u8>) {
        let index: serde_json::Value = read_json(&self.layout.join("index.json"));
        let tag = |entry: &&serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == self.tag;
        let entry = index["manifests"].as_array().unwrap().iter().find(tag).unwrap();
        let digest = entry["digest"].as_str().unwrap().to_owned();
        let bytes = fs::read(blob_path(&self.layout, &digest)).unwrap();
        (digest, bytes)
    }
}

/// An image of two layers: busybox with the shell and a few tools as links, then `/etc/motd` and a big file (4 MiB that
/// does not compress, `/data/noise`). Its config has a command, an environment and a working folder.
pub(crate) fn small_image() -> LayoutImage {
    LayoutImage { layout: layout(), tag: "small".to_owned() }
}

/// The same for two platforms: an index with `linux/arm64` (in which nothing runs here) and `linux/amd64` (as
/// [`small_image`]).
pub(crate) fn two_platforms() -> LayoutImage {
    LayoutImage { layout: layout(), tag: "two".to_owned() }
}

/// An image for `linux/arm64` alone.
pub(crate) fn arm_image() -> LayoutImage {
    LayoutImage { layout: layout(), tag: "arm".to_owned() }
}

/// Pushes an image (an index with all that it names); `name` is that in the registry: `alpine:3`. More words for
/// `skopeo copy` may follow, as `--format v2s2`.
#[track_caller]
pub(crate) fn push(image: &LayoutImage, registry: &Registry, name: &str, more: &[&str]) {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]).args(more);
    if let Some((user, password)) = registry.login() {
        skopeo.args(["--dest-creds", &format!("{user}:{password}")]);
    }
    skopeo.arg(format!("oci:{}", image.place())).arg(format!("docker://{}", registry.image(name)));
    run(&mut skopeo);
}

/// [`small_image`] with layers that `zstd` packs.
pub(crate) fn zstd_image() -> LayoutImage {
    LayoutImage { layout: made().join("zstd"), tag: "small".to_owned() }
}

/// The layout with most of them; it is only read.
fn layout() -> PathBuf {
    made().join("layout")
}

fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| made_once(&format!("images-{VERSION}"), make_layouts))
}

/// A folder of the build that is filled once; another run of the tests may fill it at the same time.
pub(crate) fn made_once(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = all.join(name);
    if !path.exists() {
        let scratch = tempfile::Builder::new().prefix(".made-").tempdir_in(all).unwrap();
        let made = scratch.path().join("made");
        fs::create_dir(&made).unwrap();
        fill(&made);
        let renamed = fs::rename(&made, &path);
        assert!(renamed.is_ok() || path.exists(), "{renamed:?}");
    }
    path
}

fn make_layouts(folder: &Path) {
    let layout = folder.join("layout");
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    let scratch = tempfile::tempdir().unwrap();
    let lower = lower_layer(scratch.path());
    let upper = upper_layer(scratch.path());
    for (tag, architecture) in [("small", "amd64"), ("arm", "arm64")] {
        let image = format!("{}:{tag}", layout.display());
        run(Command::new("umoci").args(["new", "--image", &image]));
        for layer in [&lower, &upper] {
            run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(layer));
        }
        run(Command::new("umoci").args(["config", "--image", &image, "--architecture", architecture]).args([
            "--config.cmd=/bin/sh",
            "--config.env=PATH=/bin",
            "--config.env=GREETING=hello world",
            "--config.workingdir=/data",
        ]));
    }
    run(Command::new("umoci").args(["gc", "--layout"]).arg(&layout));
    // Into an empty layout: blobs that are there already are taken as they are.
    let (from, to) =
        (format!("oci:{}:small", layout.display()), format!("oci:{}:small", folder.join("zstd").display()));
    run(Command::new("skopeo").args([
        "--insecure-policy",
        "copy",
        "--quiet",
        "--dest-compress-format=zstd",
        &from,
        &to,
    ]));
    add_index(&layout, "two", &[("arm", "arm64"), ("small", "amd64")]);
}

/// Busybox and links to it.
fn lower_layer(scratch: &Path) -> PathBuf {
    let root = scratch.join("lower");
    for folder in ["bin", "etc", "data", "tmp", "proc", "sys", "dev", "root"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy(busybox(), root.join("bin/busybox")).unwrap();
    for tool in ["sh", "cat", "echo", "env", "find", "id", "ls", "pwd", "sha256sum", "sleep", "stat", "touch", "true"] {
        symlink("busybox", root.join("bin").join(tool)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\ndaemon:x:1:\n").unwrap();
    archive(&root)
}

fn upper_layer(scratch: &Path) -> PathBuf {
    let root = scratch.join("upper");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("etc/motd"), "a small image\n").unwrap();
    fs::write(root.join("data/noise"), noise(4 << 20)).unwrap();
    archive(&root)
}

/// Bytes that do not compress, always the same.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The tar of a folder, all of it root's and from the same time.
fn archive(root: &Path) -> PathBuf {
    let tar = root.with_extension("tar");
    let words = ["--sort=name", "--owner=0", "--group=0", "--mtime=@1700000000", "--format=pax", "-cf"];
    run(Command::new("tar").arg("-C").arg(root).args(words).arg(&tar).arg("."));
    tar
}

/// The busybox that needs no libraries.
fn busybox() -> PathBuf {
    let found = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.is_file());
    found.expect("busybox-static is installed")
}

/// Adds an index of images of the layout, under a tag of its own.
fn add_index(layout: &Path, tag: &str, images: &[(&str, &str)]) {
    let mut top = read_json(&layout.join("index.json"));
    let entry_of = |tag: &str| {
        let entries = top["manifests"].as_array().unwrap();
        let is_it = |entry: &&serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
        entries.iter().find(is_it).unwrap().clone()
    };
    let entries = images.iter().map(|(tag, architecture)| {
        let mut entry = entry_of(tag);
        entry.as_object_mut().unwrap().remove("annotations");
        entry["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
        entry
    });
    let media_type = "application/vnd.oci.image.index.v1+json";
    let entries: Vec<_> = entries.collect();
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    let bytes = index.to_string().into_bytes();
    let digest = smolvm::image::Digest::of(&bytes);
    fs::write(blob_path(layout, digest.as_str()), &bytes).unwrap();
    let name = serde_json::json!({ "org.opencontainers.image.ref.name": tag });
    let entry = serde_json::json!(
        { "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len(), "annotations": name }
    );
    top["manifests"].as_array_mut().unwrap().push(entry);
    fs::write(layout.join("index.json"), top.to_string()).unwrap();
}

/// The file of a blob in a layout.
pub(crate) fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
