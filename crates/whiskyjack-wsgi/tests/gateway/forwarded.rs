//! What proxies tell of the client, in the environ.

use crate::support::{Memory, Program, logged, options};
use std::path::PathBuf;
use whiskyjack_server::exchange::Address;
use whiskyjack_wsgi::{HeaderMap, Options, Untrusted};

const KEEP: &str = "
def app(environ, start_response):
    seen.append(environ)
    start_response('200 OK', [])
    return []
";

/// The connection's peer in these tests is 192.0.2.7, its own address 198.51.100.1:8000.
fn trusting(trusted: &str) -> Options {
    let trusted = trusted.split(' ').map(|one| one.parse().expect("right")).collect();
    Options { trusted, ..options() }
}

fn request(fields: &str) -> Memory {
    Memory::request(&format!("GET /shop/x HTTP/1.1\nHost: inner:8000\n{fields}"))
}

fn eval(options: Options, memory: Memory, expression: &str) -> String {
    let program = Program::with_options(KEEP, options);
    program.serve_well(memory);
    program.run("e = seen[-1]");
    program.eval(expression)
}

const URL: &str = "[e[k] for k in 'wsgi.url_scheme HTTP_HOST SERVER_NAME SERVER_PORT SCRIPT_NAME PATH_INFO'.split()]";
const CLIENT: &str = "e['REMOTE_ADDR'], e.get('REMOTE_PORT')";
const FIELDS: &str = "sorted(k for k in e if 'FORWARDED' in k)";

const ALL: &str = "X-Forwarded-For: 6.6.6.6, 203.0.113.5\nX-Forwarded-Proto: https\nX-Forwarded-Host: shop.test\n\
                   X-Forwarded-Port: 8443\nX-Forwarded-Prefix: /shop\n";

#[test]
fn a_trusted_proxy_tells_of_the_client_and_of_its_url() {
    assert_eq!(
        eval(trusting("192.0.2.0/24"), request(ALL), URL),
        "['https', 'shop.test:8443', 'shop.test', '8443', '/shop', '/x']"
    );
    assert_eq!(eval(trusting("192.0.2.7"), request(ALL), CLIENT), "('203.0.113.5', None)");
    assert_eq!(eval(trusting("*"), request(ALL), CLIENT), "('6.6.6.6', None)");
    assert_eq!(
        eval(trusting("*"), request(ALL), FIELDS),
        "['HTTP_X_FORWARDED_FOR', 'HTTP_X_FORWARDED_HOST', 'HTTP_X_FORWARDED_PORT', \
         'HTTP_X_FORWARDED_PREFIX', 'HTTP_X_FORWARDED_PROTO']"
    );
}

#[test]
fn nobody_is_trusted_who_is_not_named() {
    let lines = [ALL, "Forwarded: for=6.6.6.6;proto=https\n"];
    for options in [options, || trusting("192.0.3.0/24 unix:")] {
        for fields in lines {
            assert_eq!(eval(options(), request(fields), FIELDS), "[]");
            assert_eq!(eval(options(), request(fields), CLIENT), "('192.0.2.7', '40001')");
            assert_eq!(
                eval(options(), request(fields), URL),
                "['http', 'inner:8000', '198.51.100.1', '8000', '', '/shop/x']"
            );
        }
    }
}

#[test]
fn fields_of_others_are_kept_where_told_and_change_nothing() {
    let keeping = || Options { untrusted: Untrusted::Keep, ..trusting("10.0.0.1") };
    let fields = "X-Forwarded-For: 6.6.6.6\nForwarded: for=6.6.6.6;proto=https\n";
    assert_eq!(
        eval(keeping(), request(fields), FIELDS),
        "['HTTP_FORWARDED', 'HTTP_X_FORWARDED_FOR']"
    );
    assert_eq!(eval(keeping(), request(fields), CLIENT), "('192.0.2.7', '40001')");
}

#[test]
fn a_name_with_an_underscore_brings_no_forwarded_field() {
    let allowing = || Options { header_map: HeaderMap::Allow, ..trusting("192.0.2.7") };
    let fields = "X_Forwarded_For: 6.6.6.6\nX-Forwarded_Proto: https\n";
    assert_eq!(eval(allowing(), request(fields), FIELDS), "[]");
    assert_eq!(eval(allowing(), request(fields), CLIENT), "('192.0.2.7', '40001')");
}

#[test]
fn forwarded_tells_the_same() {
    let fields =
        "Forwarded: for=6.6.6.6, for=\"[2001:db8::5]:4711\";proto=https;host=\"shop.test:444\"\n";
    assert_eq!(
        eval(trusting("192.0.2.7"), request(fields), URL),
        "['https', 'shop.test:444', 'shop.test', '444', '', '/shop/x']"
    );
    assert_eq!(eval(trusting("192.0.2.7"), request(fields), CLIENT), "('2001:db8::5', '4711')");
}

#[test]
fn a_host_without_a_port_has_that_of_its_scheme() {
    let url = |fields: &str| eval(trusting("192.0.2.7"), request(fields), URL);
    assert_eq!(
        url("X-Forwarded-Host: [2001:db8::1]\nX-Forwarded-Proto: https\n"),
        "['https', '[2001:db8::1]', '[2001:db8::1]', '443', '', '/shop/x']"
    );
    assert_eq!(
        url("X-Forwarded-Host: a.test\nX-Forwarded-Port: 80\n"),
        "['http', 'a.test', 'a.test', '80', '', '/shop/x']"
    );
    assert_eq!(
        url("X-Forwarded-Host: a.test:81\nX-Forwarded-Port: 82\n"),
        "['http', 'a.test:81', 'a.test', '81', '', '/shop/x']"
    );
    assert_eq!(
        url("X-Forwarded-Host: a.test:\n"),
        "['http', 'a.test:', 'a.test', '80', '', '/shop/x']"
    );
    // Without a host to go with it, the Host field stays as it came.
    assert_eq!(
        url("X-Forwarded-Port: 444\n"),
        "['http', 'inner:8000', '198.51.100.1', '444', '', '/shop/x']"
    );
}

#[test]
fn a_forwarded_host_wins_over_that_of_an_absolute_target() {
    let memory = Memory::request(
        "GET http://inner/ HTTP/1.1\nHost: inner\nX-Forwarded-Host: shop.test\nX-Forwarded-Proto: http\n",
    );
    assert_eq!(eval(trusting("*"), memory, "e['HTTP_HOST']"), "'shop.test'");
}

#[test]
fn a_forwarded_prefix_takes_the_place_of_the_root_path() {
    let url = |prefix: &str| {
        let options = Options { root_path: "/root".to_owned(), ..trusting("192.0.2.7") };
        let fields = format!("X-Forwarded-Prefix: {prefix}\n");
        eval(options, request(&fields), "e['SCRIPT_NAME'], e['PATH_INFO']")
    };
    assert_eq!(url("/shop/"), "('/shop', '/x')");
    assert_eq!(url("/b%C3%A4"), "('/bÃ¤', '/shop/x')");
    assert_eq!(url("/"), "('', '/shop/x')");
    assert_eq!(url("//evil.test"), "('/root', '/shop/x')");
}

#[test]
fn a_unix_socket_is_trusted_by_name() {
    let memory = |fields: &str| {
        let mut memory = request(fields);
        memory.origin.local = Address::Unix(Some(PathBuf::from("/run/x")));
        memory.origin.peer = Address::Unix(None);
        memory
    };
    assert_eq!(eval(trusting("unix:"), memory(ALL), CLIENT), "('203.0.113.5', None)");
    assert_eq!(eval(trusting("192.0.2.7"), memory(ALL), CLIENT), "('', None)");
    assert_eq!(
        eval(trusting("unix:"), memory("X-Forwarded-Proto: https\n"), URL),
        "['https', 'inner:8000', 'localhost', '443', '', '/shop/x']"
    );
}

#[test]
fn what_one_request_was_told_is_not_in_the_next_of_its_connection() {
    let program = Program::with_options(KEEP, trusting("192.0.2.7"));
    let first = program.serve_well(request(ALL));
    program.serve_well(first.then(request("")));
    program.run("e = seen[-1]");
    assert_eq!(program.eval(CLIENT), "('192.0.2.7', '40001')");
    assert_eq!(program.eval(URL), "['http', 'inner:8000', '198.51.100.1', '8000', '', '/shop/x']");
}

#[test]
fn a_field_that_makes_no_sense_is_ignored_and_told_of_once() {
    let program = Program::with_options(KEEP, trusting("192.0.2.7"));
    let memory = || request("X-Forwarded-For: 1.2.3.4.5\nX-Forwarded-Host: a.test\n");
    program.serve_well(memory());
    assert_eq!(
        logged(),
        [
            "WARN: a trusted proxy sent a field x-forwarded-for that is ignored, for \"1.2.3.4.5\" in it"
        ]
    );
    program.run("e = seen[-1]");
    assert_eq!(program.eval(CLIENT), "('192.0.2.7', '40001')");
    assert_eq!(program.eval("e['HTTP_HOST']"), "'a.test'");
    program.serve_well(memory());
    assert_eq!(logged(), Vec::<String>::new());
}

#[test]
fn both_kinds_of_fields_from_a_trusted_proxy_are_refused() {
    let program = Program::with_options(KEEP, trusting("192.0.2.7"));
    let memory =
        program.serve_well(request("X-Forwarded-For: 203.0.113.5\nForwarded: for=6.6.6.6\n"));
    assert!(memory.response().starts_with("400 Bad Request\n"), "{}", memory.response());
    assert_eq!(program.eval("seen"), "[]");
    let lines = logged();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("both Forwarded and X-Forwarded-*"), "{lines:?}");
}
