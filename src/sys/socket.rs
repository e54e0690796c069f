//! Unix sockets that leave no name behind.
//!
//! A vhost-user daemon of the library that we use wants a listener, while its front end is a descriptor that
//! we hand on. The name exists for as long as it takes to connect to it. Not here: what is spoken over them.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

/// Binds a listener in `dir`, connects to it, and removes its name at once: the first connection that the
/// listener accepts is the returned stream. `dir` should be private (mode 0700), else another may connect first.
pub fn connected_listener(dir: &Path) -> io::Result<(UnixListener, UnixStream)> {
    // Through the descriptor the path is short, however long the folder's own is (`sun_path` has 108 bytes).
    let folder = File::open(dir)?;
    let name = random_name()?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_fd().as_raw_fd()));
    let listener = UnixListener::bind(&short)?;
    let stream = UnixStream::connect(&short);
    fs::remove_file(dir.join(&name))?;
    Ok((listener, stream?))
}

/// As [`connected_listener`], in a private folder of its own that is gone when this returns.
pub fn unnamed_listener() -> io::Result<(UnixListener, UnixStream)> {
    let dir = private_dir()?;
    let pair = connected_listener(&dir);
    fs::remove_dir(&dir)?;
    pair
}

/// Makes a fresh folder with mode 0700 below `$XDG_RUNTIME_DIR`, or below the temporary folder where there is none.
fn private_dir() -> io::Result<PathBuf> {
    let name = format!("smolvm-{}", random_name()?);
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    if let Some(base) = runtime {
        let dir = base.join(&name);
        if builder.create(&dir).is_ok() {
            return Ok(dir);
        }
    }
    let dir = std::env::temp_dir().join(&name);
    builder.create(&dir)?;
    Ok(dir)
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if count < bytes.len() {
        return Err(io::Error::other("the kernel gave too little randomness"));
    }
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn stream_reaches_listener_and_no_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, mut stream) = connected_listener(dir.path()).unwrap();
        stream.write_all(b"hi").unwrap();
        drop(stream);
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hi");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn long_folder_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        connected_listener(&long).unwrap();
    }

    #[test]
    fn unnamed_listener_connects() {
        let (listener, _stream) = unnamed_listener().unwrap();
        listener.accept().unwrap();
    }
}
