//! Where a path of the image leads, made in the writable layer where the image lacks it.
//!
//! Images are of every kind: one program and nothing else, `/etc` or `/run` as links, links that lead nowhere yet. Links
//! are followed as the machine itself will, with the image as the root; nothing of them is followed by the kernel, for
//! which the root is still another one. Not here: what is put there.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows in one path.
const LINKS_MAX: usize = 40;

/// The folder at `path` (absolute, in the image) in the writable layer `upper` over `lower`: made there with those above
/// it, each with owner and mode of the image's where there is one.
pub(crate) fn folder_in_layer(lower: &Path, upper: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut here = PathBuf::new();
    let mut ahead: VecDeque<PathBuf> = parts(path).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == Path::new("..") {
            here.pop();
            continue;
        }
        let next = here.join(name);
        match fs::symlink_metadata(lower.join(&next)) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let target = fs::read_link(lower.join(&next))?;
                if target.is_absolute() {
                    here.clear();
                }
                for name in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(name);
                }
                continue;
            }
            Ok(found) if !found.is_dir() => {
                let message = format!("`/{}` of the image is not a folder", next.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if fs::symlink_metadata(upper.join(&next)).is_err() {
            copy_folder(&lower.join(&next), &upper.join(&next))?;
        }
        here = next;
    }
    Ok(upper.join(here))
}

/// Names and `..` of a path.
fn parts(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    })
}

/// An empty folder with mode and owner of another; as root has it where there is no other.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    let (mode, uid, gid) = fs::metadata(from).map_or((0o755, 0, 0), |found| (found.mode(), found.uid(), found.gid()));
    chown(to, Some(uid), Some(gid))?;
    fs::set_permissions(to, PermissionsExt::from_mode(mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Layers(tempfile::TempDir);

    impl Layers {
        fn new(folders: &[&str], links: &[(&str, &str)]) -> Self {
            let layers = Self(tempfile::tempdir().expect("a temporary folder"));
            fs::create_dir_all(layers.lower()).expect("it is ours");
            fs::create_dir_all(layers.upper()).expect("it is ours");
            for folder in folders {
                fs::create_dir_all(layers.lower().join(folder)).expect("it is ours");
            }
            for (name, target) in links {
                symlink(target, layers.lower().join(name)).expect("it is ours");
            }
            layers
        }

        fn lower(&self) -> PathBuf {
            self.0.path().join("lower")
        }

        fn upper(&self) -> PathBuf {
            self.0.path().join("upper")
        }

        /// Where a path leads, below the layer; it is a folder there.
        fn place(&self, path: &str) -> Result<String, String> {
            // To give folders away takes root.
            if !is_root() {
                return Err("root".to_owned());
            }
            let found = folder_in_layer(&self.lower(), &self.upper(), Path::new(path)).map_err(|e| e.to_string())?;
            assert!(fs::symlink_metadata(&found).expect("it is there").is_dir());
            Ok(found.strip_prefix(self.upper()).expect("below").to_str().expect("text").to_owned())
        }
    }

    fn is_root() -> bool {
        fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
    }

    #[test]
    fn what_the_image_lacks_is_made_and_what_it_has_is_copied() {
        let layers = Layers::new(&["var/lib"], &[]);
        fs::set_permissions(layers.lower().join("var"), PermissionsExt::from_mode(0o1711)).expect("it is ours");
        let Ok(place) = layers.place("/etc") else { return };
        assert_eq!(place, "etc");
        assert_eq!(layers.place("/var/lib/x").as_deref(), Ok("var/lib/x"));
        let mode = fs::metadata(layers.upper().join("var")).expect("it is there").mode();
        assert_eq!(mode & 0o7777, 0o1711);
        assert_eq!(layers.place("/var/lib/x").as_deref(), Ok("var/lib/x"), "once more");
    }

    #[test]
    fn links_are_followed_with_the_image_as_the_root() {
        let links = [
            ("etc", "/usr/etc"),
            ("run", "var/run"),
            ("var/run", "../state/run"),
            ("out", "../../../../tmp/x"),
            ("round", "turn"),
            ("turn", "/round"),
        ];
        let layers = Layers::new(&["usr/etc", "var"], &links);
        let Ok(place) = layers.place("/etc") else { return };
        assert_eq!(place, "usr/etc");
        assert_eq!(layers.place("/run").as_deref(), Ok("state/run"));
        assert_eq!(layers.place("/out").as_deref(), Ok("tmp/x"));
        assert!(layers.place("/round").is_err());
        fs::write(layers.lower().join("file"), "").expect("it is ours");
        assert_eq!(layers.place("/file").expect_err("a file"), "`/file` of the image is not a folder");
    }
}
