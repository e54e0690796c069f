//! Which images are meant: those of a project, of some of its machines, or that are named.
//!
//! Deliberately not here: bringing them.

use crate::config::model::{EVERY_PROFILE, Image, KernelSource, Machine, Project, Reference};
use crate::config::nearest;

/// An image, and what the lock file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// As people call it.
    pub(crate) name: String,
    /// What it is: a reference or an archive.
    pub(crate) image: Image,
    /// The digest of the lock file.
    pub(crate) lock: Option<String>,
}

/// Why it is not known which images are meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WantedError {
    /// A word is neither a machine nor an image of the project, nor a reference.
    #[error("`{word}` is neither a machine nor an image of the project, and no reference to an image: {message}")]
    Word {
        /// The word.
        word: String,
        /// Why it is no reference.
        message: String,
        /// A name of the project that is nearly the same, or the reference that was meant.
        near: Option<String>,
    },
}

impl Wanted {
    fn of_image(image: &Image, project: &Project) -> Option<Self> {
        match image {
            Image::Reference(reference) => Some(Self::of_reference(reference, Some(project))),
            Image::Oci(path) | Image::DockerArchive(path) => {
                let shown = path.strip_prefix(&project.folder).unwrap_or(path).display();
                Some(Self { name: format!("{}{shown}", image.prefix()), image: image.clone(), lock: None })
            }
            Image::Host | Image::Dir(_) | Image::Unreadable => None,
        }
    }

    /// An image of a registry, locked where it is one of the project.
    pub(crate) fn of_reference(reference: &Reference, project: Option<&Project>) -> Self {
        let lock = project.and_then(|project| project.locks.digest(reference)).map(str::to_owned);
        Self { name: reference.written().to_owned(), image: Image::Reference(reference.clone()), lock }
    }
}

/// Image and kernel of a machine, where they have to be brought.
fn of_machine(machine: &Machine, project: &Project) -> Vec<Wanted> {
    let kernel = match &machine.kernel.value {
        KernelSource::Reference(reference) => Some(Wanted::of_reference(reference, Some(project))),
        KernelSource::Auto | KernelSource::Path(_) => None,
    };
    Wanted::of_image(&machine.image.value, project).into_iter().chain(kernel).collect()
}

/// All images of a project, those of machines that no profile keeps out, each once, in file order.
pub(crate) fn of_project(project: &Project) -> Vec<Wanted> {
    let is_asked = |name: &String| project.profiles.iter().any(|asked| asked == EVERY_PROFILE || asked == name);
    let is_in = |machine: &&Machine| {
        machine.profiles.is_empty() || machine.profiles.iter().any(|profile| is_asked(&profile.value))
    };
    let machines = project.machines.iter().filter(is_in);
    once(machines.flat_map(|machine| of_machine(machine, project)).collect())
}

/// The images that these words mean: a machine of the project, an image of it as it is written or in full, or any
/// reference.
pub(crate) fn of_words(words: &[String], project: Option<&Project>) -> Result<Vec<Wanted>, WantedError> {
    let mut wanted = Vec::new();
    for word in words {
        wanted.extend(of_word(word, project)?);
    }
    Ok(once(wanted))
}

fn of_word(word: &str, project: Option<&Project>) -> Result<Vec<Wanted>, WantedError> {
    if let Some(project) = project {
        let is_named = |machine: &&Machine| [&*machine.name.value, machine.declared_name()].contains(&word);
        let machines: Vec<&Machine> = project.machines.iter().filter(is_named).collect();
        if !machines.is_empty() {
            return Ok(machines.into_iter().flat_map(|machine| of_machine(machine, project)).collect());
        }
        if let Some(known) = of_all(project).into_iter().find(|known| known.name == *word) {
            return Ok(vec![known]);
        }
    }
    match Reference::parse(word) {
        Ok(reference) => Ok(vec![Wanted::of_reference(&reference, project)]),
        Err(error) => {
            let names = project.map(|project| project.machines.iter().map(|machine| machine.name.value.as_str()));
            let near = names.and_then(|names| nearest(word, names)).map(str::to_owned).or(error.instead);
            Err(WantedError::Word { word: word.to_owned(), message: error.message, near })
        }
    }
}

/// All images of a project, whatever the profiles say.
fn of_all(project: &Project) -> Vec<Wanted> {
    once(project.machines.iter().flat_map(|machine| of_machine(machine, project)).collect())
}

/// Each image once, though it is written in two ways.
fn once(wanted: Vec<Wanted>) -> Vec<Wanted> {
    let mut seen: Vec<String> = Vec::new();
    wanted
        .into_iter()
        .filter(|one| {
            let name = match &one.image {
                Image::Reference(reference) => reference.to_string(),
                image => image.to_string(),
            };
            let is_new = !seen.contains(&name);
            seen.push(name);
            is_new
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{FileRequest, LoadRequest, MemoryFiles, load};

    fn project(profiles: &[&str]) -> Project {
        let lock = format!("version 1\ndocker.io/library/alpine:3 linux/amd64 sha256:{}\n", "a".repeat(64));
        let text = "machines:\n  a: { image: \"alpine:3\", kernel: \"kernels.test/lean:6\" }\n  \
                    b: { image: docker.io/alpine:3, profiles: [x] }\n  c: { image: debian, profiles: [x] }\n  \
                    d: { image: host }\n  e: { image: \"oci:./layout\" }\nsteps: [{ machine: d, run: make }]\n";
        let files = MemoryFiles::new().file("/project/smolvm.yaml", text).file("/project/smolvm.lock", lock);
        let request = LoadRequest {
            files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
            current_folder: PathBuf::from("/project"),
            profiles: profiles.iter().map(|name| (*name).to_owned()).collect(),
            ..LoadRequest::default()
        };
        load(request, &files).project.unwrap()
    }

    fn names(wanted: &[Wanted]) -> Vec<&str> {
        wanted.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn a_project_means_each_image_and_kernel_of_its_profiles_once() {
        let few = project(&[]);
        assert_eq!(names(&of_project(&few)), ["alpine:3", "kernels.test/lean:6", "oci:layout"]);
        assert_eq!(of_project(&few)[0].lock, Some(format!("sha256:{}", "a".repeat(64))));
        assert_eq!(names(&of_project(&project(&["x"]))), ["alpine:3", "kernels.test/lean:6", "debian", "oci:layout"]);
    }

    #[test]
    fn a_word_is_a_machine_an_image_of_the_project_or_any_reference() {
        let project = project(&[]);
        let words = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            of_words(&words, Some(&project))
        };
        assert_eq!(names(&words(&["c", "a"]).unwrap()), ["debian", "alpine:3", "kernels.test/lean:6"]);
        assert_eq!(words(&["docker.io/library/alpine:3"]).unwrap()[0].lock, words(&["alpine:3"]).unwrap()[0].lock);
        assert_eq!(words(&["quay.test/other:1"]).unwrap()[0].lock, None);
        let WantedError::Word { near, .. } = words(&["Alpine:3"]).unwrap_err();
        assert_eq!(near.as_deref(), Some("alpine:3"));
        assert!(of_words(&["debian".to_owned()], None).unwrap()[0].lock.is_none());
    }
}
