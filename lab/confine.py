"""Runs a program with what a systemd unit leaves it, where there is no systemd.

usage: confine.py UNIT [--rw DIRECTORY]... -- PROGRAM [ARGUMENT]...

It does what systemd.exec(5) says of the options that are named below, in a mount namespace
of its own, and executes PROGRAM in its place. --rw is a further ReadWritePaths= of a drop-in.
An option that it does not know is an error, so that none is thought to be tested which is not.
"""
import ctypes
import os
import resource
import subprocess
import sys

# What is about starting and stopping, and not about rights.
NOT_RIGHTS = {
    "Type", "NotifyAccess", "ExecStart", "TimeoutStopSec", "KillMode", "Restart", "RestartSec", "RestartPreventExitStatus",
    "RuntimeDirectoryPreserve", "StateDirectoryMode", "RuntimeDirectoryMode",
}
# What is nothing beside the rest: names and clocks need capabilities that are not there.
NOTHING_HERE = {"ProtectHostname", "ProtectClock", "ProtectKernelModules"}
APPLIED = {
    "StateDirectory", "RuntimeDirectory", "ReadWritePaths", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectProc",
    "ProtectKernelTunables", "ProtectKernelLogs", "ProtectControlGroups", "CapabilityBoundingSet", "NoNewPrivileges",
    "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
    "MemoryDenyWriteExecute", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber", "UMask", "LimitNOFILE",
}

libc = ctypes.CDLL("libc.so.6", use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_SLAVE = 1, 32, 4096, 8192, 16384, 1 << 19
MOUNT_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
CLONE_NEWNS = 0x20000
NAMESPACES = 0x7E020080  # every CLONE_NEW...
EPERM, ENOSYS = 1, 38
CAPABILITIES = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice
sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm
block_suspend audit_read perfmon bpf checkpoint_restore""".split()
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}


def check(result, what):
    if result != 0:
        errno = ctypes.get_errno() or -result
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def read_unit(path):
    unit, section = {}, ""
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.strip()
            if line.startswith("["):
                section = line
            elif section == "[Service]" and line and line[0] not in "#;":
                key, _, value = line.partition("=")
                if key not in NOT_RIGHTS | NOTHING_HERE | APPLIED:
                    sys.exit(f"confine.py: {key}= is not known here: apply it, or say why it is nothing")
                unit.setdefault(key, []).extend(value.split())
    return unit


def mount(source, target, kind, flags, data=None):
    encode = lambda s: None if s is None else s.encode()
    check(libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data)), f"mount {target}")


def read_only(path, flags=0):
    mount(None, path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def mounts():
    with open("/proc/self/mounts", encoding="utf-8") as f:
        for line in f:
            _, path, _, options, *_ = line.split()
            flags = 0
            for o in options.split(","):
                flags |= MOUNT_FLAGS.get(o, 0)
            yield path.replace("\\040", " "), flags


def below(path, directories):
    return any(path == d or path.startswith(d.rstrip("/") + "/") for d in directories)


def yes(unit, key):
    return unit.get(key, ["no"])[-1] in ("yes", "true", "1", "on")


def confine_files(unit, more):
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount(None, "/", None, MS_REC | MS_SLAVE)
    writable = [f"/var/lib/{d}" for d in unit.get("StateDirectory", [])] + [f"/run/{d}" for d in unit.get("RuntimeDirectory", [])]
    for d in writable:
        os.makedirs(d, exist_ok=True)
    for d in unit.get("ReadWritePaths", []) + more:
        if os.path.exists(d.lstrip("-")):
            writable.append(d.lstrip("-"))
        elif not d.startswith("-"):
            sys.exit(f"confine.py: ReadWritePaths={d}: there is no such directory")
    for d in writable:
        mount(d, d, None, MS_BIND | MS_REC)
    if unit.get("ProtectHome") == ["yes"]:
        for d in ("/home", "/root", "/run/user"):
            if os.path.isdir(d):
                mount("tmpfs", d, "tmpfs", MS_RDONLY, "mode=0000")
    if yes(unit, "PrivateTmp"):
        for d in ("/tmp", "/var/tmp"):
            mount("tmpfs", d, "tmpfs", 2 | 4, "mode=1777")
            writable.append(d)
    if yes(unit, "PrivateDevices"):
        private_devices()
    if yes(unit, "ProtectKernelLogs"):
        for f in ("/dev/kmsg", "/proc/kmsg"):
            if os.path.exists(f):
                mount("/dev/null", f, None, MS_BIND)
    if unit.get("ProtectProc") == ["invisible"]:
        mount("proc", "/proc", "proc", 2 | 4 | 8, "hidepid=invisible")
    protected = []
    if yes(unit, "ProtectKernelTunables"):
        mount("/proc/sys", "/proc/sys", None, MS_BIND | MS_REC)
        protected += ["/proc/sys", "/sys"]
    if yes(unit, "ProtectControlGroups"):
        protected.append("/sys/fs/cgroup")
    strict = unit.get("ProtectSystem") == ["strict"]
    for path, flags in list(mounts()):
        if below(path, protected) or strict and not below(path, ["/dev", "/proc", "/sys"] + writable):
            if os.path.lexists(path):
                read_only(path, flags)


def private_devices():
    staging = "/tmp/devices" if os.path.isdir("/tmp") else "/run/devices"
    os.makedirs(staging, exist_ok=True)
    mount("tmpfs", staging, "tmpfs", 2 | 8, "mode=0755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        with open(f"{staging}/{name}", "w", encoding="utf-8"):
            pass
        mount(f"/dev/{name}", f"{staging}/{name}", None, MS_BIND)
    for name in ("shm", "pts", "mqueue"):
        os.mkdir(f"{staging}/{name}")
        if os.path.isdir(f"/dev/{name}"):
            mount(f"/dev/{name}", f"{staging}/{name}", None, MS_BIND | MS_REC)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
        os.symlink(target, f"{staging}/{name}")
    mount(staging, "/dev", None, MS_MOVE)
    os.rmdir(staging)


def drop_capabilities(unit):
    if "CapabilityBoundingSet" not in unit:
        return
    keep = {c.removeprefix("CAP_").lower() for c in unit["CapabilityBoundingSet"]}
    unknown = keep - set(CAPABILITIES)
    if unknown:
        sys.exit(f"confine.py: no capability is called {unknown}")
    with open("/proc/sys/kernel/cap_last_cap", encoding="utf-8") as f:
        last = int(f.read())
    for number, name in enumerate(CAPABILITIES):
        if name not in keep and number <= last:
            check(libc.prctl(24, number, 0, 0, 0), f"drop CAP_{name.upper()}")  # PR_CAPBSET_DROP


def syscall_groups():
    out = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True, capture_output=True, text=True).stdout
    groups, current = {}, None
    for line in out.splitlines():
        if line.startswith("@"):
            current = groups.setdefault(line.strip(), [])
        elif not line.strip():
            current = None
        elif current is not None and not line.strip().startswith("#"):
            current.append(line.strip())
    return groups


def syscall_names(words, groups):
    for w in words:
        if w.startswith("@"):
            yield from syscall_names(groups[w], groups)
        else:
            yield w


def filter_of(unit):
    """The names of the system calls that are left. Each line of a unit that this is for has one word."""
    groups = syscall_groups()
    allowed = set(syscall_names(["@default"], groups)) | {"execve", "exit", "exit_group", "restart_syscall"}
    for w in unit["SystemCallFilter"]:
        names = set(syscall_names([w.lstrip("~")], groups))
        allowed = allowed - names if w.startswith("~") else allowed | names
    return allowed


class Arg(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


EQ, MASKED = 4, 7
ALLOW = 0x7FFF0000


def conditions(unit):
    """System calls that are allowed with some arguments only: each list of lists is an or of ands."""
    out = {}
    if "RestrictAddressFamilies" in unit:
        out["socket"] = [[(0, EQ, FAMILIES[f], 0)] for f in unit["RestrictAddressFamilies"]]
    if yes(unit, "RestrictNamespaces"):
        out["clone"] = [[(0, MASKED, NAMESPACES, 0)]]
        out["unshare"] = [[(0, MASKED, NAMESPACES, 0)]]
        out["setns"] = []
    if yes(unit, "MemoryDenyWriteExecute"):
        out["mmap"] = [[(2, MASKED, 4, 0)], [(2, MASKED, 2, 0)]]
        out["mprotect"] = out["pkey_mprotect"] = [[(2, MASKED, 4, 0)]]
        out["shmat"] = [[(2, MASKED, 0o100000, 0)]]
    if yes(unit, "RestrictSUIDSGID"):
        for name, at in {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mkdir": 1, "mkdirat": 2, "creat": 1, "mknod": 1, "mknodat": 2}.items():
            out[name] = [[(at, MASKED, 0o6000, 0)]]
        for name, at in {"open": 1, "openat": 2}.items():
            out[name] = [[(at, MASKED, os.O_CREAT, 0)], [(at + 1, MASKED, 0o6000, 0)]]
    if yes(unit, "RestrictRealtime"):
        out["sched_setscheduler"] = [[(1, EQ, p, 0)] for p in (0, 3, 5)]
    if yes(unit, "LockPersonality"):
        out["personality"] = [[(0, EQ, 0, 0)], [(0, EQ, 0xFFFFFFFF, 0)]]
    return out


def restrict_syscalls(unit):
    if "SystemCallFilter" not in unit:
        return
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(0x00050000 | EPERM)))
    conditional = conditions(unit)
    missing = {}
    if yes(unit, "RestrictNamespaces"):
        missing["clone3"] = ENOSYS  # its flags cannot be looked at: callers then use clone
    if yes(unit, "RestrictSUIDSGID"):
        missing["openat2"] = missing["fchmodat2"] = ENOSYS
    for name in filter_of(unit):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # of another architecture, or newer than this libseccomp
        if name in missing:
            check(seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(0x00050000 | missing[name]), number, 0, None), name)
            continue
        for alternative in conditional.get(name, [[]]):
            rules = (Arg * len(alternative))(*[Arg(*a) for a in alternative])
            check(seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, len(alternative), rules), name)
    check(seccomp.seccomp_load(context), "load the filter")


def main(argv):
    unit, more, rest = read_unit(argv[0]), [], argv[1:]
    while rest[0] == "--rw":
        more.append(rest[1])
        rest = rest[2:]
    program = rest[1:]
    if unit.get("SystemCallErrorNumber", ["EPERM"]) != ["EPERM"] or unit.get("SystemCallArchitectures") != ["native"]:
        sys.exit("confine.py: the filter here refuses with EPERM and takes native calls only")
    if "LimitNOFILE" in unit:
        n = int(unit["LimitNOFILE"][-1])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        n = min(n, hard) if hard != resource.RLIM_INFINITY else n  # a container may not raise it
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
    confine_files(unit, more)
    if "UMask" in unit:
        os.umask(int(unit["UMask"][-1], 8))
    drop_capabilities(unit)
    if yes(unit, "NoNewPrivileges"):
        check(libc.prctl(38, 1, 0, 0, 0), "no new privileges")  # PR_SET_NO_NEW_PRIVS
    restrict_syscalls(unit)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
