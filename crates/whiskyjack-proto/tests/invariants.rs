//! What the sources promise about themselves.

use std::fs;
use std::path::Path;

/// Every source file of the crate, by name, without its tests and comments.
fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).expect("the crate has sources") {
        let path = entry.expect("a readable folder").path();
        assert!(path.is_file(), "this test knows no folders yet: {path:?}");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a readable source");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: Vec<_> =
            code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect();
        sources.push((name, code.join("\n")));
    }
    assert!(sources.len() > 8);
    sources
}

#[test]
fn no_socket_no_clock_and_no_thread_is_known_here() {
    for (name, code) in sources() {
        for word in [
            "std::net",
            "std::io::Read",
            "std::fs",
            "std::thread",
            "std::sync",
            "Instant",
            "SystemTime",
            "now()",
        ] {
            assert!(!code.contains(word), "{name} has {word}");
        }
    }
}

#[test]
fn only_framing_names_the_fields_that_frame_and_only_write_writes_them() {
    for (name, code) in sources() {
        // error spells them in its messages, which nothing reads.
        if name == "framing.rs" || name == "error.rs" {
            continue;
        }
        for field in ["content-length", "transfer-encoding"] {
            for (at, _) in code.to_ascii_lowercase().match_indices(field) {
                let line = code[at..].lines().next().unwrap_or_default();
                let is_written = name == "write.rs"
                    && code[..at].ends_with("b\"")
                    && code[..at].lines().last().is_some_and(|start| {
                        start.contains("field(out, ") || start.contains("extend_from_slice(")
                    });
                assert!(is_written, "{name} names {line}");
            }
        }
    }
}

#[test]
fn unsafe_code_is_forbidden() {
    let (_, code) = sources().into_iter().find(|(name, _)| name == "lib.rs").expect("a root");
    assert!(code.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn nothing_gives_up_where_outside_bytes_can_reach() {
    for (name, code) in sources() {
        for word in [".unwrap()", "panic!(", "unreachable!(", "todo!(", "unimplemented!("] {
            assert!(!code.contains(word), "{name} has {word}");
        }
        let expects = code.matches(".expect(").count();
        // The one in date writes 29 bytes into 29.
        assert_eq!(expects, usize::from(name == "date.rs"), "{name} has .expect(");
    }
}
