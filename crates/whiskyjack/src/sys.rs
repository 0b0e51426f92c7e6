//! The C library's calls that nothing safe wraps. The only `unsafe` of this crate; knows nothing of what they are for.

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// A moment on the clock of the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// with the century
    pub year: i32,
    /// 1 to 12
    pub month: u8,
    /// 1 to 31
    pub day: u8,
    /// 0 to 23
    pub hour: u8,
    /// 0 to 59
    pub minute: u8,
    /// 0 to 60
    pub second: u8,
    /// seconds east of Greenwich
    pub offset: i64,
}

/// The local time `second` seconds after the Unix epoch; the epoch where the year does not fit.
pub fn local_time(second: i64) -> LocalTime {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    let second = second as libc::time_t;
    // SAFETY: both pointers are valid for the call, and all-zero is a valid tm (its zone pointer is only ever null or
    // the library's own), so that it may be read even if the call fails.
    let parts = unsafe {
        libc::localtime_r(&second, parts.as_mut_ptr());
        parts.assume_init()
    };
    // Every field but the year is bounded far below these types' limits by the C standard.
    LocalTime {
        year: parts.tm_year.saturating_add(1900),
        month: parts.tm_mon as u8 + 1,
        day: parts.tm_mday as u8,
        hour: parts.tm_hour as u8,
        minute: parts.tm_min as u8,
        second: parts.tm_sec as u8,
        offset: parts.tm_gmtoff as i64,
    }
}

/// Ends the process at once: no destructor runs, no buffer is flushed, no thread is waited for.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any number and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Takes over a descriptor that this process was started with.
pub fn take_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only asks whether the descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started the process gave it to us by name; `sockets` takes each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor of our own for what a number stands for that belongs to somebody else. Fails if it stands for nothing.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is not -1, and it is borrowed for the duplication alone. Should its owner close it at this moment, the duplicate is of
    // another file or there is none; the kernel does not mind.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Zeroed words that this process shares with those it forks, for as long as any of them lives.
pub fn shared_words(count: usize) -> io::Result<&'static [AtomicU64]> {
    let length = count * size_of::<AtomicU64>();
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), length, access, flags)? };
    // SAFETY: the mapping is of that length, aligned to a page, zeroed, and never unmapped; whoever shares it writes through
    // atomics only.
    Ok(unsafe { slice::from_raw_parts(start.cast::<AtomicU64>(), count) })
}

/// The number of a user, where there is one of this name.
pub fn user_id(name: &str) -> io::Result<Option<u32>> {
    Ok(user(name)?.map(|user| user.id))
}

/// A user as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// its number
    pub id: u32,
    /// the number of its own group
    pub group: u32,
    /// its name
    pub name: String,
}

impl User {
    /// # Safety
    /// The entry was filled by the C library, and its buffer is there still.
    unsafe fn of(entry: &libc::passwd) -> User {
        // SAFETY: a filled entry's name points to text that ends with a NUL byte, in the buffer that the caller answers for.
        let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_string_lossy().into_owned();
        User { id: entry.pw_uid, group: entry.pw_gid, name }
    }
}

/// The user of this name.
pub fn user(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name)?;
    look_up(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::zeroed();
        let mut found = ptr::null_mut();
        // SAFETY: every pointer is valid for the call, and the length is the buffer's.
        let error = unsafe {
            let (start, length) = (buffer.as_mut_ptr(), buffer.len());
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), start, length, &mut found)
        };
        // SAFETY: where `found` is set it points to `entry`, which the call has filled from the buffer.
        (error, unsafe { found.as_ref().map(|entry| User::of(entry)) })
    })
}

/// The user of this number.
pub fn user_by_id(id: u32) -> io::Result<Option<User>> {
    look_up(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::zeroed();
        let mut found = ptr::null_mut();
        // SAFETY: every pointer is valid for the call, and the length is the buffer's.
        let error = unsafe {
            let (start, length) = (buffer.as_mut_ptr(), buffer.len());
            libc::getpwuid_r(id, entry.as_mut_ptr(), start, length, &mut found)
        };
        // SAFETY: where `found` is set it points to `entry`, which the call has filled from the buffer.
        (error, unsafe { found.as_ref().map(|entry| User::of(entry)) })
    })
}

/// Takes on a group, and the other groups of the user where one is named. Root alone may.
pub fn set_groups(user: Option<&str>, group: u32) -> io::Result<()> {
    let done = match user {
        Some(user) => {
            let user = CString::new(user)?;
            // SAFETY: the name ends with a NUL byte, and is there for the call. The cast fits what this system calls a group.
            unsafe { libc::initgroups(user.as_ptr(), group as _) }
        }
        // SAFETY: one group, and a pointer to it that is valid for the call.
        None => unsafe { libc::setgroups(1, &group) },
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it takes any number and touches no memory of ours.
    match unsafe { libc::setgid(group) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Becomes a user for good, in every thread. The groups must have been taken on before.
pub fn set_user(user: u32) -> io::Result<()> {
    // SAFETY: it takes any number and touches no memory of ours.
    if unsafe { libc::setuid(user) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above. It must fail: a way back to root would be one for whoever breaks in, too.
    if user != 0 && unsafe { libc::setuid(0) } == 0 {
        return Err(io::Error::other("the system would let this user become root again"));
    }
    Ok(())
}

/// Writes over the words that this process was started with, as far as they reach, which is what `ps` shows.
#[cfg(target_os = "linux")]
pub fn overwrite_arguments(text: &[u8]) {
    /// Where the words are. Asked for once: a process that has changed its user is not told.
    static PLACE: OnceLock<Option<(usize, usize)>> = OnceLock::new();
    let Some((start, end)) = *PLACE.get_or_init(arguments) else { return };
    let room = end - start;
    let length = text.len().min(room - 1);
    // SAFETY: the kernel says that the words of this process are there, where it has put them before its first instruction, in memory
    // that can be written and is never given back. Python and the C library have made copies by now, but for a few that
    // look for a NUL byte, which is still at the end. Only the main thread of a process that has no other calls this.
    unsafe {
        let place = start as *mut u8;
        ptr::write_bytes(place, 0, room);
        ptr::copy_nonoverlapping(text.as_ptr(), place, length);
    }
}

/// Elsewhere there is no such way.
#[cfg(not(target_os = "linux"))]
pub fn overwrite_arguments(_: &[u8]) {}

/// The first address of the words that this process was started with, and the one behind the last.
#[cfg(target_os = "linux")]
fn arguments() -> Option<(usize, usize)> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may have anything in it. The next field is the third, and the two are the 48th and 49th.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && end > start + 1).then_some((start, end))
}

/// The number of a group, where there is one of this name.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    look_up(|buffer| {
        let mut entry = MaybeUninit::<libc::group>::zeroed();
        let mut found = ptr::null_mut();
        // SAFETY: every pointer is valid for the call, and the length is the buffer's.
        let error = unsafe {
            let (start, length) = (buffer.as_mut_ptr(), buffer.len());
            libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), start, length, &mut found)
        };
        // SAFETY: where `found` is set it points to `entry`, which the call has filled.
        (error, unsafe { found.as_ref() }.map(|entry| entry.gr_gid))
    })
}

/// Asks with ever larger buffers until the answer fits.
fn look_up<T>(mut ask: impl FnMut(&mut [c_char]) -> (i32, Option<T>)) -> io::Result<Option<T>> {
    let mut buffer = vec![0; 1024];
    loop {
        match ask(&mut buffer) {
            (0, found) => return Ok(found),
            (libc::ERANGE, _) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            // POSIX lets an unknown name be any of these as well
            (libc::ENOENT | libc::ESRCH, _) => return Ok(None),
            (error, _) => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_user_and_group_zero() {
        assert_eq!(user_id("root").expect("a look-up"), Some(0));
        assert_eq!(group_id("no-such-group").expect("a look-up"), None);
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_refused() {
        assert!(take_descriptor(987_654).is_err());
    }

    #[test]
    fn local_time_and_its_offset_agree_with_the_epoch() {
        let time = local_time(1_000_000_000);
        let minutes = i64::from(time.hour) * 60 + i64::from(time.minute);
        // 01:46:40 UTC
        assert_eq!((minutes * 60 - time.offset).rem_euclid(86_400), 6_360);
        assert_eq!((time.year, time.month, time.second), (2001, 9, 40));
    }
}
