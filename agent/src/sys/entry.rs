//! The C entry point. The standard library's own start aborts where descriptors 0 to 2 are closed and there is no
//! `/dev/null`, which is how a kernel without a console starts PID 1.

#![expect(unsafe_code, reason = "the C runtime calls `main` by its name")]

/// What the C runtime calls.
// SAFETY: no other function of the program has this name, and the signature is the one that C gives `main`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn main(_argc: libc::c_int, _argv: *const *const libc::c_char) -> libc::c_int {
    crate::run()
}
