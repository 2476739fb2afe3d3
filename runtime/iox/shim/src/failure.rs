//! Errors as the C side sees them: a code, and the library's own text.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::domain;

/// The codes of iox.h.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Ok = 0,
    Other = 1,
    Panic = 2,
    Invalid = 3,
    Exists = 4,
    Missing = 5,
    Occupied = 6,
    Loaned = 7,
    TooLarge = 8,
    Held = 9,
    NoSpace = 10,
}

/// Room for the text of an error, in the memory of the caller.
#[repr(C)]
pub struct Text {
    pub need: u64,
    pub have: u64,
    pub text: [u8; 240],
}

/// An error on its way to the caller.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub text: String,
}

/// A failure without a code of its own.
pub fn other(what: &str, error: impl Display) -> Failure {
    Failure { code: Code::Other, text: format!("{what}: {error}") }
}

/// A failure with a code.
pub fn coded(code: Code, error: impl Display) -> Failure {
    Failure { code, text: error.to_string() }
}

/// Runs the body of a C function: no panic leaves it, and a failure's text goes
/// to `into`.
///
/// # Safety
/// `into` is null or valid for a write.
pub unsafe fn run(into: *mut Text, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    // What a panic leaves behind is in shared memory or behind the mutexes of
    // iceoryx2; there is nothing here to be found half done.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return Code::Ok as i32,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure { code: Code::Panic, text: reason(panic.as_ref()) },
    };
    // SAFETY: the caller's promise.
    if let Some(into) = unsafe { into.as_mut() } {
        (into.need, into.have) = domain::shortage().unwrap_or_default();
        let mut n = failure.text.len().min(into.text.len() - 1);
        while !failure.text.is_char_boundary(n) {
            n -= 1;
        }
        into.text[..n].copy_from_slice(&failure.text.as_bytes()[..n]);
        into.text[n] = 0;
    }
    failure.code as i32
}

fn reason(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(s), _) => s.clone(),
        (_, Some(s)) => (*s).to_string(),
        _ => "panic".to_string(),
    }
}

/// The result of opening something, but a segment that did not fit is that
/// failure, whatever iceoryx2 made of it: it goes on without a connection that
/// it cannot make, so this holds for a success too.
pub fn fitted<T>(result: Result<T, Failure>) -> Result<T, Failure> {
    match domain::shortage() {
        None => result,
        Some((need, have)) => Err(Failure {
            code: Code::NoSpace,
            text: format!("a segment of {need} bytes does not fit, {have} bytes are free"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let mut text = Text { need: 1, have: 1, text: [1; 240] };
        // SAFETY: text is valid.
        let code = unsafe { run(&raw mut text, || panic!("no {}", "way")) };
        assert_eq!(code, Code::Panic as i32);
        assert_eq!(&text.text[..7], b"no way\0");
    }

    #[test]
    fn every_c_function_catches_panics() {
        for body in include_str!("lib.rs").split("extern \"C\" fn ").skip(1) {
            let name = body.split('(').next().unwrap();
            assert!(["iox_version", "iox_bell_fd"].contains(&name) || body.contains("run("), "{name}");
        }
    }
}
