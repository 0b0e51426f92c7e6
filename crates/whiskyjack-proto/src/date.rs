//! The Date field, rendered once a second. Knows no clock: the caller says what time it is.

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

impl DateCache {
    /// The date for `second`, counted from the Unix epoch.
    pub fn at(&mut self, second: u64) -> &[u8; 29] {
        if second != self.second {
            todo!()
        }
        &self.text
    }
}
