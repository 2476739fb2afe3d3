"""By a Unix socket: length and work, 8 bytes each, then the payload."""

import socket
import struct
import sys

import numpy as np

TOUCHED = 2  # see work in hop.go


def fill(peer, view):
    while view:
        n = peer.recv_into(view)
        if n == 0:
            sys.exit()
        view = view[n:]


def main(path, max_frame):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    memory = bytearray(16 + int(max_frame))
    whole = memoryview(memory)
    while True:
        fill(peer, whole[:16])
        length, work = struct.unpack_from("QQ", memory)
        fill(peer, whole[16 : 16 + length])
        if work == TOUCHED:
            np.frombuffer(memory, np.uint64, length // 8, 16).sum()
        peer.sendall(whole[: 16 + length])


main(*sys.argv[1:])
