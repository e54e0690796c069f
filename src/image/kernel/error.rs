//! Why there is no kernel.

use std::io;
use std::path::{Path, PathBuf};

use super::modules::ModuleError;

/// Why there is no kernel to boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Something of the host cannot be read or written.
    #[error("cannot {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("`{path}` is neither a bzImage nor a vmlinux")]
    NotAKernel {
        /// The file.
        path: PathBuf,
    },
    /// A vmlinux that no engine can enter.
    #[error("`{path}` has no PVH entry (CONFIG_PVH), so it cannot be booted as it is; name its bzImage instead")]
    NoPvhEntry {
        /// The file.
        path: PathBuf,
    },
    /// The folder that the user names holds other things.
    #[error("`{path}` holds no modules of kernel `{version}`")]
    NoModules {
        /// The folder.
        path: PathBuf,
        /// Version of the kernel.
        version: String,
    },
    /// The modules of a kernel cannot be read.
    #[error("cannot use the modules of kernel `{version}`")]
    Modules {
        /// Version of the kernel.
        version: String,
        /// Why.
        source: ModuleError,
    },
    /// An image holds none.
    #[error("image `{image}` holds no kernel (looked for {looked})")]
    NotInImage {
        /// The image.
        image: String,
        /// Where a kernel could be, in words.
        looked: String,
    },
    /// The kernel of an image, or its modules, cannot be used.
    #[error("`{path}` of image `{image}` cannot be used as a kernel: {why}")]
    UnusableInImage {
        /// The image.
        image: String,
        /// What of it.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// Whoever asked for it has left.
    #[error("nobody waits for the kernel any more")]
    NotWanted,
    /// `kernel: auto` found nothing.
    #[error("no guest kernel is to be had: {}", tried.join("; "))]
    NothingFound {
        /// What was tried, in order, and why it did not do.
        tried: Vec<String>,
    },
}

impl KernelError {
    pub(super) fn io(what: &'static str, path: impl AsRef<Path>, source: io::Error) -> KernelError {
        KernelError::Io { what, path: path.as_ref().to_owned(), source }
    }

    /// What the user can do, where there is something to say.
    pub fn help(&self) -> Option<String> {
        match self {
            KernelError::NothingFound { .. } => Some(
                "name a kernel with `kernel: /path/to/vmlinuz` and `modules:`, or run this once with a network, so that \
                 the distribution's kernel can be downloaded (it is kept, and not installed)"
                    .to_owned(),
            ),
            KernelError::NoModules { version, .. } => Some(format!(
                "name in `modules:` the folder `lib/modules/{version}` of this kernel, or the folder that holds it"
            )),
            KernelError::NotInImage { .. } => Some(
                "name an image with a kernel in it: a bzImage or vmlinux in `boot`, its modules in `lib/modules/VERSION`"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
