//! Texts of other servers made over into ours: addresses, permission bits, units. Knows no setting.

/// An address whose port may be left out. `*` is every address there is.
pub fn address(text: &str, port: u16) -> String {
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    if text.starts_with("unix:") || text.starts_with("fd://") {
        return text.to_owned();
    }
    if let Some(rest) = text.strip_prefix('*') {
        let rest = if rest.is_empty() { format!(":{port}") } else { rest.to_owned() };
        return format!("0.0.0.0{rest},[::]{rest}");
    }
    match text {
        "" => format!("0.0.0.0:{port}"),
        text if text.ends_with(']') || !text.contains(':') => format!("{text}:{port}"),
        text => text.to_owned(),
    }
}

/// Permission bits as Python's `int` reads them, zeros in front meaning octal, as octal digits.
pub fn octal(text: &str) -> Result<String, String> {
    let digits = text.to_ascii_lowercase();
    let number = if let Some(digits) = digits.strip_prefix("0x") {
        u32::from_str_radix(digits, 16)
    } else if let Some(digits) = digits.strip_prefix("0o") {
        u32::from_str_radix(digits, 8)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u32::from_str_radix(&digits, 8)
    } else {
        digits.parse()
    };
    match number {
        Ok(number) => Ok(format!("{number:o}")),
        Err(_) => Err(format!("`{text}` is no number")),
    }
}

/// A number in which 0 is any, for a limit of ours that has a greatest value instead.
pub fn limit_of_16m(text: &str) -> Result<String, String> {
    Ok(if text == "0" { "16M".to_owned() } else { text.to_owned() })
}

/// Mebibytes.
pub fn mebibytes(text: &str) -> Result<String, String> {
    Ok(format!("{text}M"))
}

/// Milliseconds.
pub fn milliseconds(text: &str) -> Result<String, String> {
    Ok(format!("{text}ms"))
}

/// What tells of changed files: by inotify is how ours does it where it can.
pub fn reload_engine(text: &str) -> Result<String, String> {
    Ok(if text == "inotify" { "auto".to_owned() } else { text.to_owned() })
}

/// A level of Python's logging, or one like it.
pub fn level(text: &str) -> Result<String, String> {
    let level = text.to_ascii_lowercase();
    Ok(match level.as_str() {
        "critical" | "fatal" => "error".to_owned(),
        "warn" => "warning".to_owned(),
        "notset" | "trace" => "debug".to_owned(),
        _ => level,
    })
}

/// Whether a text says yes, in the words of all these servers.
pub fn is_true(text: &str) -> bool {
    !matches!(text.to_ascii_lowercase().as_str(), "" | "false" | "off" | "no" | "0" | "f" | "n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_left_out_is_added() {
        for (text, ours) in [
            ("127.0.0.1", "127.0.0.1:8000"),
            ("[::1]", "[::1]:8000"),
            ("[::1]:80", "[::1]:80"),
            (":80", ":80"),
            ("", "0.0.0.0:8000"),
            ("tcp://host:1", "host:1"),
            ("unix:/x", "unix:/x"),
            ("fd://3", "fd://3"),
            ("*:80", "0.0.0.0:80,[::]:80"),
        ] {
            assert_eq!(address(text, 8000), ours, "{text}");
        }
    }

    #[test]
    fn permission_bits_are_decimal_unless_they_say_otherwise() {
        for (text, ours) in
            [("18", "22"), ("022", "22"), ("0o22", "22"), ("0x12", "22"), ("0", "0")]
        {
            assert_eq!(octal(text).as_deref(), Ok(ours), "{text}");
        }
        assert!(octal("rw").is_err());
    }
}
