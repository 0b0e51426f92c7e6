//! The byte classes of RFC 9110 and 3986.
