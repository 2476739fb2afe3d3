"""By hand: the package iceoryx2 from PyPI and nothing else, in as few calls as it takes."""

import ctypes
import sys

import iceoryx2 as iox2
import numpy as np

ALONE, COPIED, TOUCHED = 0, 1, 2  # see work in hop.go


class Header(ctypes.Structure):
    _fields_ = [("head", ctypes.c_uint64 * 2), ("pts", ctypes.c_int64), ("tail", ctypes.c_uint64 * 13)]

    @staticmethod
    def type_name():
        return "MedianodeFrame"


def main(root, prefix, source, target, max_frame, poll):
    config = iox2.config.default()
    config.global_cfg.prefix = iox2.FileName.new(prefix)
    config.global_cfg.root_path = iox2.Path.new(root)
    builder = iox2.NodeBuilder.new().config(config)
    node = builder.signal_handling_mode(iox2.SignalHandlingMode.Disabled).create(iox2.ServiceType.Ipc)

    def frames(name):
        named = node.service_builder(iox2.ServiceName.new(name))
        return named.publish_subscribe(iox2.Slice[ctypes.c_uint8]).user_header(Header).open()

    def events(name):
        return node.service_builder(iox2.ServiceName.new(name)).event().open()

    publisher = frames(target).publisher_builder().initial_max_slice_len(int(max_frame))
    outlet = publisher.allocation_strategy(iox2.AllocationStrategy.Static).create()
    inlet = frames(source).subscriber_builder().create()
    listener = notifier = None
    if poll != "poll":
        listener = events(source).listener_builder().create()
        notifier = events(target).notifier_builder().create()
    limit = iox2.Duration.from_millis(1000)
    print("ready", flush=True)
    while True:
        sample = inlet.receive()
        if sample is None:
            if listener is not None:
                listener.timed_wait(limit)
            continue
        length = sample.header.number_of_elements
        work = Header.from_address(sample.user_header_ptr).pts
        if work == TOUCHED:
            payload = (ctypes.c_uint64 * (length // 8)).from_address(sample.payload_ptr)
            np.frombuffer(payload, np.uint64).sum()
        loan = outlet.loan_slice_uninit(length)
        if work != ALONE:
            ctypes.memmove(loan.payload_ptr, sample.payload_ptr, length)
        ctypes.memmove(loan.user_header_ptr, sample.user_header_ptr, 128)
        loan.assume_init().send()
        if notifier is not None:
            notifier.notify()
        del sample, loan


main(*sys.argv[1:])
