//! The digest of the kernel that `kernel: auto` is on this host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::exit::{Class, Failure, chain};
use crate::cli::interrupts::Interrupts;
use crate::cli::printer::Printer;
use crate::compose::Places;
use crate::image::kernel::{self, KernelError, KernelRequest};
use crate::image::{Digest, Waiter};

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
enum AutoError {
    #[error("the kernel cannot be had: {0}")]
    Kernel(String),
    #[error("the kernel `{path}` cannot be read")]
    Read { path: std::path::PathBuf, source: std::io::Error },
}

/// Finds or fetches the kernel, and reads it.
pub(super) fn digest(printer: &Printer) -> Result<Digest, Failure> {
    let cache = Places::find()?.cache;
    let printer = *printer;
    let work = move |has_left: Arc<AtomicBool>| {
        kernel::resolve(&KernelRequest::Auto, None, &cache, &mut Waiting { printer, has_left })
    };
    let found = Interrupts::listen()?.until_left(work)?.map_err(|error| failure(&error))?;
    found
        .digest()
        .map_err(|source| Failure::new(Class::World, AutoError::Read { path: found.boot_file.clone(), source }))
}

fn failure(error: &KernelError) -> Failure {
    let words = chain(error).collect::<Vec<_>>().join(": ");
    error.help().into_iter().fold(Failure::new(Class::World, AutoError::Kernel(words)), Failure::help)
}

/// Who waits for the kernel.
struct Waiting {
    printer: Printer,
    has_left: Arc<AtomicBool>,
}

impl Waiter for Waiting {
    fn tell(&mut self, words: &str) {
        self.printer.note(&format!("{words}\n"));
    }

    fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }
}
