//! The C library's calls that nothing safe wraps. The only `unsafe` of this crate; knows nothing of what they are for.

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::ffi::{CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
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
    let name = CString::new(name)?;
    look_up(|buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::zeroed();
        let mut found = ptr::null_mut();
        // SAFETY: every pointer is valid for the call, and the length is the buffer's.
        let error = unsafe {
            let (start, length) = (buffer.as_mut_ptr(), buffer.len());
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), start, length, &mut found)
        };
        // SAFETY: where `found` is set it points to `entry`, which the call has filled.
        (error, unsafe { found.as_ref() }.map(|entry| entry.pw_uid))
    })
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
fn look_up(mut ask: impl FnMut(&mut [c_char]) -> (i32, Option<u32>)) -> io::Result<Option<u32>> {
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
