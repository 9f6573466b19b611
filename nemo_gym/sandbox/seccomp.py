"""The filter of system calls: a program for the kernel that refuses what no ordinary program needs."""

from __future__ import annotations

import errno
import os
import platform
import struct
import tempfile
from dataclasses import dataclass

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER_OR_EQUAL = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ERRNO = 0x00050000

# Places in `struct seccomp_data`; arguments are 64 bits wide, the lower half first.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24

_NEW_NAMESPACES = 0x7E020000 | 0x00000080  # CLONE_NEW{CGROUP,UTS,IPC,USER,PID,NET,NS} and CLONE_NEWTIME
_TERMINAL_REQUESTS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX put words into a terminal
_SOCKET_DOMAINS = (1, 2, 10, 16)  # unix, inet, inet6, netlink (which the look-up of names asks)

# Numbers that are the same everywhere, from 424 on.
_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "mount_setattr": 442,
    "quotactl_fd": 443,
}  # fmt: skip
_X86_64 = {
    "ptrace": 101, "syslog": 103, "personality": 135, "modify_ldt": 154, "pivot_root": 155, "adjtimex": 159,
    "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175,
    "delete_module": 176, "quotactl": 179, "clock_settime": 227, "kexec_load": 246, "add_key": 248, "request_key": 249,
    "keyctl": 250, "unshare": 272, "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
}  # fmt: skip
_AARCH64 = {
    "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "vhangup": 58, "quotactl": 60, "acct": 89,
    "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106,
    "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142, "sethostname": 161, "setdomainname": 162,
    "settimeofday": 170, "adjtimex": 171, "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224,
    "swapoff": 225, "perf_event_open": 241, "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266,
    "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "bpf": 280,
    "userfaultfd": 282, "kexec_file_load": 294,
}  # fmt: skip


@dataclass(frozen=True)
class _Machine:
    audit: int
    """The kernel's name for the architecture."""
    refused: dict[str, int]
    clone: int
    clone3: int
    ioctl: int
    socket: int
    foreign_from: int | None = None
    """Calls from this number on are of another convention of the same machine."""


_MACHINES = {
    "x86_64": _Machine(0xC000003E, _X86_64, 56, 435, 16, 41, 0x40000000),
    "aarch64": _Machine(0xC00000B7, _AARCH64, 220, 435, 29, 198),
}


def filter_program(machine: str) -> bytes | None:
    """The filter as the kernel takes it, or None for a machine whose call numbers are not known here.

    Refused with EPERM: mounts, tracing and reading other processes, new namespaces, keys, kernel modules, BPF,
    io_uring, the clock. `clone3` hides its flags in memory and does not exist here (ENOSYS): libraries use `clone`.
    """
    known = _MACHINES.get(machine)
    if known is None:
        return None
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if known.foreign_from is not None:
        code += [(_JUMP_GREATER_OR_EQUAL, 0, 1, known.foreign_from), (_RETURN, 0, 0, _KILL)]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    for number in sorted({*known.refused.values(), *_COMMON.values()}):
        code += [(_JUMP_EQUAL, 0, 1, number), refuse]
    code += [(_JUMP_EQUAL, 0, 1, known.clone3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    code += [
        (_JUMP_EQUAL, 0, 4, known.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    first, second = _TERMINAL_REQUESTS
    code += [
        (_JUMP_EQUAL, 0, 5, known.ioctl),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_JUMP_EQUAL, 1, 0, first),
        (_JUMP_EQUAL, 0, 1, second),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    allowed = len(_SOCKET_DOMAINS)
    code += [(_JUMP_EQUAL, 0, allowed + 2, known.socket), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    code += [(_JUMP_EQUAL, allowed - index, 0, domain) for index, domain in enumerate(_SOCKET_DOMAINS)]
    code += [(_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def open_filter() -> int | None:
    """A file handle that holds the filter for this machine, to be inherited by a child; None where there is none."""
    program = filter_program(platform.machine())
    if program is None:
        return None
    with tempfile.TemporaryFile() as file:
        file.write(program)
        file.flush()
        handle = os.dup(file.fileno())
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
