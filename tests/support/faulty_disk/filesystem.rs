//! What the kernel asks of the file system.

use std::ffi::OsStr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::Shared;
use super::fault::{Fate, Request as Asked};
use super::medium::{BLOCK_BYTES, Body, Directory, File, Inode};

/// How long the kernel may believe what it was told: not at all.
const TTL: Duration = Duration::ZERO;

/// The largest write that the kernel passes on as one: as large as a frame of the log.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// Space that the file system says it has.
const SPACE_BLOCKS: u64 = 1 << 20;

/// A disk behind FUSE.
pub(super) struct FaultyFileSystem {
    shared: Arc<Shared>,
}

impl FaultyFileSystem {
    pub(super) fn new(shared: Arc<Shared>) -> FaultyFileSystem {
        FaultyFileSystem { shared }
    }

    fn attributes(&self, inode: u64) -> Result<FileAttr, i32> {
        self.shared.plan().check_power()?;
        self.shared.medium().inode(inode).map(|found| attributes(inode, found))
    }

    fn make(&self, parent: INodeNo, name: &OsStr, mode: u32, body: Body) -> Result<FileAttr, i32> {
        self.change_of(name)?;
        let inode = self.shared.medium().make(parent.0, name, mode, body)?;
        self.attributes(inode)
    }

    fn unlink_name(&self, parent: INodeNo, name: &OsStr) -> Result<(), i32> {
        self.change_of(name)?;
        self.shared.medium().unlink(parent.0, name)
    }

    /// Whether a name may change.
    fn change_of(&self, name: &OsStr) -> Result<(), i32> {
        self.shared.plan().check(&name.to_string_lossy(), Asked::Change)
    }

    /// The name that a file or directory was given last.
    fn name(&self, inode: u64) -> Result<String, i32> {
        self.shared.medium().inode(inode).map(|found| found.name.clone())
    }

    /// Writes, as far as the fault that is armed permits. Gives how many bytes the kernel is told were written.
    fn write_bytes(&self, inode: u64, offset: usize, bytes: &[u8], is_durable: bool) -> Result<usize, i32> {
        let asked = if is_durable { Asked::DurableWrite } else { Asked::Write };
        let name = self.name(inode)?;
        let fate = self.shared.plan().fate(&name, asked);
        if let Fate::Late(delay) = fate {
            thread::sleep(delay);
        }
        let mut medium = self.shared.medium();
        // What the power cut has come upon meanwhile is lost.
        if fate != Fate::Cut {
            self.shared.plan().check_power()?;
        }
        let file = medium.file(inode)?;
        let written = match fate {
            Fate::Done | Fate::Late(_) | Fate::Loose => bytes.len(),
            Fate::Short => bytes.len().saturating_sub(BLOCK_BYTES),
            Fate::Failed(errno) => return Err(errno),
            Fate::Cut => {
                file.write(offset, bytes);
                return Err(libc::EIO);
            }
        };
        file.write(offset, &bytes[..written]);
        if is_durable && fate != Fate::Loose {
            file.sync_range(offset, offset + written);
        }
        Ok(written)
    }

    fn sync(&self, inode: u64) -> Result<(), i32> {
        let name = self.name(inode)?;
        let checked = self.shared.plan().check(&name, Asked::Sync);
        let mut medium = self.shared.medium();
        let file = medium.file(inode)?;
        match checked {
            Ok(()) => file.sync(),
            Err(_) => file.sync_failed(),
        }
        checked
    }

    fn sync_names(&self, inode: u64) -> Result<(), i32> {
        let name = self.name(inode)?;
        self.shared.plan().check(&name, Asked::Sync)?;
        self.shared.medium().sync_directory(inode)
    }

    fn set_attributes(&self, inode: u64, mode: Option<u32>, size: Option<u64>) -> Result<FileAttr, i32> {
        let name = self.name(inode)?;
        self.shared.plan().check(&name, Asked::Change)?;
        let mut medium = self.shared.medium();
        if let Some(mode) = mode {
            medium.set_mode(inode, mode & 0o7777)?;
        }
        if let Some(size) = size {
            medium.file(inode)?.set_len(size as usize);
        }
        medium.inode(inode).map(|found| attributes(inode, found))
    }

    fn allocate(&self, inode: u64, end: usize) -> Result<(), i32> {
        let name = self.name(inode)?;
        self.shared.plan().check(&name, Asked::Write)?;
        let mut medium = self.shared.medium();
        let file = medium.file(inode)?;
        if end > file.bytes.len() {
            file.set_len(end);
        }
        Ok(())
    }
}

impl Filesystem for FaultyFileSystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // A kernel that permits less says what it permits.
        if let Err(most) = config.set_max_write(WRITE_BYTES_MAX) {
            let _ = config.set_max_write(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.shared.medium().find(parent.0, name);
        match found.and_then(|inode| self.attributes(inode)) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.set_attributes(inode.0, mode, size) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        match self.make(parent, name, mode & !umask & 0o7777, Body::Directory(Directory::default())) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(parent, name, mode & !umask & 0o7777, Body::File(File::default())) {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.unlink_name(parent, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.unlink_name(parent, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let must_be_new = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let renamed = self.change_of(name).and_then(|()| {
            self.shared.medium().rename((parent.0, name), (new_parent.0, new_name), must_be_new)
        });
        answer(renamed, reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.shared.plan().check_power() {
            // No page cache may stand between a program and what the disk has.
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Err(errno) = self.shared.plan().check_read(inode.0, offset, u64::from(size)) {
            return reply.error(Errno::from_i32(errno));
        }
        match self.shared.medium().file(inode.0) {
            Ok(file) => reply.data(file.read(offset as usize, size as usize)),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // The kernel tells here of a single write as well that it is to be durable.
        let is_durable = flags.0 & libc::O_DSYNC != 0;
        match self.write_bytes(inode.0, offset as usize, bytes, is_durable) {
            Ok(written) => reply.written(written as u32),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        answer(self.sync(inode.0), reply);
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        answer(self.sync_names(inode.0), reply);
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let medium = self.shared.medium();
        let directory = match medium.directory(inode.0) {
            Ok(directory) => directory,
            Err(errno) => return reply.error(Errno::from_i32(errno)),
        };
        // By inode, and from the one given last: a place in a list would mean another name when names come and go between two calls.
        let mut entries: Vec<_> = directory.names.iter().filter(|(_, inode)| **inode > offset).collect();
        entries.sort_unstable_by_key(|(_, inode)| **inode);
        for (name, inode) in entries {
            let kind = medium.inode(*inode).map_or(FileType::RegularFile, kind);
            if reply.add(INodeNo(*inode), *inode, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let block_bytes = BLOCK_BYTES as u32;
        reply.statfs(
            SPACE_BLOCKS,
            SPACE_BLOCKS / 2,
            SPACE_BLOCKS / 2,
            1000,
            500,
            block_bytes,
            255,
            block_bytes,
        );
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let allocated = match mode {
            0 => self.allocate(inode.0, (offset + length) as usize),
            libc::FALLOC_FL_KEEP_SIZE => self.allocate(inode.0, 0),
            _ => Err(libc::EOPNOTSUPP),
        };
        answer(allocated, reply);
    }
}

fn answer(outcome: Result<(), i32>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}

fn kind(inode: &Inode) -> FileType {
    match inode.body {
        Body::File(_) => FileType::RegularFile,
        Body::Directory(_) => FileType::Directory,
    }
}

fn attributes(number: u64, inode: &Inode) -> FileAttr {
    let size = match &inode.body {
        Body::File(file) => file.bytes.len() as u64,
        Body::Directory(_) => BLOCK_BYTES as u64,
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(inode),
        perm: inode.mode as u16,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}
