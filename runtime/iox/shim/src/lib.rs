//! C functions over iceoryx2 for the Go package iox; iox.h says what they do.
//!
//! Every handle is a box that the caller owns from `_open` to `_drop`. The
//! caller sees to it that no call is under way on a handle that it drops; the
//! functions are otherwise safe from any thread.

mod clean;
pub mod domain;
mod failure;
mod ports;

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::ptr;

use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;

use failure::{Code, Failure, Text, coded, fitted, other, run};
use ports::{Bell, Channel, Held, Inlet, Loan, NodeHandle, Outlet};

/// `iox_spec` of iox.h.
#[repr(C)]
pub struct SpecC {
    name: *const c_char,
    credit: *const c_char,
    max_frame: u64,
    max_subscribers: u64,
    max_nodes: u64,
    buffer: u64,
    hold: u64,
    loans: u64,
    history: u64,
}

/// `iox_frame` of iox.h.
#[repr(C)]
pub struct Frame {
    handle: *mut c_void,
    header: *const c_void,
    payload: *const u8,
    len: u64,
}

/// # Safety
/// `s` and its strings are valid.
unsafe fn spec(s: *const SpecC) -> Result<ports::Spec, Failure> {
    // SAFETY: the caller's promise.
    let s = unsafe { &*s };
    let name = |p| {
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(p) }.to_str().map_err(|e| coded(Code::Invalid, e))?;
        ServiceName::new(name).map_err(|e| coded(Code::Invalid, format!("channel name {name:?}: {e:?}")))
    };
    Ok(ports::Spec {
        name: name(s.name)?,
        credit: name(s.credit)?,
        max_frame: s.max_frame as usize,
        max_subscribers: s.max_subscribers as usize,
        max_nodes: s.max_nodes as usize,
        buffer: s.buffer as usize,
        hold: s.hold as usize,
        loans: s.loans as usize,
        history: s.history as usize,
    })
}

/// Gives a new handle to the caller.
///
/// # Safety
/// `out` is valid for a write.
unsafe fn give<T>(out: *mut *mut T, made: T) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    unsafe { out.write(Box::into_raw(Box::new(made))) };
    Ok(())
}

/// Defines `_drop` functions. The box goes while its domain is the one listed.
macro_rules! drops {
    ($($name:ident: $handle:ty),+) => {$(
        /// Ends a handle; null is nothing.
        ///
        /// # Safety
        /// `handle` is null, or from the function that opens it and not dropped
        /// before, and no call on it is under way.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(handle: *mut $handle) {
            let body = || {
                if !handle.is_null() {
                    // SAFETY: the caller's promise.
                    let handle = unsafe { Box::from_raw(handle) };
                    let domain = handle.domain.clone();
                    let _listed = domain.enter();
                    drop(handle);
                }
                Ok(())
            };
            // SAFETY: null is allowed.
            unsafe { run(ptr::null_mut(), body) };
        }
    )+};
}

drops! {
    iox_node_drop: NodeHandle,
    iox_channel_drop: Channel,
    iox_outlet_drop: Outlet,
    iox_inlet_drop: Inlet,
    iox_bell_drop: Bell,
    iox_loan_drop: Loan
}

/// The version of iceoryx2 that peers must have.
#[unsafe(no_mangle)]
pub extern "C" fn iox_version() -> *const c_char {
    c"0.10.0".as_ptr()
}

/// # Safety
/// The strings are C strings; `out` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_node_open(
    root: *const c_char,
    prefix: *const c_char,
    dir: *const c_char,
    out: *mut *mut NodeHandle,
    text: *mut Text,
) -> i32 {
    let body = || {
        set_log_level(LogLevel::Error);
        // SAFETY: the caller's promise.
        let (root, prefix, dir) =
            unsafe { (CStr::from_ptr(root), CStr::from_ptr(prefix), CStr::from_ptr(dir)) };
        let dir = dir.to_str().map_err(|e| coded(Code::Invalid, e))?;
        let domain = domain::Domain::register(prefix.to_bytes(), Path::new(dir))
            .map_err(|e| coded(Code::Invalid, e))?;
        let _listed = domain.enter();
        let node = NodeHandle::open(root.to_bytes(), domain.clone())?;
        // SAFETY: the caller's promise.
        unsafe { give(out, node) }
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// # Safety
/// `node` is open; `count` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_node_clean(node: *const NodeHandle, count: *mut u64, text: *mut Text) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let node = unsafe { &*node };
        let _listed = node.domain.enter();
        let cleaned = node.clean()?;
        // SAFETY: the caller's promise.
        unsafe { count.write(cleaned) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// # Safety
/// `node` is open; `s` is valid; `out` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_channel_create(
    node: *const NodeHandle,
    s: *const SpecC,
    out: *mut *mut Channel,
    text: *mut Text,
) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let (node, s) = unsafe { (&*node, spec(s)?) };
        let _listed = node.domain.enter();
        // SAFETY: the caller's promise.
        unsafe { give(out, node.create(&s)?) }
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// # Safety
/// `node` is open; `s` is valid; `out` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_outlet_open(
    node: *const NodeHandle,
    s: *const SpecC,
    out: *mut *mut Outlet,
    text: *mut Text,
) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let (node, s) = unsafe { (&*node, spec(s)?) };
        let _listed = node.domain.enter();
        // SAFETY: the caller's promise.
        unsafe { give(out, node.outlet(&s)?) }
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// # Safety
/// `outlet` is open; `out` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_outlet_loan(
    outlet: *const Outlet,
    len: u64,
    out: *mut Frame,
    text: *mut Text,
) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let outlet = unsafe { &*outlet };
        let mut loan = Box::new(outlet.loan(len as usize)?);
        let frame = Frame {
            header: ptr::from_mut(loan.sample.user_header_mut()).cast(),
            payload: loan.sample.payload_mut().as_mut_ptr(),
            len,
            handle: Box::into_raw(loan).cast(),
        };
        // SAFETY: the caller's promise.
        unsafe { out.write(frame) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// Lets go of readers that are gone.
///
/// # Safety
/// `outlet` is open; `text` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_outlet_refresh(outlet: *const Outlet, text: *mut Text) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let outlet = unsafe { &*outlet };
        let _listed = outlet.domain.enter();
        outlet.publisher.update_connections().map_err(|e| other("update connections", e))
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// Sends a loan and ends it, whether that succeeds or not.
///
/// # Safety
/// `loan` is from `iox_outlet_loan` and not ended; `text` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_loan_send(loan: *mut Loan, text: *mut Text) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let Loan { sample, domain } = *unsafe { Box::from_raw(loan) };
        let _listed = domain.enter();
        fitted(sample.send().map(|_| ()).map_err(|e| other("send", e)))
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// # Safety
/// `node` is open; `s` is valid; `out` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_inlet_open(
    node: *const NodeHandle,
    s: *const SpecC,
    buffer: u64,
    out: *mut *mut Inlet,
    text: *mut Text,
) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let (node, s) = unsafe { (&*node, spec(s)?) };
        let _listed = node.domain.enter();
        // SAFETY: the caller's promise.
        unsafe { give(out, node.inlet(&s, buffer as usize)?) }
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// Fills `frames` with what has arrived, at most `max`; an error only if that
/// is nothing.
///
/// # Safety
/// `inlet` is open; `frames` has room for `max`; `count` and `text` are valid
/// for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_inlet_receive(
    inlet: *const Inlet,
    frames: *mut Frame,
    max: u64,
    count: *mut u64,
    text: *mut Text,
) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let inlet = unsafe { &*inlet };
        let _listed = inlet.domain.enter();
        let mut n = 0;
        while n < max {
            let held = match inlet.receive() {
                Ok(Some(held)) => Box::new(held),
                Err(e) if n == 0 => return Err(e),
                Ok(None) | Err(_) => break,
            };
            // The length is a peer's word: no slice is made of it before it is
            // known to lie within the frame.
            let len = held.sample.header().number_of_elements();
            let frame = Frame {
                header: ptr::from_ref(held.sample.user_header()).cast(),
                payload: match len <= inlet.max_frame {
                    true => held.sample.payload().as_ptr(),
                    false => ptr::null(),
                },
                len,
                handle: Box::into_raw(held).cast(),
            };
            // SAFETY: the caller's promise, and n < max.
            unsafe { frames.add(n as usize).write(frame) };
            n += 1;
        }
        // SAFETY: the caller's promise.
        unsafe { count.write(n) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// Whether a frame has arrived, for a reader that may hold no more.
///
/// # Safety
/// `inlet` is open; `text` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_inlet_pending(inlet: *const Inlet, pending: *mut u64, text: *mut Text) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let inlet = unsafe { &*inlet };
        let _listed = inlet.domain.enter();
        let has = inlet.subscriber.has_samples().map_err(|e| other("look for frames", e))?;
        // SAFETY: the caller's promise.
        unsafe { pending.write(has.into()) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// Gives frames back.
///
/// # Safety
/// `handles` are `n` handles from `iox_inlet_receive`, not released before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_inlet_release(handles: *const *mut Held, n: u64) {
    let body = || {
        for i in 0..n as usize {
            // SAFETY: the caller's promise.
            let held = unsafe { Box::from_raw(*handles.add(i)) };
            let domain = held.domain.clone();
            let _listed = domain.enter();
            drop(held);
        }
        Ok(())
    };
    // SAFETY: null is allowed.
    unsafe { run(ptr::null_mut(), body) };
}

/// # Safety
/// `node` is open; `s` is valid; `out` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_bell_open(
    node: *const NodeHandle,
    s: *const SpecC,
    writer: u64,
    out: *mut *mut Bell,
    text: *mut Text,
) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let (node, s) = unsafe { (&*node, spec(s)?) };
        let _listed = node.domain.enter();
        // SAFETY: the caller's promise.
        unsafe { give(out, node.bell(&s, writer != 0)?) }
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// Wakes the other end.
///
/// # Safety
/// `bell` is open; `text` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_bell_ring(bell: *const Bell, text: *mut Text) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let bell = unsafe { &*bell };
        let _listed = bell.domain.enter();
        bell.notifier.notify().map(|_| ()).map_err(|e| other("notify", e))
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}

/// The descriptor that is readable when the bell has rung.
///
/// # Safety
/// `bell` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_bell_fd(bell: *const Bell) -> i32 {
    // SAFETY: the caller's promise, and the descriptor lives as long as the
    // bell.
    unsafe { (*bell).listener.file_descriptor().native_handle() }
}

/// Takes all wake-ups that have arrived; `rung` says whether there were any.
///
/// # Safety
/// `bell` is open; `rung` and `text` are valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iox_bell_drain(bell: *const Bell, rung: *mut u64, text: *mut Text) -> i32 {
    let body = || {
        // SAFETY: the caller's promise.
        let bell = unsafe { &*bell };
        let was = bell.drain()?;
        // SAFETY: the caller's promise.
        unsafe { rung.write(was.into()) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(text, body) }
}
