//! What the standard library's `wsgiref` has beside its server. Knows Python objects and WSGI, no engine.
//!
//! `python/whiskyjack/wsgiref` is its face; the names that are exported stand in [`module`].

mod cgi;
mod file_wrapper;
mod framing;
mod headers;
mod hop;
mod native;
mod path;
mod request;
mod response;
mod testing;
mod uri;
pub mod validate;

/// What Python sees, as `whiskyjack._whiskyjack.wsgiref`.
#[pyo3::pymodule(gil_used = false, name = "wsgiref", submodule)]
pub mod module {
    #[pymodule_export]
    pub use crate::cgi::{is_modern, read_environ, set_up_environ, strip_script_name};
    #[pymodule_export]
    pub use crate::file_wrapper::FileWrapper;
    #[pymodule_export]
    pub use crate::framing::ResponseFraming;
    #[pymodule_export]
    pub use crate::headers::Headers;
    #[pymodule_export]
    pub use crate::hop::is_hop_by_hop;
    #[pymodule_export]
    pub use crate::path::shift_path_info;
    #[pymodule_export]
    pub use crate::request::{BadRequest, RequestBody, RequestHeadReader, request_environ};
    #[pymodule_export]
    pub use crate::response::{
        format_date_time, gateway_preamble, implied_length, origin_preamble, refuse_fields,
        refuse_status,
    };
    #[pymodule_export]
    pub use crate::testing::setup_testing_defaults;
    #[pymodule_export]
    pub use crate::uri::{application_uri, guess_scheme, request_uri};
    #[pymodule_export]
    pub use crate::validate::{
        ErrorWrapper, InputWrapper, IteratorWrapper, PartialIteratorWrapper, Validator, Violation,
        WSGIWarning, WriteWrapper, check_content_type, check_environ, check_errors, check_exc_info,
        check_headers, check_input, check_iterator, check_status, validator,
    };
}
