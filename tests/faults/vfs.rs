//! What SQLite calls: each function asks what is to become of the call, and hands it on to the real file.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use rusqlite::ffi::{
    self, SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR_DELETE, SQLITE_IOERR_FSTAT, SQLITE_IOERR_FSYNC,
    SQLITE_IOERR_READ, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE, SQLITE_OK, sqlite3_file,
    sqlite3_io_methods, sqlite3_vfs,
};

use crate::state::{Call, Fate, with};

/// The file as SQLite sees it. The real one lies behind it, in the same memory.
#[repr(C)]
struct Handle {
    base: sqlite3_file,
    path: *mut PathBuf,
}

/// The real file system, which outlives everything.
struct Real(*mut sqlite3_vfs);

// SAFETY: SQLite's file systems are made to be used from any thread, and this one is never changed.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

pub(crate) fn install() {
    REAL.get_or_init(|| {
        // SAFETY: plain calls of SQLite's interface; the copy is registered once and never freed.
        unsafe {
            ffi::sqlite3_initialize();
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            let mut ours = *real;
            ours.szOsFile += size_of::<Handle>() as c_int;
            ours.zName = c"faults".as_ptr();
            ours.pNext = std::ptr::null_mut();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1);
            Real(real)
        }
    });
}

fn real_vfs() -> *mut sqlite3_vfs {
    REAL.get().map_or(std::ptr::null_mut(), |real| real.0)
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // No shared memory and no mapping: the program needs neither.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// The real file of a handle.
///
/// # Safety
/// `file` is a handle that `open` was given.
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite gave as many bytes as `szOsFile` asks for, which is both.
    unsafe { file.cast::<u8>().add(size_of::<Handle>()).cast() }
}

/// Calls a method of the real file.
macro_rules! real {
    ($file:ident, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: the real file is open as long as the handle is, and has all methods of version 1.
        unsafe {
            let inner = real($file);
            match (*(*inner).pMethods).$method {
                Some(method) => method(inner $(, $argument)*),
                None => SQLITE_OK,
            }
        }
    }};
}

/// The file's path; `None` for a temporary one.
fn path_of<'a>(file: *mut sqlite3_file) -> Option<&'a PathBuf> {
    // SAFETY: SQLite calls with open handles only, and the path lives as long as its handle.
    unsafe { (*file.cast::<Handle>()).path.as_ref() }
}

fn fate(file: *mut sqlite3_file, call: Call) -> Fate {
    match path_of(file) {
        Some(_) => with(|state| state.fate(call)),
        None => Fate::Passes,
    }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives memory for the handle, and a name that ends with 0, or none.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let path =
            (!name.is_null()).then(|| PathBuf::from(OsStr::from_bytes(CStr::from_ptr(name).to_bytes())));
        if path.is_some() && with(|state| state.fate(Call::Open)) != Fate::Passes {
            return SQLITE_CANTOPEN;
        }
        let Some(real_open) = (*real_vfs()).xOpen else { return SQLITE_CANTOPEN };
        let code = real_open(real_vfs(), name, real(file), flags, out);
        if code == SQLITE_OK {
            let handle = file.cast::<Handle>();
            (*handle).path = match path {
                Some(path) => {
                    with(|state| state.opened(path.clone()));
                    Box::into_raw(Box::new(path))
                }
                None => std::ptr::null_mut(),
            };
            (*file).pMethods = &raw const METHODS;
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    if with(|state| state.fate(Call::Delete)) != Fate::Passes {
        return SQLITE_IOERR_DELETE;
    }
    // SAFETY: SQLite gives a name that ends with 0.
    unsafe {
        let path = PathBuf::from(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()));
        with(|state| state.deleted(&path));
        match (*real_vfs()).xDelete {
            Some(real_delete) => real_delete(real_vfs(), name, sync),
            None => SQLITE_IOERR_DELETE,
        }
    }
}

/// It never fails: the program is to let go of its locks.
unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let code = real!(file, xClose);
    // SAFETY: the path was made by `open`, and nobody uses the handle any more.
    unsafe {
        let handle = file.cast::<Handle>();
        if !(*handle).path.is_null() {
            drop(Box::from_raw((*handle).path));
        }
        (*file).pMethods = std::ptr::null();
    }
    code
}

unsafe extern "C" fn read(file: *mut sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    match fate(file, Call::Read) {
        Fate::Passes => real!(file, xRead, into, amount, offset),
        _ => SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    let (amount, code) = match fate(file, Call::Write) {
        Fate::Passes => (amount, SQLITE_OK),
        Fate::Half => (amount / 2, SQLITE_FULL),
        Fate::Full => return SQLITE_FULL,
        Fate::Fails => return SQLITE_IOERR_WRITE,
    };
    let written = real!(file, xWrite, from, amount, offset);
    if let Some(path) = path_of(file) {
        with(|state| state.wrote(path, offset.unsigned_abs(), amount.unsigned_abs().into()));
    }
    if code == SQLITE_OK { written } else { code }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    match fate(file, Call::Truncate) {
        Fate::Passes => real!(file, xTruncate, size),
        _ => SQLITE_IOERR_TRUNCATE,
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    if fate(file, Call::Sync) != Fate::Passes {
        if let Some(path) = path_of(file) {
            with(|state| state.not_synced(path));
        }
        return SQLITE_IOERR_FSYNC;
    }
    // The real one would only take time: nobody cuts the machine's power.
    if let Some(path) = path_of(file) {
        with(|state| state.synced(path));
    }
    SQLITE_OK
}

unsafe extern "C" fn size(file: *mut sqlite3_file, out: *mut i64) -> c_int {
    match fate(file, Call::Size) {
        Fate::Passes => real!(file, xFileSize, out),
        _ => SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    real!(file, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    real!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    real!(file, xCheckReservedLock, out)
}

unsafe extern "C" fn control(file: *mut sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    real!(file, xFileControl, what, argument)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    real!(file, xSectorSize)
}

unsafe extern "C" fn characteristics(file: *mut sqlite3_file) -> c_int {
    real!(file, xDeviceCharacteristics)
}
