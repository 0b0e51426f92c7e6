//! `start_response`, `write()`, early hints and the question whether the client is still there.

use crate::support::{Event, Memory, Program, logged};
use whiskyjack_server::exchange::Failure;

/// A program whose application runs these lines, with the error of each `attempt(callable)` in `seen`.
fn attempts(code: &str) -> Program {
    let code = code.trim().replace('\n', "\n    ");
    Program::new(&format!(
        "
import sys
def attempt(call, *arguments):
    try:
        call(*arguments)
    except BaseException as error:
        seen.append(type(error).__name__ + ': ' + str(error))
    else:
        seen.append('nothing')

def app(environ, start_response):
    {code}
"
    ))
}

fn attempt(arguments: &str) -> String {
    let program = attempts(&format!(
        "
attempt(start_response, {arguments})
start_response('200 OK', [])
return [b'ok']
"
    ));
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.response(), "200 OK");
    program.text("seen[0]")
}

#[test]
fn the_head_is_sent_as_given() {
    let program = Program::new(
        "
def app(environ, start_response):
    start_response('299 My Reason', [('X-A', 'one'), ('x-a', 'tw\\xe4')])
    return [b'body']
",
    );
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(
        memory.events,
        [
            Event::Start("299 My Reason\nX-A: one\nx-a: tw\\xe4".to_owned(), Some(4)),
            Event::WriteLast(b"body".to_vec()),
        ]
    );
}

#[test]
fn wrong_types_and_values_name_the_thing_the_value_and_the_place() {
    let cases = [
        ("b'200 OK', []", "TypeError: status must be str, not bytes: b'200 OK'"),
        ("200, []", "TypeError: status must be str, not int: 200"),
        ("'200 \\u20ac', []", "ValueError: status has a character that latin-1 lacks: '200 €'"),
        (
            "'200 OK', ()",
            "TypeError: headers must be a list of (name, value) tuples (PEP 3333), not tuple: ()",
        ),
        (
            "'200 OK', None",
            "TypeError: headers must be a list of (name, value) tuples (PEP 3333), not None",
        ),
        (
            "'200 OK', [('A', 'b'), ['C', 'd']]",
            "TypeError: headers[1] must be a (name, value) tuple, not list: ['C', 'd']",
        ),
        (
            "'200 OK', [('A', 'b', 'c')]",
            "TypeError: headers[0] must be a (name, value) tuple, not tuple: ('A', 'b', 'c')",
        ),
        ("'200 OK', [(b'A', 'b')]", "TypeError: headers[0]: name must be str, not bytes: b'A'"),
        ("'200 OK', [('A', 1)]", "TypeError: headers[0]: value of 'A' must be str, not int: 1"),
        (
            "'200 OK', [('A', '\\u20ac')]",
            "ValueError: headers[0]: value of 'A' has a character that latin-1 lacks: '€'",
        ),
    ];
    for (arguments, message) in cases {
        assert_eq!(attempt(arguments), message);
    }
}

#[test]
fn what_would_break_the_wire_is_refused_where_it_is_given() {
    for arguments in [
        "'200', []",
        "'OK', []",
        "'200 OK\\r\\nX: y', []",
        "'200 O\\0K', []",
        "'200 OK', [('A', 'b\\r\\nC: d')]",
        "'200 OK', [('A', 'b\\nc')]",
        "'200 OK', [('A', 'b\\0c')]",
        "'200 OK', [('A b', 'c')]",
        "'200 OK', [('A:', 'c')]",
        "'200 OK', [('', 'c')]",
        "'100 Continue', []",
        "'101 Switching Protocols', []",
    ] {
        let message = attempt(arguments);
        assert!(message.starts_with("ValueError: "), "{arguments}: {message}");
    }
}

#[test]
fn a_second_call_needs_exc_info() {
    let message = attempt_second("start_response, '500 Oops', []");
    assert!(
        message.contains("AssertionError: start_response() was called a second time"),
        "{message}"
    );
    let message = attempt_second("start_response, '500 Oops', [], None");
    assert!(message.contains("AssertionError: "), "{message}");
}

fn attempt_second(call: &str) -> String {
    let program = attempts(&format!(
        "
start_response('200 OK', [])
attempt({call})
return [b'ok']
"
    ));
    assert_eq!(program.serve_well(Memory::get("/")).response(), "200 OK");
    program.text("seen[0]")
}

#[test]
fn exc_info_replaces_a_head_that_was_not_sent() {
    let program = Program::new(
        "
import sys
def app(environ, start_response):
    start_response('200 OK', [('X-First', '1')])
    yield b''
    try:
        raise KeyError('x')
    except KeyError:
        start_response('500 Oops', [('X-Second', '2')], sys.exc_info())
    yield b'sorry'
",
    );
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(memory.response(), "500 Oops\nX-Second: 2");
    assert_eq!(memory.sent(), b"sorry");
}

#[test]
fn exc_info_is_raised_anew_after_the_head_was_sent() {
    let program = Program::new(
        "
import sys
def app(environ, start_response):
    start_response('200 OK', [])
    yield b'begun'
    try:
        raise KeyError('the real one')
    except KeyError:
        start_response('500 Oops', [], exc_info=sys.exc_info())
    yield b'never'
",
    );
    let (memory, line) = program.fail(Memory::get("/page?x"));
    assert_eq!(memory.sent(), b"begun");
    assert!(line.contains("KeyError: 'the real one'") && line.contains("GET /page?x"), "{line}");
}

#[test]
fn exc_info_that_is_none_is_refused() {
    for wrong in ["1", "()", "(None, None, None)", "(1, 2, 3)"] {
        let message = attempt_second(&format!("start_response, '200 OK', [], {wrong}"));
        assert!(message.contains("TypeError: start_response(): exc_info must be"), "{message}");
    }
}

#[test]
fn it_can_be_called_late_but_before_the_first_bytes() {
    let program = Program::new(
        "
def app(environ, start_response):
    yield b''
    start_response('200 OK', [])
    yield b'x'
",
    );
    assert_eq!(program.serve_well(Memory::get("/")).sent(), b"x");
}

#[test]
fn it_must_be_called() {
    for code in ["return [b'x']", "return []", "return iter([b'x'])", "return iter([])"] {
        let program = Program::new(&format!("def app(environ, start_response): {code}"));
        let (memory, line) = program.fail(Memory::get("/"));
        assert_eq!(memory.events, []);
        assert!(line.contains("did not call start_response()"), "{line}");
    }
}

#[test]
fn write_sends_at_once_and_before_what_is_returned() {
    let program = Program::new(
        "
def app(environ, start_response):
    write = start_response('200 OK', [])
    write(b'one')
    write(b'')
    write(b'two')
    return [b'three']
",
    );
    let memory = program.serve_well(Memory::get("/"));
    assert_eq!(
        memory.events,
        [
            Event::Start("200 OK".to_owned(), None),
            Event::Write(b"one".to_vec()),
            Event::Write(b"".to_vec()),
            Event::Write(b"two".to_vec()),
            Event::WriteLast(b"three".to_vec()),
        ]
    );
}

#[test]
fn write_wants_bytes() {
    let program = attempts(
        "
write = start_response('200 OK', [])
attempt(write, 'text')
attempt(write, None)
return [b'ok']
",
    );
    program.serve_well(Memory::get("/"));
    assert_eq!(
        program.eval("seen"),
        "[\"TypeError: write() needs bytes, not str: 'text'\", 'TypeError: write() needs bytes, not None']"
    );
}

#[test]
fn write_waits_where_the_peer_is_slow_and_raises_where_it_is_gone() {
    let program = attempts(
        "
write = start_response('200 OK', [])
attempt(write, b'1')
attempt(write, b'2')
attempt(write, b'3')
return []
",
    );
    let mut memory = Memory::get("/");
    memory.full = true;
    memory.patience = Some(2);
    let (memory, result) = program.serve(memory);
    assert!(matches!(result, Err(Failure::Disconnected(_))), "{result:?}");
    assert_eq!(memory.events.iter().filter(|event| **event == Event::Waited).count(), 2);
    assert_eq!(
        program.eval("seen[:2], seen[2][:21]"),
        "(['nothing', 'nothing'], 'ClientDisconnected: [')"
    );
    assert_eq!(logged(), Vec::<String>::new());
}

#[test]
fn early_hints_go_out_before_the_response() {
    let program = attempts(
        "
hints = environ['wsgi.early_hints']
attempt(hints, [('Link', '</a.css>; rel=preload')])
attempt(hints, (('Link', 'x'),))
attempt(hints, [('Link', 'a\\nb')])
start_response('200 OK', [])
yield b'x'
attempt(hints, [])
",
    );
    let memory = program.serve_well(Memory::get("/"));
    let hints = Event::Interim("103 Early Hints\nLink: </a.css>; rel=preload".to_owned());
    assert_eq!(memory.events[0], hints);
    assert_eq!(
        program.eval("[s.split(':')[0] for s in seen]"),
        "['nothing', 'TypeError', 'ValueError', 'RuntimeError']"
    );
}

#[test]
fn the_application_can_ask_whether_the_client_is_gone() {
    let program = Program::new(
        "
def app(environ, start_response):
    gone = environ['whiskyjack.client_disconnected']
    start_response('200 OK', [])
    seen.append(gone())
    yield b'x'
    seen.append(gone())
",
    );
    let mut memory = Memory::get("/");
    memory.patience = Some(1);
    let _ = program.serve(memory);
    assert_eq!(program.eval("seen"), "[False, True]");
}
