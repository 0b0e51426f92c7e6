//! What the application returns, how it is sent, and that it is closed.

use crate::support::{Event, Memory, Program, logged};
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use whiskyjack_server::exchange::Failure;

/// An iterable that counts its close() in `seen`, over the items that `items` yields.
const CLOSING: &str = "
class Closing:
    def __init__(self, items): self.items = items
    def __iter__(self): return self.items
    def close(self): seen.append('closed')
";

fn app(body: &str) -> Program {
    let body = body.trim().replace('\n', "\n    ");
    Program::new(&format!("{CLOSING}\ndef app(environ, start_response):\n    {body}\n"))
}

fn started(length: Option<u64>) -> Event {
    Event::Start("200 OK".to_owned(), length)
}

fn head(target: &str) -> Memory {
    Memory::request(&format!("HEAD {target} HTTP/1.1\nHost: a\n"))
}

#[test]
fn one_bytes_object_is_sent_with_its_length_in_one_go() {
    for result in ["[b'hello']", "(b'hello',)", "[b'', b'hello', b'']"] {
        let program = app(&format!("start_response('200 OK', [])\nreturn {result}"));
        let memory = program.serve_well(Memory::get("/"));
        assert_eq!(memory.events, [started(Some(5)), Event::WriteLast(b"hello".to_vec())]);
    }
}

#[test]
fn a_list_has_the_length_of_its_pieces() {
    let program = app("start_response('200 OK', [])\nreturn [b'one', b'', b'two', b'three']");
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(
        memory.events,
        [
            started(Some(11)),
            Event::Write(b"one".to_vec()),
            Event::Write(b"two".to_vec()),
            Event::WriteLast(b"three".to_vec()),
        ]
    );
}

#[test]
fn an_empty_result_is_an_empty_body() {
    for result in ["[]", "()", "[b'']", "iter([])", "iter([b'', b''])", "{}"] {
        let program = app(&format!("start_response('200 OK', [])\nreturn {result}"));
        let memory = program.serve_well(Memory::get("/"));
        assert_eq!(memory.events, [started(Some(0)), Event::WriteLast(Vec::new())], "{result}");
    }
}

#[test]
fn each_item_is_sent_before_the_next_is_asked_for() {
    let program = app("
start_response('200 OK', [])
def items():
    seen.append('a'); yield b'a'
    seen.append('gap'); yield b''
    seen.append('b'); yield b'b'
return Closing(items())
");
    let mut memory = Memory::get("/");
    memory.patience = Some(1);
    let (memory, result) = program.serve(memory);
    assert!(matches!(result, Err(Failure::Disconnected(_))), "{result:?}");
    assert_eq!(memory.events, [started(None), Event::Write(b"a".to_vec())]);
    assert_eq!(program.eval("seen"), "['a', 'gap', 'b', 'closed']");
}

#[test]
fn empty_items_do_not_send_the_head() {
    let program = app("
def items():
    yield b''
    yield b''
    start_response('404 Not Found', [])
    yield b''
    yield b'x'
return items()
");
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(
        memory.events,
        [
            Event::Start("404 Not Found".to_owned(), None),
            Event::Write(b"x".to_vec()),
            Event::WriteLast(Vec::new()),
        ]
    );
}

#[test]
fn an_iterable_of_length_one_has_its_items_length() {
    let program = app("
class One:
    def __len__(self): return 1
    def __iter__(self): return iter([b'four'])
start_response('200 OK', [])
return One()
");
    assert_eq!(program.serve_well(Memory::get("/")).events[0], started(Some(4)));
}

#[test]
fn a_full_socket_is_waited_for_and_keeps_the_bytes_alive() {
    let program = app("start_response('200 OK', [])\nreturn (bytes([i]) * 3 for i in (65, 66))");
    let mut memory = Memory::get("/");
    memory.full = true;
    let memory = program.serve_well(memory);
    assert_eq!(memory.events.iter().filter(|event| **event == Event::Waited).count(), 2);
    // What is kept is read and dropped by a thread that knows no Python.
    let kept: Vec<Vec<u8>> = memory.kept.into_iter().map(|kept| kept.bytes().to_vec()).collect();
    assert_eq!(kept, [b"AAA".to_vec(), b"BBB".to_vec(), Vec::new()]);
}

#[test]
fn a_slow_client_is_not_waited_for_where_all_pieces_are_there() {
    for pieces in ["[b'one', b'two', b'three']", "(b'one', b'two', b'three')"] {
        let program = app(&format!("start_response('200 OK', [])\nreturn {pieces}"));
        let mut memory = Memory::get("/");
        memory.full = true;
        let memory = program.serve_well(memory);
        assert!(!memory.events.contains(&Event::Waited), "{:?}", memory.events);
        assert_eq!(memory.sent(), b"onetwothree");
    }
}

#[test]
fn a_subclass_of_bytes_is_bytes() {
    let program =
        app("class B(bytes): pass\nstart_response('200 OK', [])\nreturn [B(b'x'), B(b'y')]");
    let mut memory = Memory::get("/");
    memory.full = true;
    assert_eq!(program.serve_well(memory).sent(), b"xy");
}

#[test]
fn what_is_no_iterable_of_bytes_is_told_to_its_author() {
    let cases = [
        (
            "None",
            "returned None, which is not an iterable of bytes (PEP 3333): return a list of bytes",
        ),
        (
            "'text'",
            "returned an object of type str, which is not an iterable of bytes (PEP 3333): return a list of bytes, such as [text.encode()]",
        ),
        (
            "b'text'",
            "returned an object of type bytes, which is not an iterable of bytes (PEP 3333): put it into a list, [body]",
        ),
        ("5", "returned an object of type int, "),
        ("coroutine()", "this is an asynchronous application"),
        (
            "['text']",
            "item 0 of what the application returned is an object of type str, not bytes (PEP 3333); encode it",
        ),
        ("[b'x', None]", "item 1 of what the application returned is None, not bytes"),
        (
            "(b'x', bytearray())",
            "item 1 of what the application returned is an object of type bytearray, not bytes (PEP 3333); convert it with bytes()",
        ),
        (
            "iter([b'', 7])",
            "item 1 of what the application returned is an object of type int, not bytes",
        ),
    ];
    for (result, words) in cases {
        let program = app(&format!(
            "
class Awaitable:
    def __await__(self): yield
coroutine = Awaitable
start_response('200 OK', [])
return {result}
"
        ));
        let (memory, line) = program.fail(Memory::get("/there"));
        assert_eq!(memory.events, [], "{result}");
        assert!(line.starts_with("ERROR: GET /there: ") && line.contains(words), "{line}");
    }
}

#[test]
fn an_application_that_raises_is_logged_once_with_its_traceback() {
    for error in ["ValueError('mine')", "SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"] {
        let program = app(&format!("raise {error}"));
        let (memory, line) = program.fail(Memory::get("/x"));
        assert_eq!(memory.events, []);
        assert!(line.starts_with("ERROR: GET /x: the application raised\nTraceback"), "{line}");
        assert!(
            line.contains("in app\n") && line.contains(error.split('(').next().unwrap_or("")),
            "{line}"
        );
    }
}

#[test]
fn an_error_between_items_ends_the_response_and_closes() {
    let program = app("
start_response('200 OK', [])
def items():
    yield b'begun'
    raise ValueError('broken')
return Closing(items())
");
    let (memory, line) = program.fail(Memory::get("/"));
    assert_eq!(memory.events, [started(None), Event::Write(b"begun".to_vec())]);
    assert!(line.contains("ValueError: broken"), "{line}");
    assert_eq!(program.eval("seen"), "['closed']");
}

#[test]
fn close_is_called_once_however_it_ends() {
    let cases = [
        ("GET", "iter([b'a', b'b'])", true),
        ("GET", "iter([])", true),
        ("GET", "iter(['text'])", false),
        ("GET", "None", false),
        ("HEAD", "iter([b'a'])", true),
        ("HEAD", "iter([])", true),
    ];
    for (method, items, well) in cases {
        let program = app(&format!("start_response('200 OK', [])\nreturn Closing({items})"));
        let memory = Memory::request(&format!("{method} / HTTP/1.1\nHost: a\n"));
        let (_, result) = program.serve(memory);
        assert_eq!(result.is_ok(), well, "{items}: {:?}", logged());
        assert_eq!(program.eval("seen"), "['closed']", "{method} {items}");
    }
}

#[test]
fn close_is_called_where_start_response_never_was() {
    let program = app("return Closing(iter([b'x']))");
    program.fail(Memory::get("/"));
    assert_eq!(program.eval("seen"), "['closed']");
}

#[test]
fn a_panic_of_the_server_closes_and_revokes() {
    let bodies = ["return Closing(iter([b'x']))", "write(b'x')"];
    for (body, closed) in bodies.into_iter().zip(["1", "0"]) {
        let program = app(&format!(
            "
global kept
kept = environ['wsgi.input'].read
write = start_response('200 OK', [])
{body}
"
        ));
        let mut memory = Memory::get("/");
        memory.broken = true;
        let caught = panic::catch_unwind(AssertUnwindSafe(|| program.serve(memory)));
        assert!(caught.is_err());
        assert_eq!(program.eval("len(seen)"), closed);
        program.run("try: kept()\nexcept ValueError: pass\nelse: raise AssertionError");
    }
}

#[test]
fn an_error_in_close_is_logged_and_the_response_stands() {
    let program = app("
class Bad:
    def __iter__(self): return iter([b'x'])
    def close(self): raise ValueError('in close')
start_response('200 OK', [])
return Bad()
");
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.sent(), b"x");
    let logged = logged();
    assert!(logged.len() == 1 && logged[0].contains("ValueError: in close"), "{logged:?}");
}

#[test]
fn a_head_request_does_not_ask_for_items() {
    let program = app("
start_response('200 OK', [('Content-Length', '7')])
def items():
    seen.append('asked')
    yield b'content'
return Closing(items())
");
    let memory = program.serve_well(head("/"));
    assert_eq!(memory.sent(), b"");
    assert_eq!(program.eval("seen"), "['closed']");
    assert_eq!(logged(), Vec::<String>::new());
}

#[test]
fn a_head_request_asks_a_generator_until_it_starts_the_response() {
    let program = app("
seen.append('called')
start_response('200 OK', [])
seen.append('started')
yield b'content'
seen.append('too far')
");
    let memory = program.serve_well(head("/"));
    assert_eq!(memory.events, [started(None), Event::WriteLast(Vec::new())]);
    assert_eq!(program.eval("seen"), "['called', 'started']");
}

#[test]
fn a_head_request_has_the_length_of_a_list_unless_it_is_empty() {
    let program = app("start_response('200 OK', [])\nreturn [b'seven', b'!!']");
    assert_eq!(
        program.serve_well(head("/")).events,
        [started(Some(7)), Event::WriteLast(Vec::new())]
    );
    let program = app("start_response('200 OK', [])\nreturn []");
    assert_eq!(program.serve_well(head("/")).events, [started(None), Event::WriteLast(Vec::new())]);
}

#[test]
fn a_status_without_body_has_no_length() {
    for status in ["204 No Content", "304 Not Modified"] {
        let program = app(&format!("start_response('{status}', [])\nreturn [b'left out']"));
        let memory = program.serve_well(Memory::get("/"));
        assert_eq!(
            memory.events,
            [Event::Start(status.to_owned(), None), Event::WriteLast(Vec::new())]
        );
    }
}

#[test]
fn too_little_for_the_content_length_is_a_fault() {
    for result in ["[b'four']", "[]", "iter([b'fo', b'ur'])", "iter([])"] {
        let program =
            app(&format!("start_response('200 OK', [('Content-Length', '10')])\nreturn {result}"));
        let (_, line) = program.fail(Memory::get("/"));
        assert!(line.contains("bytes less than its Content-Length"), "{line}");
    }
}

#[test]
fn too_much_for_the_content_length_is_cut_and_logged_once() {
    let program = app(
        "start_response('200 OK', [('Content-Length', '3')])\nreturn iter([b'ab', b'cd', b'ef'])",
    );
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.sent(), b"abc");
    let logged = logged();
    assert!(logged.len() == 1 && logged[0].contains("3 bytes more than"), "{logged:?}");
}

/// A file of ten bytes.
fn file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"0123456789").expect("room");
    file
}

fn wrapped(file: &tempfile::NamedTempFile, headers: &str, open: &str) -> Program {
    let path = file.path().display();
    app(&format!(
        "
import builtins, gzip, io, os, tempfile
path = '{path}'
f = {open}
start_response('200 OK', {headers})
return environ['wsgi.file_wrapper'](f, 4)
"
    ))
}

#[test]
fn a_real_file_is_sent_by_the_server_from_its_position() {
    let file = file();
    let opened = [
        ("open(path, 'rb')", 0),
        ("open(path, 'rb', buffering=0)", 0),
        ("open(path, 'r+b')", 0),
        ("(f := open(path, 'rb'), f.read(3))[0]", 3),
        ("(f := tempfile.NamedTemporaryFile(), f.write(b'0123456789'), f.seek(0))[0]", 0),
    ];
    for (open, offset) in opened {
        let memory = wrapped(&file, "[]", open).serve_well(Memory::get("/"));
        let expected = b"0123456789"[offset..].to_vec();
        assert_eq!(
            memory.events,
            [
                started(Some(expected.len() as u64)),
                Event::File(expected),
                Event::WriteLast(Vec::new())
            ],
            "{open}"
        );
    }
}

#[test]
fn a_file_at_its_end_is_an_empty_body() {
    let file = file();
    let program = wrapped(&file, "[]", "(f := open(path, 'rb'), f.seek(20))[0]");
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.events, [started(Some(0)), Event::WriteLast(Vec::new())]);
}

#[test]
fn a_file_is_sent_within_the_content_length() {
    let file = file();
    let program = wrapped(&file, "[('Content-Length', '4')]", "open(path, 'rb')");
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.events[1], Event::File(b"0123".to_vec()));
    assert_eq!(logged(), Vec::<String>::new());
    let program = wrapped(&file, "[('Content-Length', '40')]", "open(path, 'rb')");
    program.fail(Memory::get("/"));
}

#[test]
fn what_is_no_real_file_is_read_by_blocks() {
    let file = file();
    let opened = [
        "io.BytesIO(b'0123456789')",
        "type('F', (), {'read': io.BytesIO(b'0123456789').read})()",
        // Each of these has a descriptor, and reads something else than what is in its file.
        "gzip.open(io.BytesIO(gzip.compress(b'0123456789')))",
        "(f := open(path + '.gz', 'w+b'), f.write(gzip.compress(b'0123456789')), f.seek(0), gzip.open(f))[3]",
        "type('Own', (io.FileIO,), {'read': lambda self, size: io.FileIO.read(self, size)})(path)",
    ];
    for open in opened {
        let memory = wrapped(&file, "[]", open).serve_well(Memory::get("/"));
        assert_eq!(memory.events[0], started(None), "{open}");
        assert_eq!(memory.events[1], Event::Write(b"0123".to_vec()), "{open}");
        assert_eq!(memory.sent(), b"0123456789", "{open}");
    }
    let _ = std::fs::remove_file(format!("{}.gz", file.path().display()));
}

#[test]
fn blocks_are_read_within_the_content_length() {
    let file = file();
    let program = wrapped(&file, "[('Content-Length', '5')]", "io.BytesIO(b'0123456789')");
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.sent(), b"01234");
    assert_eq!(logged(), Vec::<String>::new());
    let program = wrapped(&file, "[('Content-Length', '50')]", "io.BytesIO(b'0123456789')");
    program.fail(Memory::get("/"));
}

#[test]
fn blocks_of_text_are_told_to_their_author() {
    let (_, line) = wrapped(&file(), "[]", "io.StringIO('text')").fail(Memory::get("/"));
    assert!(
        line.contains("reads str, not bytes") && line.contains("open it in binary mode"),
        "{line}"
    );
}

#[test]
fn a_file_is_closed_after_it_was_sent() {
    for method in ["GET", "HEAD"] {
        for kind in ["io.BytesIO(b'1')", "open(__import__('sys').executable, 'rb')"] {
            let program = app(&format!(
                "
import io
f = {kind}
seen.append(f)
start_response('200 OK', [('Content-Length', '1')])
return environ['wsgi.file_wrapper'](f)
"
            ));
            program.serve_well(Memory::request(&format!("{method} / HTTP/1.1\nHost: a\n")));
            assert_eq!(program.eval("seen[0].closed"), "True");
        }
    }
}

#[test]
fn a_file_wrapper_is_an_iterable_with_what_the_file_has() {
    let program = app("
import io
w = environ['wsgi.file_wrapper'](io.BytesIO(b'abcde'), 2)
assert w.block_size == 2 and w.filelike.getvalue() == b'abcde'
assert w.seekable() and w.seek(1) == 1 and w.tell() == 1
assert list(w) == [b'bc', b'de']
w.close()
assert w.filelike.closed
environ['wsgi.file_wrapper'](object()).close()
start_response('200 OK', [])
return []
");
    program.serve_well(Memory::get("/"));
}
