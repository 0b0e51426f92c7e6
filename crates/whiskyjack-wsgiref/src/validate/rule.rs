//! What the validator holds both sides to: each rule once, with the place where it is written.

/// Who has to keep a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// the application, or middleware on its side
    Application,
    /// the server, or middleware on its side
    Server,
}

impl Party {
    /// `application` or `server`.
    pub fn name(self) -> &'static str {
        match self {
            Party::Application => "application",
            Party::Server => "server",
        }
    }
}

macro_rules! rules {
    ($($name:ident: $party:ident, $section:literal, $text:literal;)+) => {
        /// A rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule { $(#[doc = $text] $name,)+ }

        impl Rule {
            /// Who has to keep it.
            pub fn party(self) -> Party {
                match self { $(Rule::$name => Party::$party,)+ }
            }

            /// Where it is written.
            pub fn section(self) -> &'static str {
                match self { $(Rule::$name => $section,)+ }
            }

            /// What it says.
            pub fn text(self) -> &'static str {
                match self { $(Rule::$name => $text,)+ }
            }
        }
    };
}

rules! {
    Call: Server, "PEP 3333, Specification Details",
        "the application is called with two positional arguments";
    EnvironDict: Server, "PEP 3333, Specification Details",
        "the environ is a dict, and no subclass of it";
    EnvironRequired: Server, "PEP 3333, environ Variables",
        "a required variable is there, and is not empty where it may not be";
    EnvironName: Server, "PEP 3333, environ Variables",
        "the fields Content-Type and Content-Length are the variables CONTENT_TYPE and CONTENT_LENGTH";
    EnvironText: Server, "PEP 3333, Unicode Issues",
        "CGI variables are str, with no character above U+00FF in what comes from the request";
    EnvironValue: Server, "PEP 3333, environ Variables",
        "a variable has one of the values that it may have";
    Streams: Server, "PEP 3333, Input and Error Streams",
        "wsgi.input and wsgi.errors have the methods that are listed there";
    StreamData: Server, "PEP 3333, Input and Error Streams",
        "wsgi.input gives bytes, and no more than were asked for";
    WriteReturned: Server, "PEP 3333, The start_response() Callable",
        "start_response returns a write() callable";
    ErrorRaised: Server, "PEP 3333, The start_response() Callable",
        "start_response raises exc_info again once the headers are sent";
    Closed: Server, "PEP 3333, Specification Details",
        "what the application returns is closed at the end of the request, and not read any more";
    Input: Application, "PEP 3333, Input and Error Streams",
        "wsgi.input is read with its methods, and not closed";
    InputSize: Application, "PEP 3333, Input and Error Streams",
        "read() is given a size, because a server only should take it without one";
    InputEnd: Application, "PEP 3333, Input and Error Streams",
        "no more is read than CONTENT_LENGTH allows";
    InputLate: Application, "PEP 3333, Specification Details",
        "the environ is one request's, and ends with it";
    Errors: Application, "PEP 3333, Input and Error Streams",
        "str is written to wsgi.errors, which is not closed";
    StartCall: Application, "PEP 3333, The start_response() Callable",
        "start_response is called with two positional arguments, and a third in the handling of an error";
    StartTwice: Application, "PEP 3333, The start_response() Callable",
        "start_response is not called a second time without exc_info";
    StartBefore: Application, "PEP 3333, The start_response() Callable",
        "start_response is called before the first item of the body, and before its end";
    ExcInfo: Application, "PEP 3333, Error Handling",
        "exc_info is what sys.exc_info() gives in the handling of an error";
    ErrorKept: Application, "PEP 3333, Error Handling",
        "what start_response raises for exc_info ends the response";
    Status: Application, "PEP 3333, The start_response() Callable",
        "the status is three digits, one space and a reason, without control characters and without space around it";
    StatusFinal: Application, "RFC 9110 15",
        "the status of a final response is 200 to 599";
    Headers: Application, "PEP 3333, The start_response() Callable",
        "the headers are a list of tuples of two";
    Native: Application, "PEP 3333, Unicode Issues",
        "the status, and names and values of headers, are str with no character above U+00FF";
    HeaderName: Application, "PEP 3333, The start_response() Callable",
        "the name of a header is one that HTTP has, without a colon or anything after it, and is not Status";
    HeaderValue: Application, "PEP 3333, The start_response() Callable",
        "the value of a header has no control characters";
    HopByHop: Application, "PEP 3333, Other HTTP Features",
        "hop-by-hop fields are the server's affair";
    HeaderOnce: Application, "RFC 9110 5.3",
        "a field that is no list stands only once";
    ContentType: Application, "RFC 9110 8.3",
        "a response with content has a Content-Type, and one without has none";
    LengthForm: Application, "PEP 3333, Handling the Content-Length Header",
        "a Content-Length is a decimal number";
    LengthForbidden: Application, "RFC 9110 8.6",
        "a response with the status 204 has no Content-Length";
    LengthKept: Application, "PEP 3333, Handling the Content-Length Header",
        "the body is as long as its Content-Length says";
    BodyForbidden: Application, "RFC 9110 6.4.1",
        "a response with the status 204 or 304 has no content";
    Write: Application, "PEP 3333, The write() Callable",
        "write() is given bytes";
    WriteLate: Application, "PEP 3333, The write() Callable",
        "write() is not called by what the application returns, nor after it has returned";
    Iterable: Application, "PEP 3333, The Application/Framework Side",
        "the application returns an iterable of bytes";
    Item: Application, "PEP 3333, Unicode Issues",
        "the items of the body are bytes";
}
