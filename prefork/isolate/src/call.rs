//! The system calls that can be refused, by their names.

use nix::libc;

/// A system call that serving requests seldom takes, and that has been a way to harm others or the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Call(usize);

macro_rules! calls {
    ($($name:ident = $number:ident,)*) => {
        const CALLS: &[(&str, libc::c_long)] = &[$((stringify!($name), libc::$number),)*];
    };
}

calls! {
    acct = SYS_acct,
    add_key = SYS_add_key,
    bpf = SYS_bpf,
    chroot = SYS_chroot,
    delete_module = SYS_delete_module,
    execve = SYS_execve,
    execveat = SYS_execveat,
    fanotify_init = SYS_fanotify_init,
    finit_module = SYS_finit_module,
    init_module = SYS_init_module,
    io_uring_setup = SYS_io_uring_setup,
    kcmp = SYS_kcmp,
    kexec_load = SYS_kexec_load,
    keyctl = SYS_keyctl,
    mbind = SYS_mbind,
    memfd_create = SYS_memfd_create,
    migrate_pages = SYS_migrate_pages,
    mount = SYS_mount,
    move_mount = SYS_move_mount,
    move_pages = SYS_move_pages,
    mq_open = SYS_mq_open,
    msgctl = SYS_msgctl,
    msgget = SYS_msgget,
    name_to_handle_at = SYS_name_to_handle_at,
    open_by_handle_at = SYS_open_by_handle_at,
    open_tree = SYS_open_tree,
    perf_event_open = SYS_perf_event_open,
    personality = SYS_personality,
    pidfd_getfd = SYS_pidfd_getfd,
    pidfd_open = SYS_pidfd_open,
    pivot_root = SYS_pivot_root,
    process_vm_readv = SYS_process_vm_readv,
    process_vm_writev = SYS_process_vm_writev,
    ptrace = SYS_ptrace,
    quotactl = SYS_quotactl,
    reboot = SYS_reboot,
    request_key = SYS_request_key,
    semctl = SYS_semctl,
    semget = SYS_semget,
    setns = SYS_setns,
    shmctl = SYS_shmctl,
    shmget = SYS_shmget,
    socket = SYS_socket,
    swapoff = SYS_swapoff,
    swapon = SYS_swapon,
    syslog = SYS_syslog,
    umount2 = SYS_umount2,
    unshare = SYS_unshare,
    userfaultfd = SYS_userfaultfd,
    vhangup = SYS_vhangup,
}

impl Call {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        CALLS.binary_search_by_key(&name, |(name, _)| name).ok().map(Self)
    }

    pub(crate) fn name(self) -> &'static str {
        CALLS[self.0].0
    }

    pub(crate) fn number(self) -> libc::c_long {
        CALLS[self.0].1
    }

    /// All names, in order.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        CALLS.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        assert!(CALLS.is_sorted());
        for name in Call::names() {
            assert_eq!(Call::by_name(name).map(Call::name), Some(name));
        }
        assert_eq!(Call::by_name("read"), None);
    }
}
