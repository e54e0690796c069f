//! Which images are meant by a project, or by words of a command line. Deliberately not here: bringing them.

mod wanted;

pub(super) use wanted::{WantedError, of_words};

use super::exit::{Class, Failure};

/// What to tell of a word that means no image.
pub(super) fn word_failure(error: WantedError) -> Failure {
    let WantedError::Word { near, .. } = &error;
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name a machine of the project, or an image as `alpine:3.20`".to_owned(),
    };
    Failure::new(Class::Selection, error).help(help)
}
