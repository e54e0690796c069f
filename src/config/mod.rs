//! From text to [`Project`]: spanned YAML tree, typed model, scalars, interpolation, checks. No input or output:
//! files, links and environment come through a trait that `host` implements.

pub mod model;

pub use model::Project;
