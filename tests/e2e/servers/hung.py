# SPDX-License-Identifier: MIT
"""hung.py HOW DIRECTORY [PORT]: a worker with a file server that does not answer.

It mounts FUSE in namespaces of its own, from the device DIRECTORY/fuse (`mknod ... c
10 229`) on DIRECTORY/mnt.  What a system call wants of its files then waits in the
kernel, where no signal ends it, until the server is killed: DIRECTORY/server.PID has
its pid; it ends by itself after 3 minutes.  DIRECTORY/asked is there as soon as it
owes an answer.

HOW: read (the worker reads such a file), address (it calls bind with its address in
one that it reads), epoll (epoll_wait writes its events to one while it holds the set),
file (bind on one's descriptor: DIRECTORY/refused is there when that has failed),
notify, many and fdstore (it sends one's descriptor with READY=1, very many times, or
with FDSTORE=1), options (setsockopt reads one while it holds the listener of PORT), closed
(the same, but slot 0 has closed its copy), list (getdents64 writes to one while it
holds the directory; of all that DIRECTORY/list names: then DIRECTORY/listed is there), exec
(a child is kept in exec, as it is to close one), write (stdout is locked while one is
written there), terminal and size (stdout, a terminal, is while a
child writes one there, or its size is to be written to one), reopen (a child does that to stdout when DIRECTORY/shut is there and
nobody else has it open), swap (slot 1 puts one's descriptor in
the place of a socket that it binds), node (it mounts nothing: as a worker of Node's
cluster it asks for very many unix sockets in DIRECTORY/mnt at once).
directory: not a worker but root, who mounts DIRECTORY/mnt for all; it answers until
DIRECTORY/hang is there, or, if that says "slow", each time 80 ms late.
"""
import array
import ctypes
import errno
import os
import queue
import resource
import select
import signal
import socket
import struct
import sys
import termios
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 18, 25, 26
OPENDIR, RELEASEDIR, ACCESS, INTERRUPT, BATCH_FORGET = 27, 29, 34, 36, 42
ROOT, FILE = 1, 2
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
PR_SET_DUMPABLE = 4
SYS_GETDENTS64 = {"aarch64": 61}.get(os.uname().machine, 217)
IP_OPTIONS = 4

how, directory = sys.argv[1:3]
port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
mountpoint = directory + "/mnt"
unanswered = FLUSH if how in ("file", "notify", "many", "fdstore", "exec", "swap") else READ


def must(got):
    if got == -1:
        raise OSError(ctypes.get_errno(), how)
    return got


# --- The file server -----------------------------------------------------------------


def attributes(node):
    mode, size = (0o40755, 0) if node == ROOT else (0o100644, 1 << 16)
    head = struct.pack("6Q", node, size, 8, 0, 0, 0)
    return head + struct.pack("10I", 0, 0, 0, mode, 1, os.getuid(), 0, 0, 4096, 0)


def answer(opcode, node):
    if opcode == INIT:
        # no flags: what is read is awaited where it is wanted
        return struct.pack("4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP:
        return struct.pack("4Q2I", FILE, 0, 0, 0, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("Q2I", 0, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("Q2I", 1, 0, 0)
    if opcode in (RELEASE, RELEASEDIR, FLUSH, ACCESS):
        return b""
    if opcode == READ:
        return b"A=1\n"
    return None


def create(name):
    os.close(os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT, 0o666))


def is_owed(opcode):
    if how != "directory":
        return opcode == unanswered
    return opcode != INIT and os.path.exists(directory + "/hang")


def is_slow():
    if how != "directory":
        return False
    with open(directory + "/hang", encoding="ascii") as file:
        return file.read() == "slow"


def serve(device):
    while True:
        try:
            request = os.read(device, 1 << 16)
        except OSError as e:
            if e.errno == errno.ENODEV:  # it is not mounted any more
                return
            continue
        _, opcode, unique, node = struct.unpack_from("2I2Q", request)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            continue
        if is_owed(opcode):
            create("asked")
            create(f"asked.{os.getpid()}")
            if not is_slow():
                continue
            time.sleep(0.08)
        data = answer(opcode, node)
        error = -errno.ENOSYS if data is None else 0
        data = data or b""
        os.write(device, struct.pack("IiQ", 16 + len(data), error, unique) + data)


def become_alone():
    """In a user and a mount namespace of its own, with the same ids."""
    uid, gid = os.getuid(), os.getgid()
    must(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
    must(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open("/proc/self/" + name, "w", encoding="ascii") as file:
            file.write(text)


def run_server(device):
    signal.alarm(180)
    create(f"server.{os.getpid()}")
    serve(device)
    os._exit(0)


def mount():
    if how != "directory":
        become_alone()
    device = os.open(directory + "/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},"
    options += f"group_id={os.getgid()}" + (",allow_other" * (how == "directory"))
    must(libc.mount(b"hung", mountpoint.encode(), b"fuse", 6, options.encode()))
    if os.fork() == 0:
        os.setsid()
        os.dup2(0, 1)
        if how in ("reopen", "terminal"):  # the death of the worker is not the end of it
            os.set_inheritable(device, True)
            os.execve(sys.executable, [sys.executable, *sys.argv, "0", str(device)], {})
        run_server(device)
    os.close(device)


# --- The worker ----------------------------------------------------------------------


def open_file():
    return os.open(mountpoint + "/file", os.O_RDONLY)


def memory(page=0):
    """The address of 4,096 bytes that can be read only when the server answers."""
    fd = open_file()
    # PROT_READ | PROT_WRITE, MAP_PRIVATE
    at = must(libc.mmap(None, ctypes.c_size_t(4096), 3, 2, fd, ctypes.c_long(page << 12)))
    os.close(fd)
    return ctypes.c_void_p(at)


def notify(text, *fds):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ["NOTIFY_SOCKET"])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        s.sendmsg([text], rights if fds else [])


def listen():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen()
    return s


def in_thread(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def take(listener):
    """Who serves its port is ready as soon as it says so."""
    while True:
        listener.accept()[0].close()


def wait_for(name):
    while not os.path.exists(f"{directory}/{name}"):
        time.sleep(0.02)


def count_in(call):
    """Threads that wait in that system call."""
    tasks = "/proc/self/task"
    waiting = 0
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/syscall", encoding="ascii") as file:
            waiting += file.read().startswith(f"{call} ")
    return waiting


def begin():
    notify(b"READY=1")
    wait_for("go")


def swap(at):
    """It binds a port that the worker of slot 0 has, again and again, and meanwhile
    puts such a file in the place of the socket."""
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, b"\x7f\0\0\1")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    turn = queue.SimpleQueue()

    def put():
        while True:
            number, wait = turn.get()
            end = time.perf_counter() + wait
            while time.perf_counter() < end:
                pass
            os.dup2(at, number)

    in_thread(put)
    for i in range(min(most, 4096) - 64):
        number = socket.socket().detach()  # to close it would wait
        turn.put((number, i % 16 * 0.0001))
        libc.bind(number, address, 16)


def ask_as_node():
    lines = ['{"cmd":"NODE_CLUSTER","act":"online"}']
    for i in range(400):
        lines.append(
            '{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"port":-1,'
            f'"addressType":-1,"seq":{i},"address":"{mountpoint}/file/s"}}'
        )
    os.write(int(os.environ["NODE_CHANNEL_FD"]), "\n".join(lines + [""]).encode())
    signal.pause()


def work():
    if how == "node":
        begin()
        ask_as_node()
    if how == "swap" and os.environ["NCLUST_SLOT"] == "1":
        at = open_file()
        begin()
        swap(at)
    s = listen() if port else socket.socket()
    if how == "closed" and os.environ["NCLUST_SLOT"] == "0":
        s.close()
        notify(b"READY=1")
        signal.pause()
    at = open_file() if unanswered == FLUSH else memory()
    if port:
        in_thread(take, s)
    begin()
    if how == "read":
        libc.memchr(at, 0, 1)
    elif how == "address":
        # nclust could not ask the server, who does not know its user: it waits
        # for the page that we have asked for
        in_thread(libc.memchr, at, 0, 1)
        wait_for("asked")
        fresh = [socket.socket() for _ in range(8)]
        for f in fresh:
            in_thread(libc.bind, f.fileno(), at, 16)
    elif how == "file":
        libc.bind(at, struct.pack("HH12x", socket.AF_INET, 0), 16)
        create("refused")
    elif how == "notify":
        notify(b"READY=1", at)
    elif how == "many":
        for _ in range(64):
            notify(b"READY=1", *[at] * 253)
    elif how == "fdstore":
        notify(b"FDSTORE=1\nFDNAME=hung", at)
    elif how == "epoll":
        events = select.epoll()
        events.register(s, select.EPOLLIN)
        events.register(os.pipe()[1], select.EPOLLOUT)
        in_thread(libc.epoll_wait, events.fileno(), at, 8, -1)
    elif how in ("options", "closed"):
        in_thread(libc.setsockopt, s.fileno(), socket.IPPROTO_IP, IP_OPTIONS, at, 40)
    elif how == "list":
        with open(directory + "/list", encoding="ascii") as file:
            held = [os.open(line.strip(), os.O_RDONLY) for line in file]
        # each asks the server for a page: SIGKILL ends who waits for another's
        pages = [memory(i) for i in range(len(held))]
        for h, page in zip(held, pages):
            in_thread(libc.syscall, SYS_GETDENTS64, h, page, 4096)
        while count_in(SYS_GETDENTS64) < len(held):
            time.sleep(0.02)
        create("listed")
    elif how == "write":
        os.write(1, b"first\n")
        in_thread(libc.write, 1, at, 1)
        wait_for("asked")
        os.write(1, b"kept\n")
    elif how == "terminal":
        if os.fork() == 0:
            libc.write(1, at, 1)
    elif how == "size":
        in_thread(libc.ioctl, 1, termios.TIOCGWINSZ, at)
    elif how == "reopen" and not os.path.exists(directory + "/shut"):
        path = f"/proc/self/fd/{os.open('/proc/self/fd/1', os.O_PATH)}"
        os.symlink(os.readlink(path), directory + "/stdout")
        os.dup2(0, 1)
        if os.fork() == 0:
            wait_for("shut")
            libc.write(os.open(path, os.O_WRONLY), at, 1)
    elif how == "exec":
        s.set_inheritable(True)
        if os.fork() == 0:
            os.execv("/bin/true", ["true"])
    signal.pause()


if len(sys.argv) > 4:
    run_server(int(sys.argv[4]))
if how != "node":
    mount()
if how != "directory":
    work()
