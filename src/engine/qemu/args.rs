//! The command line of QEMU as a value. Nothing is opened or asked here: the shape of the machine comes in, words go
//! out.

use std::ffi::OsString;

use crate::engine::{Accel, VmSpec};

/// Numbers of the descriptors in QEMU's process.
pub(super) const QMP_FD: i32 = 3;
pub(super) const CONSOLE_FD: i32 = 4;
pub(super) const KERNEL_FD: i32 = 5;
pub(super) const INITRAMFS_FD: i32 = 6;
pub(super) const VSOCK_FD: i32 = 7;
/// The first share's; the others follow, and after them the disks'.
pub(super) const FIRST_SHARE_FD: i32 = 8;

/// Machine `microvm` has 24 slots; up to this many devices it is the quickest to boot.
const MICROVM_DEVICES_MAX: usize = 20;

/// Room for two requests of the largest size, or many of a page.
const DISK_QUEUE_SIZE: u16 = 256;

/// Arguments for a machine. `tsc_khz` is how fast the counter of this computer runs, where it is known.
pub(super) fn args(spec: &VmSpec, tsc_khz: Option<u64>) -> Vec<OsString> {
    let is_microvm = spec.shares.len() + spec.disks.len() < MICROVM_DEVICES_MAX;
    let mut words: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| words.extend([format!("-{option}"), value]);
    add("name", format!("guest={}", escape(&spec.name)));
    add("sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".into());
    add("machine", machine(is_microvm).into());
    add("accel", accel(spec.accel).into());
    add("cpu", cpu(spec.accel).into());
    add("smp", spec.cpus.to_string());
    add("m", format!("{}M", spec.memory_mib));
    // Shared, so that the backends of the devices see it.
    add("object", format!("memory-backend-memfd,id=memory,size={}M,share=on", spec.memory_mib));
    // Modern devices only; the others are for guests of before 2014.
    add("global", "virtio-mmio.force-legacy=false".into());
    add("display", "none".into());
    add("chardev", format!("socket,id=qmp,fd={QMP_FD}"));
    add("mon", "chardev=qmp,mode=control".into());
    add("chardev", format!("socket,id=console,fd={CONSOLE_FD}"));
    add("serial", "chardev:console".into());
    add("kernel", format!("/proc/self/fd/{KERNEL_FD}"));
    add("initrd", format!("/proc/self/fd/{INITRAMFS_FD}"));
    add("append", kernel_parameters(spec, tsc_khz));
    let bus = if is_microvm { "device" } else { "pci" };
    add("chardev", format!("socket,id=vsock,fd={VSOCK_FD}"));
    add("device", format!("vhost-user-vsock-{bus},chardev=vsock"));
    for ((number, share), fd) in spec.shares.iter().enumerate().zip(FIRST_SHARE_FD..) {
        let tag = escape(&share.tag);
        add("chardev", format!("socket,id=share{number},fd={fd}"));
        add("device", format!("vhost-user-fs-{bus},chardev=share{number},tag={tag},queue-size=1024"));
    }
    // Its name on the bus of a microvm is another than those of the other devices.
    let disk = if is_microvm { "vhost-user-blk" } else { "vhost-user-blk-pci" };
    let first_disk_fd = FIRST_SHARE_FD.saturating_add(i32::try_from(spec.shares.len()).unwrap_or(i32::MAX));
    for (number, fd) in (0..spec.disks.len()).zip(first_disk_fd..) {
        add("chardev", format!("socket,id=disk{number},fd={fd}"));
        add("device", format!("{disk},chardev=disk{number},num-queues=1,queue-size={DISK_QUEUE_SIZE}"));
    }
    // It starts when the control channel says so. A guest that reboots ends; nothing but what is said here is in the
    // machine.
    words.extend(["-S", "-nodefaults", "-no-user-config", "-no-reboot"].map(String::from));
    words.into_iter().map(OsString::from).collect()
}

fn machine(is_microvm: bool) -> &'static str {
    if is_microvm {
        // With its interrupt controller and timer of old: without them a guest waits 20 s for a tick under emulation.
        "microvm,memory-backend=memory,acpi=on,pic=on,pit=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off"
    } else {
        "q35,memory-backend=memory,usb=off,sata=off,smbus=off,vmport=off"
    }
}

fn accel(accel: Accel) -> &'static str {
    match accel {
        Accel::Kvm => "kvm",
        Accel::Tcg => "tcg,thread=multi",
    }
}

fn cpu(accel: Accel) -> &'static str {
    match accel {
        // Machines in machines are not offered.
        Accel::Kvm => "host,svm=off,vmx=off",
        // What nothing needs and what a guest only loses time on, by loading and testing drivers for it. Where "fast
        // strings" are offered, it copies and clears memory byte by byte, which the emulator does one at a time.
        Accel::Tcg => "max,svm=off,aes=off,pclmulqdq=off,erms=off,fsrm=off",
    }
}

fn kernel_parameters(spec: &VmSpec, tsc_khz: Option<u64>) -> String {
    // The self-tests of the cipher code take a sixth of an emulated boot.
    let mut parameters = vec!["console=ttyS0".to_owned(), "cryptomgr.notests=1".to_owned()];
    if spec.accel == Accel::Tcg {
        // Without the frequency a guest measures it, and some never end measuring.
        parameters.extend(tsc_khz.map(|khz| format!("tsc_early_khz={khz}")));
        // The timer of each CPU stays on: without it a guest of this machine sleeps for ever.
        parameters.extend(["tsc=reliable", "no_timer_check"].map(String::from));
        // Distributions clear each page and buffer before its use, which more than doubles the time of a `stat` here.
        parameters.push("init_on_alloc=0".into());
    }
    parameters.push(spec.cmdline.clone());
    parameters.join(" ")
}

/// In QEMU's options a comma ends a value, and two are one comma.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::engine::{DiskSocket, ShareSocket};

    fn spec(cpus: u32, shares: &[&str], accel: Accel) -> VmSpec {
        let null = || File::open("/dev/null").unwrap().into();
        VmSpec {
            name: "build".into(),
            cpus,
            memory_mib: 512,
            kernel: "vmlinux".into(),
            initramfs: "initramfs".into(),
            cmdline: "quiet panic=-1 reboot=a".into(),
            shares: shares.iter().map(|tag| ShareSocket { tag: (*tag).into(), socket: null() }).collect(),
            disks: Vec::new(),
            vsock: null(),
            accel,
        }
    }

    fn text(spec: &VmSpec, tsc_khz: Option<u64>) -> String {
        let words = args(spec, tsc_khz);
        let mut text = String::new();
        for word in words.iter().map(|word| word.to_str().unwrap()) {
            text += if word.starts_with('-') { "\n" } else { " " };
            text += word;
        }
        text + "\n"
    }

    #[test]
    fn emulated_machine_with_few_shares_is_a_microvm() {
        assert_eq!(
            text(&spec(1, &["root", "share0"], Accel::Tcg), Some(2_600_000)),
            "
-name guest=build
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-machine microvm,memory-backend=memory,acpi=on,pic=on,pit=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off
-accel tcg,thread=multi
-cpu max,svm=off,aes=off,pclmulqdq=off,erms=off,fsrm=off
-smp 1
-m 512M
-object memory-backend-memfd,id=memory,size=512M,share=on
-global virtio-mmio.force-legacy=false
-display none
-chardev socket,id=qmp,fd=3
-mon chardev=qmp,mode=control
-chardev socket,id=console,fd=4
-serial chardev:console
-kernel /proc/self/fd/5
-initrd /proc/self/fd/6
-append console=ttyS0 cryptomgr.notests=1 tsc_early_khz=2600000 tsc=reliable no_timer_check init_on_alloc=0 quiet panic=-1 reboot=a
-chardev socket,id=vsock,fd=7
-device vhost-user-vsock-device,chardev=vsock
-chardev socket,id=share0,fd=8
-device vhost-user-fs-device,chardev=share0,tag=root,queue-size=1024
-chardev socket,id=share1,fd=9
-device vhost-user-fs-device,chardev=share1,tag=share0,queue-size=1024
-S
-nodefaults
-no-user-config
-no-reboot
"
        );
    }

    #[test]
    fn several_cpus_keep_their_own_timers() {
        let text = text(&spec(2, &[], Accel::Tcg), None);
        assert!(text.contains("\n-smp 2\n"));
        assert!(text.contains(" tsc=reliable no_timer_check init_on_alloc=0 quiet panic=-1 reboot=a\n"), "{text}");
    }

    #[test]
    fn virtualized_machine_needs_no_help_with_its_clock() {
        let text = text(&spec(1, &[], Accel::Kvm), Some(2_600_000));
        for line in [
            "-accel kvm",
            "-cpu host,svm=off,vmx=off",
            "-append console=ttyS0 cryptomgr.notests=1 quiet panic=-1 reboot=a",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in{text}");
        }
    }

    #[test]
    fn more_than_twenty_devices_need_a_pci_bus() {
        let tags: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let largest = text(&spec(1, &tags[..19], Accel::Tcg), None);
        assert!(largest.contains("-machine microvm,") && largest.contains("vhost-user-fs-device,chardev=share18,"));
        let text = text(&spec(1, &tags, Accel::Tcg), None);
        assert!(text.contains("\n-machine q35,memory-backend=memory,usb=off,sata=off,smbus=off,vmport=off\n"));
        assert!(text.contains("\n-device vhost-user-vsock-pci,chardev=vsock\n"));
        assert!(
            text.contains("\n-chardev socket,id=share19,fd=27\n-device vhost-user-fs-pci,chardev=share19,tag=t19,")
        );
    }

    #[test]
    fn disks_follow_the_shares_and_count_as_devices() {
        let disk = || DiskSocket { socket: File::open("/dev/null").unwrap().into() };
        let mut few = spec(1, &["share0"], Accel::Tcg);
        few.disks = vec![disk(), disk()];
        assert!(
            text(&few, None).contains(
                "
-chardev socket,id=disk0,fd=9
-device vhost-user-blk,chardev=disk0,num-queues=1,queue-size=256
-chardev socket,id=disk1,fd=10
-device vhost-user-blk,chardev=disk1,num-queues=1,queue-size=256
-S
"
            ),
            "{}",
            text(&few, None)
        );
        let tags: Vec<String> = (0..19).map(|number| format!("t{number}")).collect();
        let mut many = spec(1, &tags.iter().map(String::as_str).collect::<Vec<_>>(), Accel::Tcg);
        many.disks = vec![disk()];
        assert!(text(&many, None).contains("\n-device vhost-user-blk-pci,chardev=disk0,"));
    }

    #[test]
    fn commas_do_not_end_a_value() {
        let mut spec = spec(1, &["a,tag=b"], Accel::Tcg);
        spec.name = "x,process=y".into();
        let text = text(&spec, None);
        assert!(text.contains("tag=a,,tag=b,queue-size") && text.contains("guest=x,,process=y\n"), "{text}");
    }
}
