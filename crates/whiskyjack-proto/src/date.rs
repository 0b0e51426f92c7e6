//! The Date field, rendered once a second. Knows no clock: the caller says what time it is.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// An IMF-fixdate (RFC 9110 5.6.7) and the second it stands for.
#[derive(Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; 29],
}

impl Default for DateCache {
    fn default() -> Self {
        DateCache { second: u64::MAX, text: [b' '; 29] }
    }
}

/// 9999-12-31 23:59:59, the last second that an IMF-fixdate can say.
const LAST_SECOND: u64 = 253_402_300_799;

impl DateCache {
    /// The date for `second`, counted from the Unix epoch.
    pub fn at(&mut self, second: u64) -> &[u8; 29] {
        let second = second.min(LAST_SECOND);
        if second != self.second {
            let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
            write!(&mut self.text[..], "{date}").expect("an IMF-fixdate has 29 bytes");
            self.second = second;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_an_imf_fixdate() {
        let mut dates = DateCache::default();
        assert_eq!(dates.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(dates.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(dates.at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn a_clock_that_is_wrong_by_ages_panics_nobody() {
        assert_eq!(DateCache::default().at(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
