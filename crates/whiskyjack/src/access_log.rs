//! The access log: a line for each request, in the common log format, whole or not at all.
//! Knows nothing of sockets: the server tells it of each request that ended.

use crate::logs::{offset, second};
use crate::sys;
use crate::values::Output;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use whiskyjack_proto::head::Version;
use whiskyjack_server::config::{Observer, Record};
use whiskyjack_server::exchange::Address;

/// Writes a line for each request that ended.
#[derive(Debug)]
pub struct AccessLog {
    output: Output,
    /// guards the file and the line under construction
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    /// `- - [21/Nov/2026:09:00:00 +0000]` of this second
    date: (i64, String),
    line: Vec<u8>,
    failed: bool,
}

impl AccessLog {
    /// Opens the log for appending; a file that is not there is made, for its owner and group to read.
    pub fn open(output: &Output) -> io::Result<AccessLog> {
        let date = (i64::MIN, String::new());
        let file = open(output)?;
        let writer = Writer { file, date, line: Vec::with_capacity(512), failed: false };
        Ok(AccessLog { output: output.clone(), writer: Mutex::new(writer) })
    }

    /// Opens the file anew, which may have been moved away. If it cannot be opened, the one that was moved goes on.
    pub fn reopen(&self) {
        match open(&self.output) {
            Ok(file) => self.writer().file = file,
            Err(error) => log::error!("cannot reopen the access log {}: {error}", self.output),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, entry: &Entry<'_>) {
        let mut writer = self.writer();
        let writer = &mut *writer;
        if writer.date.0 != entry.second {
            writer.date = (entry.second, date(entry.second));
        }
        writer.line.clear();
        entry.render(&writer.date.1, &mut writer.line);
        // One write for one line: with O_APPEND it stands whole between those of other processes.
        match writer.file.write_all(&writer.line) {
            Ok(()) => writer.failed = false,
            Err(error) if !writer.failed => {
                writer.failed = true;
                log::error!("cannot write the access log: {error}");
            }
            Err(_) => {}
        }
    }
}

fn open(output: &Output) -> io::Result<File> {
    match output {
        Output::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
        Output::File(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path),
    }
}

impl Observer for AccessLog {
    fn finished(&self, record: &Record<'_>) {
        let peer = match record.peer {
            Address::Inet(address) => address.ip().to_string(),
            Address::Unix(_) => "-".to_owned(),
        };
        self.write(&Entry {
            peer: &peer,
            request: record.head.map(|head| (head.method(), head.target(), head.version())),
            status: record.status,
            bytes: record.bytes,
            second: second(record.started),
        });
    }
}

/// What a line says.
struct Entry<'a> {
    peer: &'a str,
    request: Option<(&'a [u8], &'a [u8], Version)>,
    status: u16,
    bytes: u64,
    second: i64,
}

impl Entry<'_> {
    /// `192.0.2.1 - - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 13`, and a hyphen for what there is not.
    fn render(&self, date: &str, line: &mut Vec<u8>) {
        line.extend_from_slice(self.peer.as_bytes());
        line.extend_from_slice(b" - - [");
        line.extend_from_slice(date.as_bytes());
        line.extend_from_slice(b"] \"");
        match self.request {
            None => line.push(b'-'),
            Some((method, target, version)) => {
                escape(method, line);
                line.push(b' ');
                escape(target, line);
                line.extend_from_slice(match version {
                    Version::Http10 => b" HTTP/1.0",
                    Version::Http11 => b" HTTP/1.1",
                });
            }
        }
        line.extend_from_slice(b"\" ");
        number_or_hyphen(u64::from(self.status), line);
        line.push(b' ');
        number_or_hyphen(self.bytes, line);
        line.push(b'\n');
    }
}

fn number_or_hyphen(number: u64, line: &mut Vec<u8>) {
    match number {
        0 => line.push(b'-'),
        number => line.extend_from_slice(number.to_string().as_bytes()),
    }
}

/// What a peer wrote must not end the quotes or the line, nor speak to a terminal.
fn escape(text: &[u8], line: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => line.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
            byte => line.push(byte),
        }
    }
}

/// `21/Nov/2026:09:00:00 +0000`
fn date(second: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = sys::local_time(second);
    format!(
        "{:02}/{}/{:04}:{:02}:{:02}:{:02} {}",
        time.day,
        MONTHS[usize::from(time.month - 1) % 12],
        time.year,
        time.hour,
        time.minute,
        time.second,
        offset(time.offset)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn rendered(request: Option<(&[u8], &[u8], Version)>, status: u16, bytes: u64) -> String {
        let entry = Entry { peer: "192.0.2.1", request, status, bytes, second: 0 };
        let mut line = Vec::new();
        entry.render("DATE", &mut line);
        String::from_utf8(line).expect("a line is ASCII")
    }

    #[test]
    fn a_line_is_in_the_common_log_format() {
        assert_eq!(
            rendered(Some((b"GET", b"/a?b", Version::Http11)), 200, 13),
            "192.0.2.1 - - [DATE] \"GET /a?b HTTP/1.1\" 200 13\n"
        );
    }

    #[test]
    fn a_hyphen_stands_for_what_there_is_not() {
        assert_eq!(rendered(None, 400, 0), "192.0.2.1 - - [DATE] \"-\" 400 -\n");
        assert_eq!(rendered(None, 0, 0), "192.0.2.1 - - [DATE] \"-\" - -\n");
    }

    #[test]
    fn a_line_cannot_be_forged() {
        let target = b"/\" 200 1\n192.0.2.9 \\\x1b\xff";
        assert_eq!(
            rendered(Some((b"GET", target, Version::Http10)), 404, 9),
            "192.0.2.1 - - [DATE] \"GET /\\x22 200 1\\x0a192.0.2.9 \\x5c\\x1b\\xff HTTP/1.0\" 404 9\n"
        );
    }

    #[test]
    fn a_date_has_the_form_of_the_common_log_format() {
        let date = date(1_000_000_000);
        assert_eq!(date.len(), "21/Nov/2026:09:00:00 +0000".len());
        assert!(date.contains("/Sep/2001:"), "{date}");
    }

    #[test]
    fn each_request_is_a_line_of_the_file() {
        let path = std::env::temp_dir().join(format!("wj-access-{}.log", std::process::id()));
        let log = AccessLog::open(&Output::File(path.clone())).expect("a file");
        for status in [200, 404] {
            log.write(&Entry { peer: "::1", request: None, status, bytes: 0, second: 5 });
        }
        let aside = path.with_extension("aside");
        std::fs::rename(&path, &aside).expect("moved aside");
        log.reopen();
        log.write(&Entry { peer: "::1", request: None, status: 500, bytes: 0, second: 5 });
        let newer = std::fs::read_to_string(&path).expect("the new file");
        assert!(newer.ends_with("\"-\" 500 -\n") && newer.lines().count() == 1, "{newer}");
        std::fs::rename(&aside, &path).expect("moved back");
        let mut text = String::new();
        let mut file = File::open(&path).expect("the file");
        file.rewind().expect("a start");
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("\"-\" 404 -\n"), "{text}");
        std::fs::remove_file(&path).expect("removed");
    }
}
