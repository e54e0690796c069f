//! The store of images, filled from files that real tools made: killed, damaged, shared, pruned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use smolvm::image::registry::RegistryAccess;
use smolvm::image::{
    Access, ImageError, ImageRequest, ImageSource, Images, LayerPhase, LayerProgress, Platform, PruneRequest,
    ReadyImage,
};

use crate::registry::images::small_image;
use crate::registry::is_skipped;

/// A cache, and a folder for files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("cache")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn images(&self) -> Images {
        Images::open(&self.path("cache/smolvm"), RegistryAccess::default()).unwrap()
    }

    fn stored(&self, name: &str) -> PathBuf {
        self.path("cache/smolvm/images").join(name)
    }

    /// A layout with one image.
    fn layout(&self) -> ImageSource {
        let path = self.path("layout");
        skopeo(&[
            "copy",
            "--quiet",
            &format!("oci:{}", small_image().place()),
            &format!("oci:{}:small", path.display()),
        ]);
        ImageSource::Oci(path)
    }
}

fn skopeo(words: &[&str]) -> String {
    let output = Command::new("skopeo").arg("--insecure-policy").args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn request(source: &ImageSource) -> ImageRequest {
    ImageRequest { source: source.clone(), platform: Platform::machine(), locked: None, access: Access::Offline }
}

fn bring(images: &Images, source: &ImageSource) -> ReadyImage {
    images.bring(&request(source), &mut |_: &str| {}).unwrap()
}

/// Tree and packs of an image, as bytes.
fn content(image: &ReadyImage) -> Vec<Vec<u8>> {
    std::iter::once(&image.tree).chain(&image.packs).map(|path| fs::read(path).unwrap()).collect()
}

/// The one file of a folder.
fn only(folder: &Path) -> PathBuf {
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn an_image_of_a_file_is_read_once_and_skopeo_reads_the_store() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let (images, source) = (place.images(), place.layout());
    let first = bring(&images, &source);
    let store = format!("oci:{}", place.stored("").display());
    let told: serde_json::Value = serde_json::from_str(&skopeo(&["inspect", &store])).unwrap();
    assert_eq!(told["Digest"], first.digest.as_str());
    assert_eq!(told["Layers"].as_array().unwrap().len(), first.packs.len());
    skopeo(&["copy", "--quiet", &store, &format!("dir:{}", place.path("copy").display())]);
    // The blobs are not looked at again: the index is the same.
    fs::remove_dir_all(place.path("layout/blobs")).unwrap();
    assert_eq!(bring(&images, &source).digest, first.digest);
    assert_eq!(images.find(&request(&source)).unwrap().unwrap().digest, first.digest);
    fs::write(place.path("layout/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let error = images.bring(&request(&source), &mut |_: &str| {}).unwrap_err();
    assert!(error.to_string().ends_with("holds no image"), "{error}");
}

#[test]
fn archives_give_the_same_files_as_the_layout() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let (images, layout) = (place.images(), place.layout());
    let from = format!("oci:{}", small_image().place());
    let (docker, tar) = (place.path("docker.tar"), place.path("oci.tar"));
    skopeo(&["copy", "--quiet", &from, &format!("docker-archive:{}:small:1", docker.display())]);
    skopeo(&["copy", "--quiet", &from, &format!("oci-archive:{}:small", tar.display())]);
    let first = bring(&images, &layout);
    let second = bring(&images, &ImageSource::Oci(tar));
    let third = bring(&images, &ImageSource::DockerArchive(docker));
    assert_eq!(first.digest, second.digest);
    // By its layers it is the same image, so nothing is unpacked twice.
    assert_eq!((&first.tree, &first.packs), (&third.tree, &third.packs));
    assert_eq!((&first.config.env, &first.config.cmd), (&third.config.env, &third.config.cmd));
    let ImageSource::Oci(path) = &layout else { panic!("a layout") };
    let mut umoci = Command::new("umoci");
    umoci.args(["config", "--image", &format!("{}:small", path.display()), "--tag", "other", "--config.cmd", "ls"]);
    assert!(umoci.status().unwrap().success());
    let error = images.bring(&request(&layout), &mut |_: &str| {}).unwrap_err();
    let help = error.help().unwrap();
    assert!(error.to_string().contains("holds 2 images") && help.contains("other, small"), "{error}: {help}");
}

#[test]
fn who_wants_the_same_at_the_same_time_does_the_work_once() {
    if is_skipped() {
        return;
    }
    struct Counts(usize);
    impl smolvm::image::ImageWaiter for Counts {
        fn tell(&mut self, _: &str) {}
        fn layer(&mut self, progress: &LayerProgress) {
            self.0 += usize::from(progress.phase == LayerPhase::Unpacking && progress.done == 0);
        }
    }
    let place = Place::new();
    let source = place.layout();
    let work = || {
        let mut counts = Counts(0);
        let image = place.images().bring(&request(&source), &mut counts).unwrap();
        (counts.0, image.packs.len())
    };
    let ended: Vec<(usize, usize)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ended.iter().map(|(unpacked, _)| unpacked).sum::<usize>(), ended[0].1, "{ended:?}");
    assert_eq!(fs::read_dir(place.stored("partial")).unwrap().count(), 0);
}

#[test]
fn whatever_is_damaged_is_found_and_made_again() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let (images, source) = (place.images(), place.layout());
    let whole = content(&bring(&images, &source));
    let (tree, pack) = {
        let image = bring(&images, &source);
        (image.tree.clone(), image.packs[1].clone())
    };
    let cut = |path: &Path| fs::write(path, &fs::read(path).unwrap()[1..]).unwrap();
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    // At use: whatever the size or a small file's digest tells.
    for path in [&tree, &pack] {
        cut(path);
        assert_eq!(content(&bring(&images, &source)), whole);
        fs::remove_file(path).unwrap();
        assert_eq!(content(&bring(&images, &source)), whole);
    }
    flip(&tree);
    assert_eq!(content(&bring(&images, &source)), whole);
    fs::write(place.stored("index.json"), "damaged").unwrap();
    assert_eq!(content(&bring(&images, &source)), whole);
    fs::remove_file(only(&place.stored("blobs/sha256"))).unwrap();
    assert_eq!(content(&bring(&images, &source)), whole);
    // A blob that is damaged where it lies is told from an image that is wrong.
    fs::remove_dir_all(place.stored("layers")).unwrap();
    fs::create_dir(place.stored("layers")).unwrap();
    fs::read_dir(place.stored("blobs/sha256")).unwrap().for_each(|blob| flip(&blob.unwrap().path()));
    assert_eq!(content(&bring(&images, &source)), whole);
    // In full: a byte of a pack.
    flip(&pack);
    let damages = images.store().verify(&|| false).unwrap();
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert_eq!(content(&bring(&images, &source)), whole);
    assert!(images.store().verify(&|| false).unwrap().is_empty());
}

#[test]
fn killed_at_any_point_the_store_is_whole() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let source = place.layout();
    let file = "machines: { a: { image: \"oci:./layout\" } }\nsteps: [{ machine: a, run: x }]\n";
    fs::write(place.path("smolvm.yaml"), file).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..25 {
        // The first rounds begin with nothing, later ones go on with what was left.
        if round < 12 {
            let _ = fs::remove_dir_all(place.path("cache/smolvm/images"));
        }
        let mut pull = Command::new(env!("CARGO_BIN_EXE_smolvm"));
        pull.args(["-q", "pull"]).current_dir(place.0.path()).env("XDG_CACHE_HOME", place.path("cache"));
        let mut child = pull.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The points are what is wanted here, not an event.
        thread::sleep(Duration::from_micros(state % 250_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let damages = place.images().store().verify(&|| false).unwrap();
        assert!(damages.iter().all(|damage| damage.part == smolvm::image::store::Part::Roots), "{round}: {damages:?}");
        skopeo_reads(&place, round);
    }
    let image = bring(&place.images(), &source);
    assert_eq!(image.packs.len(), 2);
    let pruned = place.images().prune(&PruneRequest { takes_named: false, unused_for: None, is_dry: false }).unwrap();
    assert!(pruned.images.is_empty() && pruned.in_use.is_empty());
    assert_eq!(fs::read_dir(place.stored("partial")).unwrap().count(), 0);
    assert_eq!(bring(&place.images(), &source).digest, image.digest);
}

/// A layout whose index names an image has all of it.
fn skopeo_reads(place: &Place, round: usize) {
    if place.images().list().unwrap().is_empty() {
        return;
    }
    let store = format!("oci:{}", place.stored("").display());
    let told = skopeo(&["inspect", &store]);
    assert!(told.contains("\"Layers\""), "{round}: {told}");
}

#[test]
fn what_is_leased_is_not_pruned_and_goes_when_it_is_not() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let (images, source) = (place.images(), place.layout());
    let all = |is_dry| PruneRequest { takes_named: true, unused_for: None, is_dry };
    let image = bring(&images, &source);
    let whole = content(&image);
    let pruned = images.prune(&all(false)).unwrap();
    assert_eq!((pruned.images.len(), pruned.in_use.len(), pruned.bytes()), (0, 1, 0));
    assert_eq!(content(&image), whole);
    assert!(images.list().unwrap()[0].is_in_use);
    drop(image);
    let young = PruneRequest { unused_for: Some(Duration::from_secs(3600)), ..all(false) };
    assert!(images.prune(&young).unwrap().images.is_empty(), "it was used this moment");
    let dry = images.prune(&all(true)).unwrap();
    assert_eq!((dry.images.len(), images.list().unwrap().len()), (1, 1));
    assert_eq!(images.prune(&all(false)).unwrap(), dry);
    assert!(images.list().unwrap().is_empty() && images.find(&request(&source)).unwrap().is_none());
    assert_eq!(images.usage().unwrap().parts.iter().map(|part| part.count).sum::<usize>(), 0);
}

#[test]
fn a_store_of_somebody_else_or_without_a_right_to_write_is_told_so() {
    let place = Place::new();
    drop(place.images());
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(place.stored(""), Some(12345), None).unwrap();
        let error = Images::open(&place.path("cache/smolvm"), RegistryAccess::default()).unwrap_err();
        let ImageError::Store(cause) = &error else { panic!("{error}") };
        assert!(cause.to_string().contains("belongs to user 12345"), "{cause}");
        assert!(error.help().unwrap().contains("XDG_CACHE_HOME"));
    }
}

#[test]
fn a_store_that_takes_no_changes_gives_what_is_in_it() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let ImageSource::Oci(layout) = place.layout() else { panic!("a layout") };
    bring(&place.images(), &ImageSource::Oci(layout.clone()));
    let cache = place.path("cache");
    let frozen = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 99; shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", frozen, "sh"]).arg(&cache).arg(env!("CARGO_BIN_EXE_smolvm"));
    let machine = format!("machines:\n  build: {{ image: 'oci:{}' }}\nsteps:\n  - run: make\n", layout.display());
    fs::write(place.path("smolvm.yaml"), machine).unwrap();
    command.arg("pull");
    let output = command.current_dir(&place.0).env("XDG_CACHE_HOME", &cache).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        // Not everywhere may one mount.
        Some(1 | 99) if !told.contains("smolvm") => {}
        code => assert!(code == Some(0) && told.contains("here already"), "{code:?} {told}"),
    }
}

#[test]
fn a_blob_that_was_never_begun_leaves_nothing() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let source = place.layout();
    let ImageSource::Oci(layout) = &source else { panic!("a layout") };
    let blobs = layout.join("blobs/sha256");
    let largest = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let error = place.images().bring(&request(&source), &mut |_: &str| {}).unwrap_err();
    assert!(error.to_string().contains("has a damaged blob") && error.help().is_some(), "{error}");
    assert_eq!(fs::read_dir(place.stored("partial")).unwrap().count(), 0);
}
