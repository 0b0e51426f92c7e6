//! What the application is told of the request.

use crate::support::{Body, Memory, Program, inet, logged, options};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use whiskyjack_server::exchange::{Address, Exchange};
use whiskyjack_wsgi::{HeaderMap, Options};

const KEEP: &str = "
def app(environ, start_response):
    seen.append(environ)
    start_response('200 OK', [])
    return []
";

/// The `repr` of an expression over the environ `e` of a request.
fn environ(memory: Memory, expression: &str) -> String {
    with(options(), memory, expression)
}

fn with(options: Options, memory: Memory, expression: &str) -> String {
    let program = Program::with_options(KEEP, options);
    program.serve_well(memory);
    program.run("e = seen[-1]");
    program.eval(expression)
}

#[test]
fn every_key_of_pep_3333_is_there_with_its_type() {
    let program = Program::new(KEEP);
    program.serve_well(Memory::get("/a?b"));
    program.run(
        "
import sys
e = seen[0]
assert type(e) is dict
for key in ('REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING SERVER_NAME SERVER_PORT SERVER_PROTOCOL '
            'REQUEST_URI RAW_URI REMOTE_ADDR REMOTE_PORT SERVER_SOFTWARE wsgi.url_scheme').split():
    assert type(e[key]) is str, key
assert e['wsgi.version'] == (1, 0)
assert e['wsgi.multithread'] is True
assert e['wsgi.multiprocess'] is False
assert e['wsgi.run_once'] is False
assert e['wsgi.input_terminated'] is True
assert e['wsgi.errors'] is sys.stderr
assert type(e['whiskyjack.queue_time']) is float
assert callable(e['wsgi.file_wrapper']) and callable(e['wsgi.early_hints'])
",
    );
    assert_eq!(
        program.eval("[e[k] for k in 'SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_PORT'.split()]"),
        "['198.51.100.1', '8000', '192.0.2.7', '40001']"
    );
    assert_eq!(
        program.eval("e['wsgi.url_scheme'], e['SERVER_SOFTWARE']"),
        "('http', 'whiskyjack/test')"
    );
}

#[test]
fn nothing_comes_from_the_process_environment() {
    let expression = "'PATH' in e or 'HOME' in e";
    assert_eq!(environ(Memory::get("/"), expression), "False");
}

#[test]
fn each_request_has_a_dict_of_its_own() {
    let program = Program::new(KEEP);
    let first = program.serve_well(Memory::get("/one"));
    program.run("seen[0]['HTTP_HOST'] = seen[0]['added'] = 'x'");
    program.serve_well(first.then(Memory::get("/two")));
    assert_eq!(
        program.eval(
            "seen[1]['HTTP_HOST'], 'added' in seen[1], seen[0]['PATH_INFO'], seen[1]['PATH_INFO']"
        ),
        "('example.org', False, '/one', '/two')"
    );
}

#[test]
fn what_one_request_set_is_not_in_the_next_of_its_connection() {
    let program = Program::new(KEEP);
    let head = "PUT /x?q HTTP/1.0\nHost: a\nX-Extra: 1\nCookie: c\nContent-Length: 1\n";
    let first = program.serve_well(Memory::with_body(head, Body::Memory(b"x".to_vec())));
    program.serve_well(first.then(Memory::get("/")));
    assert_eq!(
        program.eval("{k: v for k, v in seen[1].items() if k.startswith(('HTTP', 'CONTENT', 'QUERY', 'REQ', 'SERVER_PR'))}"),
        "{'REQUEST_METHOD': 'GET', 'QUERY_STRING': '', 'REQUEST_URI': '/', 'SERVER_PROTOCOL': 'HTTP/1.1', 'HTTP_HOST': 'example.org'}"
    );
}

#[test]
fn the_path_is_decoded_once_as_latin_1_and_the_query_not_at_all() {
    let keys = "[e[k] for k in 'PATH_INFO QUERY_STRING REQUEST_URI RAW_URI'.split()]";
    assert_eq!(
        environ(Memory::get("/%C3%A4/%252F%2F?a=%20&b"), keys),
        "['/Ã¤/%2F/', 'a=%20&b', '/%C3%A4/%252F%2F?a=%20&b', '/%C3%A4/%252F%2F?a=%20&b']"
    );
}

#[test]
fn an_absolute_target_gives_the_host_and_its_path() {
    let memory = Memory::request("GET http://other.test:81/x?y HTTP/1.1\nHost: other.test:81\n");
    let keys = "[e[k] for k in 'HTTP_HOST PATH_INFO QUERY_STRING RAW_URI'.split()]";
    assert_eq!(environ(memory, keys), "['other.test:81', '/x', 'y', 'http://other.test:81/x?y']");
}

#[test]
fn options_of_the_server_as_a_whole_has_no_path() {
    let memory = Memory::request("OPTIONS * HTTP/1.1\nHost: a\n");
    let keys = "[e[k] for k in 'REQUEST_METHOD PATH_INFO RAW_URI'.split()]";
    assert_eq!(environ(memory, keys), "['OPTIONS', '', '*']");
}

#[test]
fn the_root_path_moves_to_script_name() {
    let at = |root: &str, target: &str| {
        let options = Options { root_path: root.to_owned(), ..options() };
        with(options, Memory::get(target), "e['SCRIPT_NAME'], e['PATH_INFO']")
    };
    assert_eq!(at("/app", "/app/x"), "('/app', '/x')");
    assert_eq!(at("/app", "/app"), "('/app', '')");
    assert_eq!(at("app/", "/app/"), "('/app', '/')");
    assert_eq!(at("/", "/app/"), "('', '/app/')");
    // Not the same segment; and a proxy that has taken the prefix off.
    assert_eq!(at("/app", "/apple"), "('/app', '/apple')");
    assert_eq!(at("/ä", "/%C3%A4/x"), "('/Ã¤', '/x')");
}

#[test]
fn repeated_fields_are_joined_and_cookies_by_semicolons() {
    let memory = Memory::request(
        "GET / HTTP/1.1\nHost: a\nAccept: x\nX-One: 1\nCookie: a=1\nx-one: 1\nACCEPT: y\nCookie: b=2\nX-One: \n",
    );
    assert_eq!(
        environ(memory, "e['HTTP_ACCEPT'], e['HTTP_X_ONE'], e['HTTP_COOKIE']"),
        "('x,y', '1,1,', 'a=1; b=2')"
    );
}

#[test]
fn values_are_latin_1() {
    let memory = Memory::request("GET / HTTP/1.1\nHost: a\nX-Name: \u{e4}\u{ff}\n");
    assert_eq!(environ(memory, "e['HTTP_X_NAME']"), "'äÿ'");
}

#[test]
fn a_proxy_field_never_becomes_http_proxy() {
    let memory = Memory::request("GET / HTTP/1.1\nHost: a\nProxy: http://evil\n");
    assert_eq!(environ(memory, "'HTTP_PROXY' in e"), "False");
    let memory = Memory::request("GET / HTTP/1.1\nHost: a\nPROXY: http://evil\n");
    let options = Options { header_map: HeaderMap::Allow, ..options() };
    assert_eq!(with(options, memory, "'HTTP_PROXY' in e"), "False");
}

#[test]
fn a_name_with_an_underscore_is_dropped_and_told_of_once() {
    let program = Program::new(KEEP);
    let memory = || Memory::request("GET / HTTP/1.1\nHost: a\nX-Told: good\nX_Told: evil\n");
    program.serve_well(memory());
    let lines = logged();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN: field x_told "), "{lines:?}");
    program.serve_well(memory());
    assert_eq!(logged(), Vec::<String>::new());
    assert_eq!(program.eval("seen[1]['HTTP_X_TOLD']"), "'good'");
}

#[test]
fn a_name_with_an_underscore_can_be_refused_or_allowed() {
    let memory = || {
        Memory::request("GET / HTTP/1.1\nHost: a\nX_Foo: 1\nContent_Length: 9\nContent_Type: t\n")
    };
    let refusing =
        Program::with_options(KEEP, Options { header_map: HeaderMap::Refuse, ..options() });
    let refused = refusing.serve_well(memory());
    assert!(refused.response().starts_with("400 Bad Request\n"), "{}", refused.response());
    assert_eq!(refusing.eval("seen"), "[]");
    assert_eq!(logged().len(), 1);
    let allowing = Options { header_map: HeaderMap::Allow, ..options() };
    assert_eq!(
        with(allowing, memory(), "e['HTTP_X_FOO'], [k for k in e if 'CONTENT' in k]"),
        "('1', [])"
    );
}

#[test]
fn content_type_and_length_are_absent_or_right() {
    let expression = "[(k, e[k]) for k in e if 'CONTENT' in k or 'TRANSFER' in k]";
    assert_eq!(environ(Memory::get("/"), expression), "[]");
    let head = "POST / HTTP/1.1\nHost: a\nContent-Type: text/plain\nContent-Length: 3\n";
    let memory = Memory::with_body(head, Body::Memory(b"abc".to_vec()));
    assert_eq!(
        environ(memory, expression),
        "[('CONTENT_TYPE', 'text/plain'), ('CONTENT_LENGTH', '3')]"
    );
    let head = "POST / HTTP/1.1\nHost: a\nContent-Length: 0\n";
    assert_eq!(environ(Memory::request(head), expression), "[('CONTENT_LENGTH', '0')]");
}

#[test]
fn a_collected_chunked_body_has_a_length_and_no_coding() {
    let expression = "[(k, e[k]) for k in e if 'CONTENT' in k or 'TRANSFER' in k]";
    let head = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n";
    let memory = Memory::with_body(head, Body::Spooled(b"hello".to_vec()));
    assert_eq!(environ(memory, expression), "[('CONTENT_LENGTH', '5')]");
}

#[test]
fn a_streaming_chunked_body_has_no_length() {
    let expression =
        "e['wsgi.input_terminated'], [k for k in e if 'CONTENT' in k or 'TRANSFER' in k]";
    let head = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n";
    let memory = Memory::with_body(head, Body::Streaming(None, VecDeque::new()));
    assert_eq!(environ(memory, expression), "(True, [])");
}

#[test]
fn a_unix_socket_has_a_name_and_a_port_and_no_peer() {
    let mut memory = Memory::get("/");
    memory.origin.local = Address::Unix(Some(PathBuf::from("/run/x")));
    memory.origin.peer = Address::Unix(None);
    memory.origin.secure = true;
    let keys = "[e.get(k) for k in 'wsgi.url_scheme SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_PORT'.split()]";
    assert_eq!(environ(memory, keys), "['https', 'localhost', '443', '', None]");
}

#[test]
fn addresses_are_written_as_cgi_writes_them() {
    let mut memory = Memory::get("/");
    memory.origin.local = Address::Inet("[2001:db8::1]:80".parse().expect("an address"));
    memory.origin.peer = Address::Inet("[::ffff:192.0.2.1]:5".parse().expect("an address"));
    assert_eq!(
        environ(memory, "e['SERVER_NAME'], e['REMOTE_ADDR']"),
        "('[2001:db8::1]', '192.0.2.1')"
    );
    assert_eq!(inet([1, 2, 3, 4], 5), Address::Inet("1.2.3.4:5".parse().expect("an address")));
}

#[test]
fn the_protocol_method_and_queue_time_are_the_requests() {
    let mut memory = Memory::request("PURGE / HTTP/1.0\n");
    memory.queued = Duration::from_millis(1500);
    assert_eq!(
        environ(memory, "e['SERVER_PROTOCOL'], e['REQUEST_METHOD'], e['whiskyjack.queue_time']"),
        "('HTTP/1.0', 'PURGE', 1.5)"
    );
}

#[test]
fn extra_keys_are_in_every_environ() {
    let extra = Python::attach(|py| {
        vec![("my.key".to_owned(), 7_i32.into_pyobject(py).expect("an int").into_any().unbind())]
    });
    let options = Options { extra, ..options() };
    assert_eq!(with(options, Memory::get("/"), "e['my.key']"), "7");
}

#[test]
fn a_connection_that_changes_its_gateway_gets_the_new_ones_environ() {
    let other = Options { server_software: "other".to_owned(), ..options() };
    let (one, two) = (Program::new(KEEP), Program::with_options(KEEP, other));
    let mut memory = one.serve_well(Memory::get("/"));
    assert!(memory.cache().is_some());
    two.serve_well(memory.then(Memory::get("/")));
    assert_eq!(two.eval("seen[0]['SERVER_SOFTWARE']"), "'other'");
}
