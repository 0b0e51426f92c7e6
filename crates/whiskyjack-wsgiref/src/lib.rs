//! What the standard library's `wsgiref` has beside its server. Knows Python objects and WSGI, no engine.
//!
//! `python/whiskyjack/wsgiref` is its face; the names that are exported stand in [`module`].

mod cgi;
mod file_wrapper;
mod headers;
mod hop;
mod native;
mod path;
mod response;
mod testing;
mod uri;

/// What Python sees, as `whiskyjack._whiskyjack.wsgiref`.
#[pyo3::pymodule(gil_used = false, name = "wsgiref", submodule)]
pub mod module {
    #[pymodule_export]
    pub use crate::cgi::{is_modern, read_environ, set_up_environ, strip_script_name};
    #[pymodule_export]
    pub use crate::file_wrapper::FileWrapper;
    #[pymodule_export]
    pub use crate::headers::Headers;
    #[pymodule_export]
    pub use crate::hop::is_hop_by_hop;
    #[pymodule_export]
    pub use crate::path::shift_path_info;
    #[pymodule_export]
    pub use crate::response::{
        check_fields, check_status, format_date_time, gateway_preamble, implied_length,
        origin_preamble,
    };
    #[pymodule_export]
    pub use crate::testing::setup_testing_defaults;
    #[pymodule_export]
    pub use crate::uri::{application_uri, guess_scheme, request_uri};
}
