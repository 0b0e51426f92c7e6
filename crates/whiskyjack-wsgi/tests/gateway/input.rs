//! `wsgi.input`: all ways to read agree, wherever the body lies.

use crate::support::{Body, Memory, Program, logged};
use std::collections::VecDeque;
use std::io;
use whiskyjack_server::exchange::{Exchange, Failure};

const HEAD: &str = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n";

/// Runs the code as the application's body, with `f` the input, against one body in each of the places it can lie in.
fn each_way(body: &[u8], code: &str) {
    let whole = || body.to_vec();
    let steps = |size: usize| body.chunks(size).map(|chunk| Ok(chunk.to_vec())).collect();
    let bodies = [
        Body::Memory(whole()),
        Body::Spooled(whole()),
        Body::Streaming(None, steps(1)),
        Body::Streaming(None, steps(5)),
        Body::Streaming(Some(body.len() as u64), steps(1000)),
    ];
    let code = code.trim().replace('\n', "\n    ");
    let program = Program::new(&format!(
        "
def app(environ, start_response):
    f = environ['wsgi.input']
    {code}
    start_response('200 OK', [])
    return []
"
    ));
    for body in bodies {
        program.serve_well(Memory::with_body(HEAD, body));
    }
}

const LINES: &[u8] = b"one\ntwo\r\n\nfour without end";

#[test]
fn read_gives_the_rest_and_then_nothing_for_ever() {
    each_way(
        LINES,
        "
assert f.read() == b'one\\ntwo\\r\\n\\nfour without end'
assert f.read() == f.read(5) == f.readline() == b'' and f.readlines() == [] and list(f) == []
",
    );
    each_way(LINES, "assert len(f.read(-1)) == 26 and f.read(-1) == b''");
    each_way(LINES, "assert len(f.read(None)) == 26 and f.read(None) == b''");
    each_way(LINES, "assert len(f.read(1000)) == 26 and f.read(1000) == b''");
    each_way(b"", "assert f.read() == f.read(1) == f.readline() == b''");
}

#[test]
fn read_gives_as_many_bytes_as_were_asked_for() {
    each_way(
        LINES,
        "
assert f.read(0) == b''
assert f.read(2) == b'on'
assert f.read(7) == b'e\\ntwo\\r\\n'
assert f.read(100) == b'\\nfour without end'
",
    );
}

#[test]
fn readline_keeps_the_line_end_and_its_limit() {
    each_way(
        LINES,
        "
assert f.readline(0) == b''
assert f.readline(2) == b'on'
assert f.readline(2) == b'e\\n'
assert f.readline(50) == b'two\\r\\n'
assert f.readline() == b'\\n'
assert f.readline(-1) == b'four without end'
assert f.readline(None) == b''
",
    );
}

#[test]
fn readlines_and_iteration_give_every_line() {
    let lines = "[b'one\\n', b'two\\r\\n', b'\\n', b'four without end']";
    each_way(LINES, &format!("assert f.readlines() == {lines}"));
    each_way(LINES, &format!("assert f.readlines(0) == {lines}"));
    each_way(LINES, &format!("assert f.readlines(None) == {lines}"));
    each_way(LINES, &format!("assert list(f) == {lines}\nassert iter(f) is f"));
    each_way(LINES, "assert f.readlines(1) == [b'one\\n'] and f.readlines(5) == [b'two\\r\\n']");
}

#[test]
fn the_ways_to_read_can_be_mixed() {
    each_way(
        LINES,
        "
assert f.readline() == b'one\\n'
assert f.read(1) == b't'
assert next(f) == b'wo\\r\\n'
b = bytearray(3)
assert f.readinto(b) == 3 and b == b'\\nfo'
assert f.readlines() == [b'ur without end']
assert f.readinto(b) == 0
",
    );
}

#[test]
fn a_long_line_is_one_line() {
    let mut body = vec![b'x'; 300_000];
    body.push(b'\n');
    body.extend(b"tail");
    for body in [Body::Memory(body.clone()), Body::Spooled(body)] {
        let program = Program::new(
            "
def app(environ, start_response):
    f = environ['wsgi.input']
    assert len(f.readline()) == 300001
    assert f.read() == b'tail'
    start_response('200 OK', [])
    return []
",
        );
        program.serve_well(Memory::with_body(HEAD, body));
    }
}

#[test]
fn it_is_a_file_to_the_io_module() {
    each_way(
        "zwölf\nzeilen".as_bytes(),
        "
import io
assert f.readable() is True and f.writable() is False and f.seekable() is False
assert f.closed is False
f.close()
text = io.TextIOWrapper(io.BufferedReader(f), encoding='utf-8')
assert text.readlines() == ['zw\\xf6lf\\n', 'zeilen']
",
    );
}

#[test]
fn wrong_arguments_are_type_errors() {
    each_way(
        b"x",
        "
for call in (lambda: f.read('1'), lambda: f.read(1.5), lambda: f.readline(b''), lambda: f.readlines([]), lambda: f.readinto(3)):
    try: call()
    except TypeError: pass
    else: raise AssertionError
try: f.readinto(b'12')
except BufferError: pass
else: raise AssertionError
assert f.read() == b'x'
",
    );
}

fn broken(kind: io::ErrorKind) -> Memory {
    let steps = [Ok(b"part".to_vec()), Err(io::Error::new(kind, "why"))];
    Memory::with_body(HEAD, Body::Streaming(Some(10), VecDeque::from(steps)))
}

#[test]
fn a_body_that_ends_badly_raises_an_os_error_with_a_message() {
    let program = Program::new(
        "
def app(environ, start_response):
    try:
        environ['wsgi.input'].read()
    except OSError as error:
        seen.append((type(error).__mro__, error.errno, str(error)))
    start_response('200 OK', [])
    return []
",
    );
    let cases = [
        (io::ErrorKind::ConnectionReset, "ConnectionResetError", "ECONNRESET", "went away"),
        (io::ErrorKind::UnexpectedEof, "ConnectionResetError", "ECONNRESET", "went away"),
        (io::ErrorKind::TimedOut, "TimeoutError", "ETIMEDOUT", "too long"),
        (io::ErrorKind::InvalidData, "OSError", "EPROTO", "malformed"),
        (io::ErrorKind::FileTooLarge, "OSError", "EFBIG", "larger"),
    ];
    for (kind, class, number, words) in cases {
        program.serve_well(broken(kind));
        program.run(&format!(
            "import errno\nmro, number, text = seen.pop()\n\
             assert {class} in mro and number == errno.{number} and {words:?} in text, text"
        ));
    }
}

#[test]
fn a_client_that_vanishes_is_no_fault_of_the_application() {
    let program = Program::new("def app(environ, start_response): environ['wsgi.input'].read()");
    let (_, result) = program.serve(broken(io::ErrorKind::ConnectionReset));
    assert!(matches!(result, Err(Failure::Disconnected(_))), "{result:?}");
    assert_eq!(logged(), Vec::<String>::new());
}

#[test]
fn a_body_that_cant_be_read_is_answered_by_what_is_wrong_with_it() {
    let program = Program::new("def app(environ, start_response): environ['wsgi.input'].read()");
    let cases = [
        (io::ErrorKind::FileTooLarge, "413 Content Too Large\n"),
        (io::ErrorKind::InvalidData, "400 Bad Request\n"),
        (io::ErrorKind::TimedOut, "408 Request Timeout\n"),
    ];
    for (kind, status) in cases {
        let memory = program.serve_well(broken(kind));
        assert!(memory.response().starts_with(status), "{}", memory.response());
        assert_eq!(memory.sent(), status.as_bytes());
    }
}

#[test]
fn an_error_of_the_applications_own_is_logged_after_a_vanished_client_too() {
    let program = Program::new(
        "
def app(environ, start_response):
    try: environ['wsgi.input'].read()
    except OSError: pass
    raise ConnectionResetError(104, 'of a database')
",
    );
    let (_, line) = program.fail(broken(io::ErrorKind::ConnectionReset));
    assert!(line.contains("of a database"), "{line}");
}

#[test]
fn nothing_is_read_before_the_application_reads() {
    let program = Program::new(
        "
def app(environ, start_response):
    start_response('200 OK', [])
    return []
",
    );
    let mut memory = program.serve_well(Memory::post(b"unread"));
    assert_eq!(memory.peek(), Some(&b"unread"[..]));
}
