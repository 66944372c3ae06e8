#!/usr/bin/env python3
"""Captures what QEMU writes when it migrates a guest, one file per connection.

    capture.py DIRECTORY [ROOT]

ROOT is a file system with another QEMU than the machine's, e.g. the lab's Debian 13
root. Needs root for that, and zstd. The guest is 64 KiB of firmware that fills
512 KiB of its 16 MiB with a pattern and then writes the first word of each of
these 128 pages for ever. Migration is slow at first, so that there are several rounds.
"""
import json, os, re, shutil, socket, subprocess, sys, tempfile, threading, time

FIRMWARE = bytes.fromhex(
    "fa fc b80010"                                  # cli; cld; mov ax,0x1000
    "8ec0 31ff b90008 f3ab 050001 3d0090 72ef"      # fill each page from 0x10000 to 0x90000 with its segment
    "45 0f20c0 663500000100 0f22c0 b80010"          # inc bp; cr0 ^= WP, for the TLB's sake; mov ax,0x1000
    "8ed8 892e0000 050001 3d0090 72f2 ebe0")        # its first word becomes bp; and again from inc bp

CAPTURES = {
    "plain": {},
    "xbzrle": {"xbzrle": True},
    "multifd": {"multifd": True},
    "multifd-zlib": {"multifd": True},
    "compress": {"compress": True},   # until QEMU 9.0
    "postcopy": {"postcopy-ram": True},
}


class QEMU:
    def __init__(self, work, name, root, *more):
        self.path = os.path.join(work, name + ".qmp")
        inside = "/mnt" if root else work
        command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "pc", "-m", "16", "-nodefaults", "-vga", "none",
                   "-display", "none", "-bios", inside + "/firmware", "-qmp", f"unix:{inside}/{name}.qmp,server=on,wait=off",
                   *[m.replace(work, inside) for m in more]]
        if root:
            command = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1/mnt" && exec chroot "$@"', work, root] + command
        self.process = subprocess.Popen(command)
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(self.path) != 0:
            if self.process.poll() is not None:
                raise SystemExit("QEMU ended")
            time.sleep(0.05)
        self.file = self.socket.makefile("r")
        version = json.loads(self.file.readline())["QMP"]["version"]
        self.version, self.package = version["qemu"], version["package"]
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def end(self):
        self.process.kill()
        self.process.wait()


def copy(source, target, record):
    """Carries one direction until its end; what passes is appended to record."""
    try:
        while data := source.recv(1 << 16):
            if record is not None:
                record.write(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def relay(listener, target, prefix, threads):
    for number in range(16):
        try:
            a, _ = listener.accept()
        except OSError:
            return
        b = socket.socket(socket.AF_UNIX)
        b.connect(target)
        record = open(f"{prefix}.{number}", "wb", buffering=0)
        for args in ((a, b, record), (b, a, None)):
            threads.append(threading.Thread(target=copy, args=args))
            threads[-1].start()


def capture(directory, root, name, capabilities):
    work = tempfile.mkdtemp()
    try:
        with open(work + "/firmware", "wb") as f:
            f.write(FIRMWARE.ljust(0xfff0, b"\0") + bytes.fromhex("ea000000f0").ljust(16, b"\0"))
        src = QEMU(work, "src", root)
        dst = QEMU(work, "dst", root, "-incoming", "defer")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(work + "/relay")
        listener.listen(16)
        prefix = f"{work}/qemu{src.version['major']}.{src.version['minor']}-{name}"
        threads = []
        try:
            for q in src, dst:
                q.do("migrate-set-capabilities", capabilities=[{"capability": c, "state": s} for c, s in capabilities.items()])
                if "multifd" in capabilities:
                    q.do("migrate-set-parameters", **{"multifd-channels": 2})
                if name == "multifd-zlib":
                    q.do("migrate-set-parameters", **{"multifd-compression": "zlib"})
            src.do("migrate-set-parameters", **{"max-bandwidth": 2 << 20, "downtime-limit": 1, "max-postcopy-bandwidth": 2 << 20})
            inside = "/mnt" if root else work
            dst.do("migrate-incoming", uri=f"unix:{inside}/in")
            threading.Thread(target=relay, args=(listener, work + "/in", prefix, threads)).start()
            src.do("migrate", uri=f"unix:{inside}/relay")
            time.sleep(1)
            if name == "postcopy":
                src.do("migrate-start-postcopy")
            src.do("migrate-set-parameters", **{"downtime-limit": 2000})
            while (result := src.do("query-migrate"))["status"] not in ("completed", "failed"):
                time.sleep(0.1)
            if result["status"] != "completed":
                raise RuntimeError("migration failed")
            ram = result["ram"]
            with open(f"{directory}/{os.path.basename(prefix)}.json", "w") as f:
                json.dump({"package": src.package, "normal": ram["normal"], "zero": ram["duplicate"],
                           "rounds": ram["dirty-sync-count"]}, f)
            time.sleep(0.2)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            src.end()
            dst.end()
            for t in threads:
                t.join()
        for entry in os.listdir(work):
            if re.match(r"qemu.*\.\d+$", entry):
                subprocess.check_call(["zstd", "-q", "-19", "--rm", "-f", f"{work}/{entry}", "-o", f"{directory}/{entry}.zst"])
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    for name, capabilities in CAPTURES.items():
        try:
            capture(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "", name, capabilities)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
