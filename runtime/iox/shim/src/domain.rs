//! Domains, and the libc functions through which iceoryx2 reaches them.
//!
//! POSIX shared memory has one directory a machine, /dev/shm. A medianode
//! project has a directory of its own, which its containers see as /dev/shm.
//! So that one host process reaches the segments of several projects, this
//! library defines `shm_open` and `shm_unlink` itself (a linker prefers them to
//! libc's, static or dynamic) and finds the directory by the prefix that
//! iceoryx2 puts before each name. iceoryx2 calls them from any thread, from
//! drops and from cleaning, so the name is all there is to go by. A name
//! without a registered prefix does not exist: the host's /dev/shm is never
//! touched.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use libc::{c_char, c_int, mode_t, off_t};

/// Where the segments of one prefix are. Everything that may still remove a
/// segment holds one, so that the last drop still finds its files.
#[derive(Debug)]
pub struct Domain {
    pub prefix: Vec<u8>,
    pub dir: PathBuf,
}

static TABLE: RwLock<Vec<Weak<Domain>>> = RwLock::new(Vec::new());

thread_local! {
    /// The domain of the C function that runs on this thread, for listing:
    /// unlike opening, listing has no name to go by.
    static CURRENT: Cell<*const Domain> = const { Cell::new(ptr::null()) };
    /// The segment that this thread has created and not sized yet.
    static UNSIZED: RefCell<Option<(c_int, CString)>> = const { RefCell::new(None) };
    /// Set when a segment did not fit: bytes wanted and bytes free.
    static SHORTAGE: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

impl Domain {
    /// Registers a prefix, or shares what is registered. A prefix of another
    /// prefix, or one prefix with two directories, is refused.
    pub fn register(prefix: &[u8], dir: &Path) -> Result<Arc<Domain>, String> {
        if prefix.is_empty() || prefix.contains(&b'/') {
            return Err(format!("prefix {:?} is no file name", show(prefix)));
        }
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        table.retain(|d| d.strong_count() > 0);
        for domain in table.iter().filter_map(Weak::upgrade) {
            if domain.prefix == prefix && domain.dir == dir {
                return Ok(domain);
            }
            if domain.prefix.starts_with(prefix) || prefix.starts_with(&domain.prefix) {
                return Err(format!(
                    "prefix {:?} in {} clashes with prefix {:?} in {}",
                    show(prefix),
                    dir.display(),
                    show(&domain.prefix),
                    domain.dir.display()
                ));
            }
        }
        let domain = Arc::new(Domain { prefix: prefix.to_vec(), dir: dir.to_path_buf() });
        table.push(Arc::downgrade(&domain));
        Ok(domain)
    }

    /// Makes this the domain that iceoryx2 lists while the guard lives, and
    /// forgets a shortage of an earlier call.
    pub fn enter(&self) -> Entered {
        SHORTAGE.set(None);
        Entered(CURRENT.replace(self))
    }

    /// The path of a segment, if the name is one of a registered domain.
    fn locate(name: &CStr) -> Option<CString> {
        let name = name.to_bytes();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if name.contains(&b'/') {
            return None;
        }
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        let domain = table.iter().filter_map(Weak::upgrade).find(|d| name.starts_with(&d.prefix))?;
        CString::new(domain.dir.join(OsStr::from_bytes(name)).into_os_string().into_encoded_bytes()).ok()
    }
}

/// Ends the listing domain of a thread when dropped.
pub struct Entered(*const Domain);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The shortage of the call that is under way: bytes wanted and bytes free.
pub fn shortage() -> Option<(u64, u64)> {
    SHORTAGE.get()
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fail<T>(errno: c_int, value: T) -> T {
    // SAFETY: the location of errno is valid for the calling thread.
    unsafe { *libc::__errno_location() = errno };
    value
}

/// libc's `shm_open` over registered prefixes.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    let Some(path) = Domain::locate(unsafe { CStr::from_ptr(name) }) else {
        return fail(libc::ENOENT, -1);
    };
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: path is a C string.
    let fd = unsafe { libc::open(path.as_ptr(), flags, mode) };
    if fd >= 0 && flags & libc::O_CREAT != 0 {
        UNSIZED.set(Some((fd, path)));
    }
    fd
}

/// libc's `shm_unlink` over registered prefixes.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let Some(path) = Domain::locate(unsafe { CStr::from_ptr(name) }) else {
        return fail(libc::ENOENT, -1);
    };
    // SAFETY: path is a C string.
    unsafe { libc::unlink(path.as_ptr()) }
}

/// libc's `ftruncate`, but a segment that was just created is given its memory.
///
/// iceoryx2 sizes segments without touching them. On a tmpfs that is too small
/// this succeeds, and the first write is a SIGBUS, which ends the process. Given
/// its memory here, a segment that does not fit is an error of its creation.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    if let Some((created, path)) = UNSIZED.take()
        && created == fd
        && length > 0
        && !populate(fd, length)
    {
        // iceoryx2 does not remove a segment that it cannot size.
        // SAFETY: path is a C string; the location of errno is valid.
        unsafe {
            let errno = *libc::__errno_location();
            libc::unlink(path.as_ptr());
            return fail(errno, -1);
        }
    }
    // SAFETY: a system call on numbers. By number, because the name is this
    // function.
    unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) as c_int }
}

/// Allocates a file's pages; false with errno set if they do not fit.
fn populate(fd: c_int, length: off_t) -> bool {
    // A signal that is pending makes the kernel undo the piece that is under
    // way. Pieces of a millisecond go on under a profiler's timer.
    const PIECE: off_t = 4 << 20;
    let mut at = 0;
    while at < length {
        let piece = PIECE.min(length - at);
        // SAFETY: a system call on numbers.
        if unsafe { libc::fallocate(fd, 0, at, piece) } == 0 {
            at += piece;
            continue;
        }
        // SAFETY: the location of errno is valid for the calling thread.
        match unsafe { *libc::__errno_location() } {
            libc::EINTR => {}
            // No file system for shared memory, but one that grows on write.
            libc::EOPNOTSUPP => return true,
            errno => {
                // SAFETY: a system call on numbers. Frees the pieces before.
                unsafe { libc::syscall(libc::SYS_ftruncate, fd, 0) };
                if errno == libc::ENOSPC {
                    SHORTAGE.set(Some((length as u64, free(fd))));
                }
                return fail(errno, false);
            }
        }
    }
    true
}

/// The bytes that are free where a file is.
fn free(fd: c_int) -> u64 {
    // SAFETY: statvfs is plain numbers, and fstatvfs fills it.
    unsafe {
        let mut s: libc::statvfs = std::mem::zeroed();
        match libc::fstatvfs(fd, &mut s) {
            0 => s.f_bavail * s.f_frsize,
            _ => 0,
        }
    }
}

/// libc's `opendir`, but /dev/shm is the domain's directory: iceoryx2 lists the
/// connections of a dead port there.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(name: *const c_char) -> *mut libc::DIR {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    let path = match name.to_bytes() {
        b"/dev/shm/" => {
            // SAFETY: null, or a domain that the guard of `enter` borrows.
            let Some(domain) = (unsafe { CURRENT.get().as_ref() }) else {
                return fail(libc::ENOENT, ptr::null_mut());
            };
            match CString::new(domain.dir.as_os_str().as_bytes()) {
                Ok(path) => path,
                Err(_) => return fail(libc::EINVAL, ptr::null_mut()),
            }
        }
        _ => name.to_owned(),
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: path is a C string; the descriptor is owned here and given on.
    unsafe {
        let fd = libc::open(path.as_ptr(), flags);
        if fd < 0 {
            return ptr::null_mut();
        }
        let dir = libc::fdopendir(fd);
        if dir.is_null() {
            let errno = *libc::__errno_location();
            libc::close(fd);
            return fail(errno, dir);
        }
        dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("medianode-iox-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_name_is_found_by_its_prefix_alone() {
        let dir = scratch("prefix");
        let domain = Domain::register(b"one_", &dir).unwrap();
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        // SAFETY: the names are C strings; the descriptor is closed once.
        unsafe {
            let fd = shm_open(c"/one_x".as_ptr(), create, 0o600);
            assert!(fd >= 0 && dir.join("one_x").exists());
            assert_eq!(ftruncate(fd, 10_000), 0);
            assert_eq!(libc::close(fd), 0);
            for name in [c"/two_x", c"/one", c"/one_/../x"] {
                assert_eq!(shm_open(name.as_ptr(), create, 0o600), -1);
                assert_eq!(shm_unlink(name.as_ptr()), -1);
                assert_eq!(*libc::__errno_location(), libc::ENOENT);
            }
            assert_eq!(shm_unlink(c"/one_x".as_ptr()), 0);
        }
        drop(domain);
        // SAFETY: the name is a C string.
        assert_eq!(unsafe { shm_open(c"/one_x".as_ptr(), create, 0o600) }, -1);
        fs::remove_dir(dir).unwrap();
    }

    #[test]
    fn prefixes_do_not_clash() {
        let dir = scratch("clash");
        let first = Domain::register(b"clash_", &dir).unwrap();
        assert!(Arc::ptr_eq(&first, &Domain::register(b"clash_", &dir).unwrap()));
        assert!(Domain::register(b"clash_", Path::new("/")).is_err());
        assert!(Domain::register(b"clash_2", &dir).is_err());
        assert!(Domain::register(b"cla", &dir).is_err());
        assert!(Domain::register(b"", &dir).is_err());
        drop(first);
        Domain::register(b"cla", &dir).unwrap();
        fs::remove_dir(dir).unwrap();
    }

    #[test]
    fn dev_shm_is_listed_in_the_domain_alone() {
        let dir = scratch("list");
        fs::write(dir.join("list_a"), []).unwrap();
        let domain = Domain::register(b"list_", &dir).unwrap();
        // SAFETY: the names are C strings; what is opened is closed.
        unsafe {
            assert!(opendir(c"/dev/shm/".as_ptr()).is_null());
            let guard = domain.enter();
            let listed = opendir(c"/dev/shm/".as_ptr());
            let mut names = Vec::new();
            loop {
                let entry = libc::readdir(listed);
                if entry.is_null() {
                    break;
                }
                names.push(CStr::from_ptr((*entry).d_name.as_ptr()).to_owned());
            }
            libc::closedir(listed);
            drop(guard);
            names.retain(|n| !n.to_bytes().starts_with(b"."));
            assert_eq!(names, [CString::new("list_a").unwrap()]);
            assert!(opendir(c"/dev/shm/".as_ptr()).is_null());
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
