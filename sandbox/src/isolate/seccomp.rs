//! The system calls that an agent must not make: what reaches past the namespaces, what Landlock does not see, and kernel
//! surface that no agent needs.
//!
//! A list of refusals, not of permissions: agents run compilers, browsers and interpreters. Each group says why it is here.

use std::{io, os::fd::OwnedFd};

use libc::c_long;

use super::bpf::{self, Answer, Half, Rule, When};
use crate::{spec::CallerCheck, sys};

/// Puts the filter on this process and everything that it starts. With callers to be known, every `connect()` waits for
/// whoever holds the listener that is given; `None` where this kernel grants none, which leaves the filter without it.
///
/// # Errors
/// Those of seccomp(2).
pub(crate) fn install(callers: CallerCheck) -> io::Result<Option<OwnedFd>> {
    if callers.are_known() {
        // Refused in a container that has a listener of its own: the kernel has one for a process.
        if let Ok(listener) = sys::install_filter_with_listener(&bpf::assemble(&asking_rules())) {
            return Ok(Some(listener));
        }
    }
    sys::install_filter(&bpf::assemble(&rules())).map(|()| None)
}

const DENIED: Answer = Answer::Fail(libc::EPERM);
/// The call is not made and succeeds.
const PRETENDED: Answer = Answer::Fail(0);
const UNKNOWN: Answer = Answer::Fail(libc::ENOSYS);
const NO_FAMILY: Answer = Answer::Fail(libc::EAFNOSUPPORT);
const NO_PROTOCOL: Answer = Answer::Fail(libc::EPROTONOSUPPORT);
const NO_OPTION: Answer = Answer::Fail(libc::ENOPROTOOPT);

fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = denied_calls()
        .into_iter()
        .map(|call| Rule { call, when: Vec::new(), answer: DENIED })
        .collect();
    rules.extend(namespaces());
    rules.extend(sockets());
    rules.extend(arguments());
    rules
}

/// The same, with a question before each `connect()`: the only way to a TCP connection, as fast open is refused below. The
/// kind of socket is not to be seen here, so the others wait too, for as long as it takes to look.
fn asking_rules() -> Vec<Rule> {
    let mut rules = rules();
    rules.push(rule(libc::SYS_connect, [], Answer::Ask));
    rules
}

/// Refused whatever their arguments.
fn denied_calls() -> Vec<c_long> {
    let mut calls = vec![
        // other processes
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        // mounts and roots
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        OPEN_TREE_ATTR,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_acct,
        // namespaces of others
        libc::SYS_setns,
        // kernel surface with a history
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_vhangup,
        libc::SYS_fanotify_init,
        libc::SYS_lookup_dcookie,
        libc::SYS_move_pages,
        libc::SYS_migrate_pages,
        // the machine
        libc::SYS_reboot,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_syslog,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
        libc::SYS_uselib,
        libc::SYS_ustat,
        libc::SYS_sysfs,
        libc::SYS__sysctl,
        libc::SYS_nfsservctl,
    ]);
    calls
}

/// `open_tree_attr`, which libc does not name yet (Linux 6.15).
const OPEN_TREE_ATTR: c_long = 467;

const NEW_NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP)
    .cast_unsigned()
    | CLONE_NEWTIME;
const CLONE_NEWTIME: u32 = 0x80;

fn namespaces() -> Vec<Rule> {
    vec![
        // In clone, the bit of CLONE_NEWTIME belongs to the signal sent at the end.
        rule(libc::SYS_clone, [When::Has(Half::Low(0), NEW_NAMESPACES & !CLONE_NEWTIME)], DENIED),
        rule(libc::SYS_unshare, [When::Has(Half::Low(0), NEW_NAMESPACES)], DENIED),
        // Its flags lie in memory, where no filter sees them; libraries fall back to clone.
        rule(libc::SYS_clone3, [], UNKNOWN),
    ]
}

const UNIX: u32 = libc::AF_UNIX.cast_unsigned();
const INET: u32 = libc::AF_INET.cast_unsigned();
const INET6: u32 = libc::AF_INET6.cast_unsigned();
const NETLINK: u32 = libc::AF_NETLINK.cast_unsigned();
const SOCKET_TYPE: u32 = 0xf;
const STREAM: u32 = libc::SOCK_STREAM.cast_unsigned();
const DATAGRAM: u32 = libc::SOCK_DGRAM.cast_unsigned();
const TCP: u32 = libc::IPPROTO_TCP.cast_unsigned();
const UDP: u32 = libc::IPPROTO_UDP.cast_unsigned();

/// Plain TCP and UDP, sockets of the same machine, and the question for its own addresses.
fn sockets() -> Vec<Rule> {
    let family = Half::Low(0);
    let is_not = |value| When::IsNot(family, u32::MAX, value);
    let mut rules = vec![
        rule(
            libc::SYS_socket,
            [is_not(UNIX), is_not(INET), is_not(INET6), is_not(NETLINK)],
            NO_FAMILY,
        ),
        rule(libc::SYS_socketpair, [is_not(UNIX)], NO_FAMILY),
        // NETLINK_ROUTE is how libraries list addresses; changes need rights that nobody has in there.
        rule(
            libc::SYS_socket,
            [When::Is(family, u32::MAX, NETLINK), When::IsNot(Half::Low(2), u32::MAX, 0)],
            NO_PROTOCOL,
        ),
    ];
    for internet in [INET, INET6] {
        let is = When::Is(family, u32::MAX, internet);
        let kind = |value| When::IsNot(Half::Low(1), SOCKET_TYPE, value);
        let protocol = |value| When::IsNot(Half::Low(2), u32::MAX, value);
        rules.push(rule(libc::SYS_socket, [is, kind(STREAM), kind(DATAGRAM)], DENIED));
        // MPTCP and SCTP are not what Landlock and the capture know; ICMP answers for every address in here.
        rules.push(rule(
            libc::SYS_socket,
            [is, protocol(0), protocol(TCP), protocol(UDP)],
            NO_PROTOCOL,
        ));
    }
    rules
}

const FAST_OPEN: u32 = libc::MSG_FASTOPEN.cast_unsigned();
/// Ioctls that type into a terminal, speak to the console, or load a line discipline.
const TERMINAL_TRICKS: [u32; 3] = [0x5412, 0x541c, 0x5423];
const RLIMIT_CORE: u32 = 4;

fn arguments() -> Vec<Rule> {
    let mut rules = vec![
        // Data in the first packet: a connection without connect().
        rule(libc::SYS_sendto, [When::Has(Half::Low(3), FAST_OPEN)], DENIED),
        rule(libc::SYS_sendmsg, [When::Has(Half::Low(2), FAST_OPEN)], DENIED),
        rule(libc::SYS_sendmmsg, [When::Has(Half::Low(3), FAST_OPEN)], DENIED),
        rule(
            libc::SYS_setsockopt,
            [
                When::Is(Half::Low(1), u32::MAX, TCP),
                When::Is(Half::Low(2), u32::MAX, libc::TCP_FASTOPEN_CONNECT.cast_unsigned()),
            ],
            NO_OPTION,
        ),
        // A filter that hands calls to a listener could answer for the supervisor.
        rule(
            libc::SYS_seccomp,
            [
                When::Is(Half::Low(0), u32::MAX, libc::SECCOMP_SET_MODE_FILTER),
                When::Has(Half::Low(1), NEW_LISTENER),
            ],
            DENIED,
        ),
    ];
    rules.extend(
        TERMINAL_TRICKS.map(|command| {
            rule(libc::SYS_ioctl, [When::Is(Half::Low(1), u32::MAX, command)], DENIED)
        }),
    );
    // The one byte that keeps a core from being piped to a program of the host (see `limits`). Agents for keys set zero and
    // end when that fails, so they are told that it was done, and what they want holds. Reading it stays allowed.
    for half in [Half::Low(2), Half::High(2)] {
        let sets = [When::Is(Half::Low(1), u32::MAX, RLIMIT_CORE), When::Has(half, u32::MAX)];
        rules.push(rule(libc::SYS_prlimit64, sets, PRETENDED));
    }
    let sets = [When::Is(Half::Low(0), u32::MAX, RLIMIT_CORE)];
    rules.push(rule(libc::SYS_setrlimit, sets, PRETENDED));
    rules
}

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
const NEW_LISTENER: u32 = 1 << 3;

fn rule<const N: usize>(call: c_long, when: [When; N], answer: Answer) -> Rule {
    Rule { call, when: when.to_vec(), answer }
}

#[cfg(test)]
mod tests {
    use super::{
        super::bpf::{
            ARCHITECTURE,
            tests::{Call, run},
        },
        *,
    };

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn answer(call: c_long, arguments: [u64; 6]) -> u32 {
        let number = u32::try_from(call).unwrap();
        run(&bpf::assemble(&rules()), Call { arch: ARCHITECTURE, number, arguments })
    }

    fn socket(family: i32, kind: i32, protocol: i32) -> u32 {
        let word = |number: i32| u64::from(number.cast_unsigned());
        answer(libc::SYS_socket, [word(family), word(kind), word(protocol), 0, 0, 0])
    }

    #[test]
    fn the_program_fits_and_no_jump_is_cut_short() {
        let program = bpf::assemble(&rules());
        assert!(program.len() < 4096, "{}", program.len());
        assert!(program.iter().all(|one| one.jt < u8::MAX && one.jf < u8::MAX));
    }

    #[test]
    fn plain_sockets_pass_and_others_do_not() {
        for (family, kind, protocol) in [
            (libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
            (libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, libc::IPPROTO_TCP),
            (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
            (libc::AF_INET, libc::SOCK_DGRAM, 0),
            (libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0),
        ] {
            assert_eq!(socket(family, kind, protocol), ALLOW, "{family} {kind} {protocol}");
        }
        for (family, kind, protocol, expected) in [
            (libc::AF_VSOCK, libc::SOCK_STREAM, 0, NO_FAMILY),
            (libc::AF_ALG, libc::SOCK_SEQPACKET, 0, NO_FAMILY),
            (libc::AF_PACKET, libc::SOCK_RAW, 0x300, NO_FAMILY),
            (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER, NO_PROTOCOL),
            (libc::AF_INET, libc::SOCK_RAW, 255, DENIED),
            (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP, DENIED),
            (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP, NO_PROTOCOL),
            (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_SCTP, NO_PROTOCOL),
            (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP, NO_PROTOCOL),
        ] {
            assert_eq!(
                socket(family, kind, protocol),
                expected.code(),
                "{family} {kind} {protocol}"
            );
        }
    }

    #[test]
    fn garbage_in_the_high_half_hides_nothing() {
        let high = 0xdead_beef_u64 << 32;
        let family = u64::from(libc::AF_VSOCK.cast_unsigned());
        assert_eq!(answer(libc::SYS_socket, [high | family, 1, 0, 0, 0, 0]), NO_FAMILY.code());
        assert_eq!(answer(libc::SYS_ioctl, [0, high | 0x5412, 0, 0, 0, 0]), DENIED.code());
        let flags = high | u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        assert_eq!(answer(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]), DENIED.code());
    }

    #[test]
    fn threads_and_forks_pass_and_namespaces_do_not() {
        let thread =
            u64::from((libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND).cast_unsigned());
        assert_eq!(answer(libc::SYS_clone, [thread, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(libc::SYS_clone, [17, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(
            answer(
                libc::SYS_unshare,
                [u64::from(libc::CLONE_FILES.cast_unsigned()), 0, 0, 0, 0, 0]
            ),
            ALLOW
        );
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWNS, 0x80] {
            let flags = u64::from(flag.cast_unsigned());
            assert_eq!(
                answer(libc::SYS_unshare, [flags, 0, 0, 0, 0, 0]),
                DENIED.code(),
                "{flag:#x}"
            );
        }
        assert_eq!(answer(libc::SYS_clone3, [0; 6]), UNKNOWN.code());
    }

    #[test]
    fn the_limit_on_cores_can_be_read_and_not_set() {
        assert_eq!(answer(libc::SYS_prlimit64, [0, 4, 0, 0x7fff_0000_1000, 0, 0]), ALLOW);
        assert_eq!(
            answer(libc::SYS_prlimit64, [0, 4, 0x7fff_0000_1000, 0, 0, 0]),
            PRETENDED.code()
        );
        assert_eq!(answer(libc::SYS_prlimit64, [0, 4, 1 << 32, 0, 0, 0]), PRETENDED.code());
        assert_eq!(answer(libc::SYS_prlimit64, [0, 7, 0x7fff_0000_1000, 0, 0, 0]), ALLOW);
    }

    #[test]
    fn a_question_comes_before_connect_and_changes_nothing_else() {
        let asking = bpf::assemble(&asking_rules());
        for call in 0..500_u32 {
            let whole = Call { arch: ARCHITECTURE, number: call, arguments: [3, 8, 0, 0, 0, 0] };
            let asks = c_long::from(call) == libc::SYS_connect;
            let plain = run(&bpf::assemble(&rules()), whole);
            let expected = if asks { libc::SECCOMP_RET_USER_NOTIF } else { plain };
            assert_eq!(run(&asking, whole), expected, "{call}");
            assert!(!asks || plain == ALLOW);
        }
    }

    #[test]
    fn a_first_packet_with_data_is_refused() {
        let flag = u64::from(FAST_OPEN);
        assert_eq!(answer(libc::SYS_sendto, [3, 0, 0, flag, 0, 0]), DENIED.code());
        assert_eq!(answer(libc::SYS_sendto, [3, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(answer(libc::SYS_setsockopt, [3, 6, 30, 0, 0, 0]), NO_OPTION.code());
        assert_eq!(answer(libc::SYS_setsockopt, [3, 6, 1, 0, 0, 0]), ALLOW);
    }
}
