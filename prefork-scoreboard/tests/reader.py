"""Prints a scoreboard. Written from the documentation of the format alone."""
import struct, sys

M = 1 << 64

def term(i, w):
    y = (w ^ (w >> 32)) * ((i + 1) * 0x9E3779B97F4A7C15 % M | 1) % M
    return y ^ (y >> 29)

def checksum(raw, skip):
    words = struct.unpack("<%dQ" % (len(raw) // 8), raw)
    return sum(term(i, w) for i, w in enumerate(words) if i != skip) % M

with open(sys.argv[1], "rb") as board:
    head = board.read(104)
    magic, version, kind, stride, size, slots, pid = struct.unpack_from("<8s6I", head)
    assert (magic, version, size) == (b"PFSBOARD", 1, 256), "no scoreboard"
    assert checksum(head, 12) == struct.unpack_from("<Q", head, 96)[0], "header damaged"
    print("board", kind, slots, pid)
    board.seek(1096)
    raw = board.read(3000)
    sequence, check, length = struct.unpack_from("<3Q", raw)
    if sequence % 2 == 0 and checksum(raw, 1) == check:
        print(raw[24:24 + length].decode(), end="")
    for slot in range(slots):
        board.seek(stride * (slot + 1))
        raw = board.read(256)
        sequence, check, state, label, client = struct.unpack_from("<QQ3B", raw)
        if sequence % 2 or checksum(raw, 1) != check:
            print(slot, "?")
        elif state == 0:
            print(slot, ".")
        else:
            pid, generation, requests = struct.unpack_from("<I4xQQ", raw, 24)
            print(slot, chr(state), pid, generation, requests,
                  raw[96:96 + label].decode(), raw[192:192 + client].decode(), sep="|")
