//! Percent-encoding (RFC 3986 2.1), taken off.

/// Decodes every `%` and two hexadecimal digits, once; what is no such thing stays. `first` is where the first `%` is.
pub(crate) fn decoded(path: &[u8], first: usize) -> Vec<u8> {
    let digit = |index: usize| path.get(index).and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = path[..first].to_vec();
    let mut index = first;
    while index < path.len() {
        if path[index] == b'%'
            && let (Some(high), Some(low)) = (digit(index + 1), digit(index + 2))
        {
            bytes.push((high * 16 + low) as u8);
            index += 3;
        } else {
            bytes.push(path[index]);
            index += 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_path_is_decoded_once_and_only_where_it_is_encoded() {
        assert_eq!(decoded(b"/a%2fb%2525%zz%4", 2), b"/a/b%25%zz%4");
        assert_eq!(decoded(b"%C3%A4", 0), b"\xc3\xa4");
        assert_eq!(decoded(b"/a", 0), b"/a");
    }
}
