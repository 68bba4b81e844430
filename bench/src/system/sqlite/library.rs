//! As much of SQLite's C interface as inserting rows takes, from the library that the system has.
//!
//! It is loaded while the program runs, like a peer's server is started: nothing has to be installed or compiled to build the
//! benchmark, and what is measured is the distribution's SQLite.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use thiserror::Error;

/// The name that the library has had on Linux since version 3.
const FILE: &CStr = c"libsqlite3.so.0";

// Result codes, https://sqlite.org/rescode.html.
const OK: c_int = 0;
const ROW: c_int = 100;
const DONE: c_int = 101;

/// Tells a statement that what is bound to it will stay: `SQLITE_STATIC`.
const STATIC: *const c_void = ptr::null();

/// Why SQLite does not work.
#[derive(Debug, Error)]
pub enum SqliteError {
    /// The library is not there, or not complete.
    #[error("SQLite cannot be loaded: {0}")]
    Load(String),
    /// A statement failed.
    #[error("SQLite, {what}: {message}")]
    Statement {
        /// What was being done.
        what: &'static str,
        /// What it said.
        message: String,
    },
    /// The report cannot be written, or the thread cannot be timed.
    #[error("{0}")]
    Report(#[from] serde_json::Error),
}

type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
type OfObject = unsafe extern "C" fn(*mut c_void) -> c_int;
type Prepare =
    unsafe extern "C" fn(*mut c_void, *const c_char, c_int, *mut *mut c_void, *mut *const c_char) -> c_int;
type BindText = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, c_int, *const c_void) -> c_int;
type Message = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type ColumnText = unsafe extern "C" fn(*mut c_void, c_int) -> *const c_char;
type Version = unsafe extern "C" fn() -> *const c_char;

/// The functions of the library, which stays loaded until the process ends.
#[derive(Clone, Copy)]
pub(super) struct Library {
    open: Open,
    close: OfObject,
    prepare: Prepare,
    bind_text: BindText,
    step: OfObject,
    reset: OfObject,
    finalize: OfObject,
    message: Message,
    column_text: ColumnText,
    version: Version,
}

impl Library {
    /// Loads it.
    pub(super) fn load() -> Result<Library, SqliteError> {
        // SAFETY: the name is a C string. What the library does when it is loaded is to be trusted as any of the system's.
        let handle = unsafe { libc::dlopen(FILE.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let missing = || SqliteError::Load(format!("there is no {}", FILE.to_string_lossy()));
        let handle = NonNull::new(handle).ok_or_else(missing)?;
        let symbol = |name: &CStr| {
            // SAFETY: the handle is of a library that is loaded, and the name is a C string.
            let address = unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) };
            let missing = || SqliteError::Load(format!("it has no {}", name.to_string_lossy()));
            NonNull::new(address).map(NonNull::as_ptr).ok_or_else(missing)
        };
        // SAFETY: each address is that of the function of this name, whose signature in sqlite3.h is the type that it is
        // given here; SQLite has kept them all since version 3.5.
        unsafe {
            Ok(Library {
                open: std::mem::transmute::<*mut c_void, Open>(symbol(c"sqlite3_open")?),
                close: std::mem::transmute::<*mut c_void, OfObject>(symbol(c"sqlite3_close")?),
                prepare: std::mem::transmute::<*mut c_void, Prepare>(symbol(c"sqlite3_prepare_v2")?),
                bind_text: std::mem::transmute::<*mut c_void, BindText>(symbol(c"sqlite3_bind_text")?),
                step: std::mem::transmute::<*mut c_void, OfObject>(symbol(c"sqlite3_step")?),
                reset: std::mem::transmute::<*mut c_void, OfObject>(symbol(c"sqlite3_reset")?),
                finalize: std::mem::transmute::<*mut c_void, OfObject>(symbol(c"sqlite3_finalize")?),
                message: std::mem::transmute::<*mut c_void, Message>(symbol(c"sqlite3_errmsg")?),
                column_text: std::mem::transmute::<*mut c_void, ColumnText>(symbol(c"sqlite3_column_text")?),
                version: std::mem::transmute::<*mut c_void, Version>(symbol(c"sqlite3_libversion")?),
            })
        }
    }

    /// Its version.
    pub(super) fn version(&self) -> String {
        // SAFETY: the function takes nothing and returns a C string that is constant.
        unsafe { CStr::from_ptr((self.version)()) }.to_string_lossy().into_owned()
    }

    /// Opens or makes a database.
    pub(super) fn open(self, path: &Path) -> Result<Database, SqliteError> {
        let wrong = |message: String| SqliteError::Statement { what: "opening the database", message };
        let path =
            CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| wrong(error.to_string()))?;
        let mut database = ptr::null_mut();
        // SAFETY: the path is a C string, and the place for the connection lives through the call.
        let code = unsafe { (self.open)(path.as_ptr(), &mut database) };
        let database = NonNull::new(database).ok_or_else(|| wrong("there is no memory".to_owned()))?;
        // Also what could not be opened has to be closed.
        let database = Database { library: self, database };
        if code == OK { Ok(database) } else { Err(database.error("opening the database")) }
    }
}

/// An open database.
pub(super) struct Database {
    library: Library,
    database: NonNull<c_void>,
}

impl Database {
    /// Prepares a statement.
    pub(super) fn prepare(&self, what: &'static str, sql: &CStr) -> Result<Statement<'_>, SqliteError> {
        let mut statement = ptr::null_mut();
        // SAFETY: the connection is open, the text is a C string (length −1), and the place for the statement lives through the
        // call. Where the text ends is not asked for.
        let code = unsafe {
            (self.library.prepare)(self.database.as_ptr(), sql.as_ptr(), -1, &mut statement, ptr::null_mut())
        };
        match NonNull::new(statement) {
            Some(statement) if code == OK => Ok(Statement { database: self, statement, what }),
            _ => Err(self.error(what)),
        }
    }

    /// Runs a statement that has no parameters. Gives the text of the first column of its first row, if it has one.
    pub(super) fn run(&self, what: &'static str, sql: &CStr) -> Result<Option<String>, SqliteError> {
        let statement = self.prepare(what, sql)?;
        if !statement.step()? {
            return Ok(None);
        }
        // SAFETY: the statement has a row, and the text lives until the next call with it, which is after it was copied.
        let text = unsafe {
            let text = (self.library.column_text)(statement.statement.as_ptr(), 0);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
        };
        Ok(text)
    }

    fn error(&self, what: &'static str) -> SqliteError {
        // SAFETY: the connection is not closed yet; the text is a C string that lives until the next call with it.
        let message = unsafe { CStr::from_ptr((self.library.message)(self.database.as_ptr())) };
        SqliteError::Statement { what, message: message.to_string_lossy().into_owned() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: it is open, all its statements, which borrow it, are gone, and nobody has it any more.
        unsafe { (self.library.close)(self.database.as_ptr()) };
    }
}

/// A prepared statement.
pub(super) struct Statement<'a> {
    database: &'a Database,
    statement: NonNull<c_void>,
    what: &'static str,
}

impl Statement<'_> {
    /// Runs it with these parameters, to its end.
    pub(super) fn run_with(&mut self, parameters: &[&[u8]]) -> Result<(), SqliteError> {
        let library = &self.database.library;
        for (number, text) in (1..).zip(parameters) {
            // SAFETY: the text, of which SQLite is told the length and that it stays, lives until the statement has run and is
            // reset below; no text is as long as a c_int can say.
            let code = unsafe {
                let (start, length) = (text.as_ptr().cast(), text.len() as c_int);
                (library.bind_text)(self.statement.as_ptr(), number, start, length, STATIC)
            };
            if code != OK {
                return Err(self.database.error(self.what));
            }
        }
        let stepped = self.step();
        // SAFETY: the statement is prepared and not finalized.
        let code = unsafe { (library.reset)(self.statement.as_ptr()) };
        stepped?;
        if code == OK { Ok(()) } else { Err(self.database.error(self.what)) }
    }

    /// `true` when there is a row, `false` at the end.
    fn step(&self) -> Result<bool, SqliteError> {
        // SAFETY: the statement is prepared and not finalized.
        match unsafe { (self.database.library.step)(self.statement.as_ptr()) } {
            ROW => Ok(true),
            DONE => Ok(false),
            _ => Err(self.database.error(self.what)),
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: it is prepared, not finalized yet, and nobody has it any more.
        unsafe { (self.database.library.finalize)(self.statement.as_ptr()) };
    }
}
