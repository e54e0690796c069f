//! What a user may wish of the way in which machines run; the words of flags and settings are in `cli`.

/// What runs machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineWish {
    /// The best one that this host can run.
    #[default]
    Auto,
    /// QEMU.
    Qemu,
    /// Our own, on KVM.
    Kvm,
}

/// What runs their CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccelWish {
    /// KVM where a probe finds it fast, else emulation.
    #[default]
    Auto,
    /// Hardware virtualization.
    Kvm,
    /// Emulation.
    Tcg,
}

/// How the root of an image is given to a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RootWish {
    /// The quickest that the kernel has.
    #[default]
    Auto,
    /// Served file by file.
    Virtiofs,
    /// As a disk.
    Erofs,
}
