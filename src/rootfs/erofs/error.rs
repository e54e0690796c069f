//! Why a tree has no erofs form.

/// Why a tree cannot be written as erofs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErofsError {
    /// Something is larger than the form can say.
    #[error("an erofs file system cannot hold {what}")]
    TooLarge {
        /// What.
        what: &'static str,
    },
    /// An extended attribute that the form has no place for.
    #[error("an erofs file system cannot hold the extended attribute `{name}`")]
    Xattr {
        /// Its name.
        name: String,
    },
    /// The tree contradicts itself or its packs.
    #[error("the tree is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// For what no image has that was put together by us.
pub(super) fn damaged(what: &'static str) -> ErofsError {
    ErofsError::Damaged { what }
}
