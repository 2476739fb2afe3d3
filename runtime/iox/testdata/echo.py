"""Sends back what it receives, with the PyPI package iceoryx2 alone."""

import ctypes
import sys
import time

import iceoryx2 as iox2


class Header(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint64 * 16)]

    @staticmethod
    def type_name():
        return "MedianodeFrame"


def main(root, prefix, source, target):
    config = iox2.config.default()
    config.global_cfg.prefix = iox2.FileName.new(prefix)
    config.global_cfg.root_path = iox2.Path.new(root)
    builder = iox2.NodeBuilder.new().config(config)
    node = builder.signal_handling_mode(iox2.SignalHandlingMode.Disabled).create(iox2.ServiceType.Ipc)

    def service(name):
        named = node.service_builder(iox2.ServiceName.new(name))
        return named.publish_subscribe(iox2.Slice[ctypes.c_uint8]).user_header(Header).open()

    inlet = service(source).subscriber_builder().create()
    outlet = service(target).publisher_builder().initial_max_slice_len(1 << 20).create()
    print("ready", flush=True)
    while True:
        sample = inlet.receive()
        if sample is None:
            time.sleep(0.001)
            continue
        payload = bytes(sample.payload().as_memory_view().cast("B"))
        loan = outlet.loan_slice_uninit(len(payload))
        if payload:
            loan.payload().as_memory_view().cast("B")[:] = payload
        ctypes.pointer(loan.user_header().contents)[0] = sample.user_header().contents
        ended = bytes(sample.user_header().contents)[3] & 1
        loan.assume_init().send()
        if ended:
            sys.stdin.read()  # frames go with their publisher
            return


main(*sys.argv[1:])
