//! The same under the standard library's own judge, `wsgiref.validate`.

use crate::support::{Memory, Program, logged};

const VALIDATED: &str = "
import warnings
from wsgiref.validate import validator
warnings.simplefilter('error')

@validator
def app(environ, start_response):
    kind = environ['PATH_INFO']
    body = environ['wsgi.input'].read(100)
    status = '204 No Content' if kind == '/empty' else '200 OK'
    headers = [] if kind == '/empty' else [('Content-Type', 'text/plain')]
    write = start_response(status, headers)
    if kind == '/write':
        write(b'written ')
    if kind == '/file':
        import io
        return environ['wsgi.file_wrapper'](io.BytesIO(b'file'))
    if kind == '/generator':
        return (item for item in [b'a', b'', b'b'])
    return [] if kind == '/empty' else [b'body:' + body]
";

#[test]
fn the_validator_finds_nothing() {
    let program = Program::new(VALIDATED);
    let cases: [(Memory, &[u8]); 7] = [
        (Memory::get("/"), b"body:"),
        (Memory::post(b"xyz"), b"body:xyz"),
        (Memory::get("/write?q"), b"written body:"),
        (Memory::get("/file"), b"file"),
        (Memory::get("/generator"), b"ab"),
        (Memory::get("/empty"), b""),
        (Memory::request("HEAD /generator HTTP/1.1\nHost: a\nCookie: a\nCookie: b\n"), b""),
    ];
    for (memory, body) in cases {
        let memory = program.serve_well(memory);
        assert_eq!(memory.sent(), body);
        assert_eq!(logged(), Vec::<String>::new());
    }
}
