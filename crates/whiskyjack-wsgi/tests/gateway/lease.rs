//! The application keeps what it was lent, and uses it from elsewhere.

use crate::support::{Body, Memory, Program};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use whiskyjack_server::exchange::Application;

const KEEP: &str = "
def app(environ, start_response):
    seen.append((environ, start_response, start_response('200 OK', [])))
    return [b'ok']

def uses():
    environ, start_response, write = seen[-1]
    f = environ['wsgi.input']
    return [
        f.read, f.readline, f.readlines, lambda: next(f), lambda: f.readinto(bytearray(1)),
        lambda: start_response('200 OK', []), lambda: write(b'x'), lambda: environ['wsgi.early_hints']([]),
        environ['whiskyjack.client_disconnected'],
    ]

def check():
    for use in uses():
        try: use()
        except ValueError as error: assert str(error) == 'I/O operation on a finished request', error
        else: raise AssertionError(use)
";

#[test]
fn every_use_after_the_request_raises_value_error() {
    let program = Program::new(KEEP);
    program.serve_well(Memory::post(b"body"));
    program.run("check()");
    program.run("import threading\nt = threading.Thread(target=check); t.start(); t.join()");
}

#[test]
fn a_kept_object_does_not_reach_the_next_request_of_its_connection() {
    let program = Program::new(
        "
def app(environ, start_response):
    if seen:
        try: seen[0].read()
        except ValueError: pass
        else: raise AssertionError
    seen.append(environ['wsgi.input'])
    start_response('200 OK', [])
    return [environ['wsgi.input'].read()]
",
    );
    let first = program.serve_well(Memory::post(b"one"));
    let second = program.serve_well(first.then(Memory::post(b"two")));
    assert_eq!(second.sent(), b"two");
}

#[test]
fn other_threads_may_read_and_write_during_the_call() {
    let program = Program::new(
        "
import threading
def app(environ, start_response):
    write = start_response('200 OK', [])
    f = environ['wsgi.input']
    def work():
        while line := f.readline():
            write(line)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    return []
",
    );
    let steps = (0..200).map(|_| Ok(b"1234567\n".to_vec())).collect();
    let memory = Memory::with_body(
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n",
        Body::Streaming(None, steps),
    );
    let memory = program.serve_well(memory);
    assert_eq!(memory.sent(), b"1234567\n".repeat(200));
}

#[test]
fn threads_that_outlive_the_call_only_see_errors() {
    let program = Program::new(
        "
import threading
def app(environ, start_response):
    start_response('200 OK', [])
    gone, f = environ['whiskyjack.client_disconnected'], environ['wsgi.input']
    begun = threading.Event()
    def work():
        try:
            while True:
                gone(); f.read(1); begun.set()
        except ValueError as error:
            seen.append(str(error))
    for _ in range(4):
        t = threading.Thread(target=work); t.start(); threads.append(t)
    begun.wait()
    return [b'ok']
threads = []
",
    );
    for _ in 0..20 {
        let memory = Memory::with_body(
            "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n",
            Body::Streaming(None, VecDeque::from([Ok(b"x".to_vec())])),
        );
        drop(program.serve_well(memory));
    }
    program.run("for t in threads: t.join()\nassert seen == ['I/O operation on a finished request'] * 80, seen");
}

#[test]
fn a_request_that_is_dropped_leaves_nothing_behind() {
    let program = Program::new(
        "
import gc, weakref
class Marker: pass
def app(environ, start_response):
    marker = Marker()
    environ['marker'] = marker
    seen.append(weakref.ref(marker))
    start_response('200 OK', [])
    return [b'x']
",
    );
    program.serve_well(Memory::get("/"));
    program.run("gc.collect()\nassert seen[0]() is None");
}

#[test]
fn a_thread_is_attached_for_its_life_and_detached_where_it_waits() {
    let program = Program::new(KEEP);
    let (lived, waited) = (AtomicBool::new(false), AtomicBool::new(false));
    program.gateway.thread(&mut || {
        lived.store(true, Ordering::Relaxed);
        program.gateway.wait(&mut || {
            // Another thread can only run Python code while this one is detached from it.
            std::thread::scope(|scope| {
                scope.spawn(|| program.run("seen.append('other thread')"));
            });
            waited.store(true, Ordering::Relaxed);
        });
        program.serve_well(Memory::get("/"));
    });
    assert!(lived.into_inner() && waited.into_inner());
    assert_eq!(program.eval("seen[0]"), "'other thread'");
}

#[test]
fn a_panic_in_a_wait_leaves_the_thread_attached_as_it_was() {
    let program = Program::new(KEEP);
    program.gateway.thread(&mut || {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            program.gateway.wait(&mut || panic!("in the wait"));
        }));
        assert!(caught.is_err());
        program.serve_well(Memory::get("/"));
    });
}
