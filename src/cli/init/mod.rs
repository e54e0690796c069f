//! `smolvm init`: a first `smolvm.yaml` for what a folder holds. A file that is there is never touched.

mod kinds;
mod look;
mod starter;
mod write;

pub(super) use write::run;
