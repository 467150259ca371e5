#!/usr/bin/env python3
"""Shows a scoreboard: scoreboard.py PATH. Or in a program of yours: board = scoreboard.read(path).

Written from the documentation of the format alone; needs nothing but Python. Texts are safe for a terminal, and are to be
escaped for HTML.
"""
import fcntl
import os
import struct
import sys
import time

TRIES = 20
SIZES = {"counter": 8, "gauge": 8, "text": 40}
WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
HIDDEN = {0x61C, 0xFEFF, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)}


def checksum(raw, skip):
    """Sums up the words of a text of bytes, but for the one that holds the checksum."""
    total = 0
    for i, w in enumerate(struct.unpack(f"<{len(raw) // 8}Q", raw)):
        if i != skip:
            y = (w ^ w >> 32) * ((i + 1) * 0x9E3779B97F4A7C15 | 1) & 0xFFFFFFFFFFFFFFFF
            total += y ^ y >> 29
    return total & 0xFFFFFFFFFFFFFFFF


def printable(raw):
    """Makes text of bytes that may be anything."""
    text = raw.decode("utf-8", "replace")
    return "".join("?" if ord(c) < 32 or 127 <= ord(c) < 160 or ord(c) in HIDDEN else c for c in text)


def lines(raw, length):
    """Splits a text into names and values."""
    for line in raw[:length].split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals:
            yield printable(name), printable(value)


def whole(fd, offset, size):
    """Copies what is written under a sequence; None if it never comes out right."""
    for _ in range(TRIES):
        raw = os.pread(fd, size, offset)
        if len(raw) == size:
            sequence, found = struct.unpack_from("<2Q", raw)
            if sequence % 2 == 0 and checksum(raw, 1) == found:
                return raw
    return None


def is_word(text, most):
    return 1 <= len(text) <= most and set(text) <= WORD and text[0].isalpha()


def column(value, there):
    """Reads a column; None if it cannot be believed."""
    parts = value.split(" ")
    if len(parts) not in (3, 4) or not (parts[0].isascii() and parts[0].isdigit()):
        return None
    offset, kind, name = int(parts[0]), parts[1], parts[2]
    unit = parts[3] if len(parts) == 4 else ""
    known = kind in SIZES and is_word(name, 32) and name not in there
    if not known or len(there) == 12 or unit and (kind == "text" or not is_word(unit, 16)):
        return None
    inside = offset % 8 == 0 and 272 <= offset and offset + SIZES[kind] <= 512
    return {"name": name, "kind": kind, "unit": unit, "offset": offset} if inside else None


def describe(fd):
    raw, title, columns = os.pread(fd, 920, 104), "", {}
    length, found = *struct.unpack_from("<Q", raw), *struct.unpack_from("<Q", raw, 912)
    if checksum(raw, 114) == found:
        for name, value in lines(raw[8:912], length):
            if name == "title":
                title = value[:64]
            elif name == "column" and (it := column(value, columns)):
                columns[it["name"]] = it
    return title, list(columns.values())


def life(pid, start):
    """Says whether a process runs that has started then."""
    if not 1 <= pid <= 4194304:
        return "gone"
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return "unknown"
    if fields[0] in (b"Z", b"X", b"x") or start and int(fields[19]) != start:
        return "gone"
    return "running" if start else "unknown"


def owner_life(path):
    """Says whether the owner of a board of kind 1 has its lock."""
    with open(path, "rb") as again:
        try:
            fcntl.flock(again, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return "gone"
        except BlockingIOError:
            return "running"


def value(raw, it):
    if raw is None:
        return None
    at = it["offset"] - 256
    if it["kind"] == "text":
        return printable(raw[at:at + 40].partition(b"\0")[0])
    return struct.unpack_from("<Q", raw, at)[0]


def slot(board, fd, number):
    at = board["stride"] * (number + 1)
    raw = whole(fd, at, 256)
    if raw is None:
        # Pid and start count even so.
        pid, start = struct.unpack_from("<I36xQ", os.pread(fd, 256, at), 24)
        return {"slot": number, "state": "?", "life": board["life_of"](pid, start)}
    state, label, client, _ = struct.unpack_from("<4B", raw, 16)
    if state == 0:
        return None
    pid, _, generation, queued, requests, _, _, start, begun, changed = struct.unpack_from("<4I6Q", raw, 24)
    in_hand, more = struct.unpack_from("<2H", raw, 92)
    # Of one that has one at a time, the state says it.
    in_hand = min(in_hand, more + 1) if more else int(state in b"RWDL")
    values = whole(fd, at + 256, 256) if board["columns"] else None
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return {
        "slot": number,
        "state": printable(bytes([state])),
        "pid": pid,
        "life": board["life_of"](pid, start),
        "generation": generation,
        "requests": requests,
        "in_hand": in_hand,
        "concurrency": more + 1,
        "queued": (queued - 1) / 1e3 if queued else None,
        "since": (now - changed) / 1e9 if board["is_of_this_boot"] and changed <= now + 10**9 else None,
        "label": printable(raw[96:96 + min(label, 96)]),
        "client": printable(raw[192:192 + min(client, 64)]),
        "values": {it["name"]: value(values, it) for it in board["columns"]},
    }


def read(path):
    """Reads all of a board that is not empty. Raises ValueError if the file is none, and OSError."""
    with open(path, "rb") as file:
        fd = file.fileno()
        head, size = os.pread(fd, 104, 0), os.fstat(fd).st_size
        if head[:8] != b"PFSBOARD" or len(head) < 104:
            raise ValueError(f"{path} is no scoreboard")
        if checksum(head, 12) != struct.unpack_from("<Q", head, 96)[0]:
            raise ValueError(f"the header of {path} is damaged")
        version, kind, stride, record, slots, pid = struct.unpack_from("<6I", head, 8)
        start, namespace = struct.unpack_from("<2Q", head, 48)
        good = kind in (1, 2) and record == 256 and 1 <= slots <= 65536
        if version != 1 or not good or stride not in [4096 << i for i in range(9)] or size < stride * (slots + 1):
            raise ValueError(f"{path} is no scoreboard that can be read here")
        with open("/proc/sys/kernel/random/boot_id") as boot:
            boot_id = bytes.fromhex(boot.read().strip().replace("-", ""))
        this_boot = head[64:80] in (boot_id, bytes(16))
        here = namespace and namespace == os.stat("/proc/self/ns/pid").st_ino
        title, columns = describe(fd)
        raw = whole(fd, 1096, 3000)
        facts = list(lines(raw[24:], struct.unpack_from("<Q", raw, 16)[0])) if raw else []
        owner = "gone" if not this_boot else owner_life(path) if kind == 1 else life(pid, start) if here else "unknown"

        def life_of(pid, start):
            if not this_boot:
                return "gone"
            if here and (start or kind == 2):
                return life(pid, start)
            # Of children of an owner that lives it empties the slots.
            return owner if kind == 1 else "unknown"

        board = {"kind": kind, "slots": slots, "stride": stride, "pid": pid, "life": owner, "title": title,
                 "facts": facts, "columns": columns, "is_of_this_boot": this_boot, "life_of": life_of}
        board["taken"] = [it for it in (slot(board, fd, number) for number in range(slots)) if it]
        return board


def show(board):
    kind = {1: "owned", 2: "shared"}[board["kind"]]
    print(board["title"] or "-", kind, board["slots"], board["pid"], board["life"], sep="\t")
    for name, fact in board["facts"]:
        print(f"{name}={fact}")
    names = [f"{it['name']}/{it['unit']}" if it["unit"] else it["name"] for it in board["columns"]]
    print("slot", "state", "pid", "life", "requests", "in hand", "since", "label", "client", *names, sep="\t")
    for it in board["taken"]:
        if it["state"] == "?":
            print(it["slot"], "?", "-", it["life"], sep="\t")
            continue
        since = "-" if it["since"] is None else f"{max(it['since'], 0):.1f}"
        values = ["?" if found is None else found for found in it["values"].values()]
        hands = f"{it['in_hand']} of {it['concurrency']}"
        print(it["slot"], it["state"], it["pid"], it["life"], it["requests"], hands, since, it["label"], it["client"],
              *values, sep="\t")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scoreboard.py PATH")
    try:
        sys.stdout.reconfigure(encoding="utf-8")
        show(read(sys.argv[1]))
    except (OSError, ValueError) as error:
        sys.exit(f"scoreboard.py: {error}")
