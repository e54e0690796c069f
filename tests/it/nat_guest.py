"""What a machine tries of its network, as the programs that people use do: each finding is a line."""

import errno
import os
import resource
import socket
import struct
import subprocess
import sys
import time

PORT, ECHO = int(os.environ["PORT"]), int(os.environ["ECHO"])
LIMIT = 60
GATEWAY = "10.255.254.1"


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def checksum(message):
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(address):
    """How a request for an echo comes out."""
    is_v4 = family_of(address) == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6
    with socket.socket(family_of(address), socket.SOCK_RAW, protocol) as raw:
        # IP_RECVERR and IPV6_RECVERR.
        raw.setsockopt(*((socket.IPPROTO_IP, 11) if is_v4 else (socket.IPPROTO_IPV6, 25)), 1)
        raw.settimeout(LIMIT)
        kind, data = (8 if is_v4 else 128), bytes(range(56))
        message = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1) + data
        # That of the other family is the kernel's to make.
        if is_v4:
            message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        try:
            raw.connect((address, 0))
            raw.send(message)
            while True:
                got = raw.recv(2048)
                got = got[(got[0] & 15) * 4:] if is_v4 else got
                if got[0] == (0 if is_v4 else 129) and got[4:] == message[4:]:
                    return "answered"
        except TimeoutError:
            return "silent"
        except OSError as error:
            return errno.errorcode[error.errno]


def datagrams(address, sizes):
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as flow:
        flow.settimeout(LIMIT)
        flow.connect((address, ECHO))
        for size in sizes:
            sent = os.urandom(size)
            flow.send(sent)
            if flow.recv(65535) != sent:
                return f"{size} bytes are others"
    return "whole"


def flows(count):
    """Each has its own answer. A datagram may be lost."""
    waiting = {}
    for number in range(count):
        flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flow.connect(("203.0.113.7", ECHO))
        waiting[flow] = str(number).encode()
    end, mixed = time.monotonic() + LIMIT, 0
    while waiting and time.monotonic() < end:
        for flow, words in waiting.items():
            flow.send(words)
        time.sleep(0.2)
        for flow in list(waiting):
            flow.setblocking(False)
            try:
                mixed += flow.recv(100) != waiting[flow]
                del waiting[flow]
            except BlockingIOError:
                pass
    return f"{count - len(waiting)} of {count}, {mixed} mixed up"


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def cut(name):
    """Whether an answer is said to be too long for a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(LIMIT)
        asker.sendto(question(name), (GATEWAY, 53))
        answer = asker.recv(4096)
    return f"cut {bool(answer[2] & 2)}, {len(answer)} bytes"


def addresses(name, family):
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, 1, family, socket.SOCK_STREAM)}
        return " ".join(sorted(found)) if len(found) < 3 else str(len(found))
    except socket.gaierror as error:
        return "none" if error.errno == socket.EAI_NONAME else f"error {error.errno}"


def upload(address, count):
    numbers = subprocess.Popen(f"seq 1 99999999 | head -c {count}", shell=True, stdout=subprocess.PIPE)
    with socket.create_connection((address, PORT), LIMIT) as stream:
        stream.sendall(b"put\n")
        while piece := numbers.stdout.read(1 << 16):
            stream.sendall(piece)
        stream.shutdown(socket.SHUT_WR)
        return stream.makefile().readline().strip()


def connections(count):
    """All open at the same time, and then each is used."""
    streams = []
    for number in range(count):
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stream.settimeout(LIMIT)
        stream.connect((f"203.0.113.{1 + number % 250}", PORT))
        streams.append(stream)
    for stream in streams:
        stream.sendall(b"get 6\n")
    right = sum(stream.makefile("rb").read() == b"1\n2\n3\n" for stream in streams)
    return f"{right} of {count}"


def turns(count):
    """One after the other."""
    right = 0
    for _ in range(count):
        with socket.create_connection(("203.0.113.7", PORT), LIMIT) as stream:
            stream.sendall(b"get 4\n")
            right += stream.makefile("rb").read() == b"1\n2\n"
    return f"{right} of {count}"


def ways_out(cids, ports):
    """Connections past every network: to other ends of the machine's own channel."""
    reached = []
    for cid in cids:
        for port in ports:
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as stream:
                stream.settimeout(5)
                try:
                    stream.connect((cid, port))
                    reached.append(f"{cid}:{port}")
                except OSError:
                    pass
    return f"{len(cids) * len(ports)} ways tried, {len(reached)} lead on {' '.join(reached)}"


def raw_packets():
    """Packets past the tables of routes."""
    sent = []
    for index, name in socket.if_nameindex():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:
            raw.bind((name, 0))
            if name != "lo":
                sent.append(name)
    return f"interfaces {sent}"


def main():
    everything = {
        "mtu": lambda: open("/sys/class/net/eth0/mtu").read().strip(),
        "names": lambda: "; ".join([
            addresses("world.example", socket.AF_INET),
            addresses("world.example", socket.AF_INET6),
            addresses("many.example", socket.AF_INET),
            addresses("other.example", socket.AF_UNSPEC),
            cut("many.example"),
        ]),
        "datagrams": lambda: datagrams("203.0.113.7", [0, 1, 1472, 1473, 9000, 65507]),
        "datagrams6": lambda: datagrams("2001:db8::7", [0, 1, 1452, 1453, 9000, 65487]),
        "flows": lambda: flows(400),
        "upload": lambda: upload("203.0.113.9", 32_000_000),
        "upload6": lambda: upload("2001:db8::9", 8_000_000),
        "connections": lambda: connections(1500),
        "turns": lambda: turns(500),
        "ways": lambda: ways_out([0, 2, 4, 5, 100], [1, 22, 53, 80, *range(1020, 1040), PORT]),
        "raw": raw_packets,
    }
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    for word in sys.argv[1:]:
        what, _, address = word.partition("=")
        print(word, "->", ping(address) if what == "ping" else everything[what](), flush=True)


main()
