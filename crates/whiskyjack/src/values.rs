//! What a setting's text can mean: durations, sizes, counts, switches, lists.
//! Knows no setting: a text comes in, a value or the reason against it goes out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use whiskyjack_server::trust::Trusted;

/// A value that is written as text, in a flag, a variable or a file alike. `show` gives a text that `parse` reads back.
pub trait Value: Sized {
    /// How the value is given.
    const SHAPE: Shape = Shape::One;

    /// The only texts allowed, where there are few.
    const CHOICES: &'static [&'static str] = &[];

    /// Reads the value; the error says what would be right.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes the value.
    fn show(&self) -> String;
}

/// How a value is given on the command line and in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// one text
    One,
    /// a number, which a file may give without quotes
    Number,
    /// texts joined by commas: the flag may be repeated, a file may give an array
    List,
    /// true or false; the flag alone means true
    Switch,
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const MIN: usize, const MAX: usize>(usize);

impl<const MIN: usize, const MAX: usize> Whole<MIN, MAX> {
    /// The number.
    pub fn number(self) -> usize {
        self.0
    }
}

impl<const MIN: usize, const MAX: usize> Value for Whole<MIN, MAX> {
    const SHAPE: Shape = Shape::Number;

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Whole(number)),
            _ => Err(format!("write a whole number from {MIN} to {MAX}")),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A count of bytes within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// The bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The bytes as a length in memory; a size that no memory holds becomes the greatest there is.
    pub fn length(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Value for Size<MIN, MAX> {
    const SHAPE: Shape = Shape::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let Some(bytes) = parse_size(text) else {
            return Err("write a size such as 8190, 64k, 10M or 1GiB".to_owned());
        };
        if !(MIN..=MAX).contains(&bytes) {
            return Err(format!("write a size from {} to {}", show_size(MIN), show_size(MAX)));
        }
        Ok(Size(bytes))
    }

    fn show(&self) -> String {
        show_size(self.0)
    }
}

/// The units of a size, greatest first. All are powers of 1024, with or without `B` or `iB` behind.
const SIZE_UNITS: [(char, u64); 4] =
    [('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('k', 1 << 10)];

fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let unit = text[end..].to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    if unit.is_empty() {
        // "10iB" names no unit
        return (!text.ends_with("iB")).then_some(number);
    }
    let scale = SIZE_UNITS.iter().find(|(sign, _)| sign.to_string().eq_ignore_ascii_case(unit))?.1;
    number.checked_mul(scale)
}

fn show_size(bytes: u64) -> String {
    for (sign, scale) in SIZE_UNITS {
        if bytes != 0 && bytes.is_multiple_of(scale) {
            return format!("{}{sign}", bytes / scale);
        }
    }
    bytes.to_string()
}

impl Value for Duration {
    const SHAPE: Shape = Shape::Number;

    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text).filter(|duration| *duration <= LONGEST).ok_or_else(|| {
            "write a duration such as 30, 1.5, 500ms or 1h30m (seconds where no unit is given)"
                .to_owned()
        })
    }

    fn show(&self) -> String {
        show_duration(*self)
    }
}

/// A duration over this is a slip of the pen, and would overflow an instant somewhere.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A duration after which something is given up; 0 is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

impl Value for Timeout {
    const SHAPE: Shape = Shape::Number;

    fn parse(text: &str) -> Result<Self, String> {
        let duration = Duration::parse(text)?;
        Ok(Timeout((!duration.is_zero()).then_some(duration)))
    }

    fn show(&self) -> String {
        self.0.unwrap_or_default().show()
    }
}

/// The units of a duration in microseconds, in the order in which they may follow each other.
const DURATION_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = DURATION_UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = match unit {
            "" if rest.len() == text.len() && after.is_empty() => "s",
            unit => unit,
        };
        let scale = units.by_ref().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(scaled(number, scale)?)?;
        rest = after;
    }
    Some(Duration::from_micros(total))
}

/// A decimal number times `scale`, exactly, without the detour of a float. What is finer than 1 is cut.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(fraction) || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(total)
}

fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (unit, scale) in DURATION_UNITS {
        // 60s and 90s read better than 1m and 1m30s, and are what is usually written
        if unit == "m" && rest < 120_000_000 {
            continue;
        }
        if rest >= scale {
            text += &format!("{}{unit}", rest / scale);
            rest %= scale;
        }
    }
    text
}

impl Value for bool {
    const SHAPE: Shape = Shape::Switch;
    const CHOICES: &'static [&'static str] = &["true", "false"];

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("write true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            Err("write a path".to_owned())
        } else {
            Ok(PathBuf::from(text))
        }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// The empty text is none.
impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const CHOICES: &'static [&'static str] = T::CHOICES;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, Value::show)
    }
}

/// Joined by commas; the empty text is the empty list.
impl<T: Value> Value for Vec<T> {
    const SHAPE: Shape = Shape::List;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        text.split(',').map(|item| T::parse(item.trim())).collect()
    }

    fn show(&self) -> String {
        self.iter().map(Value::show).collect::<Vec<_>>().join(",")
    }
}

/// Permission bits of a file, written in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl Value for Permissions {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o777 && !digits.starts_with('+') => Ok(Permissions(bits)),
            _ => Err("write permission bits in octal, such as 660".to_owned()),
        }
    }

    fn show(&self) -> String {
        format!("{:o}", self.0)
    }
}

/// Who a file belongs to: `user`, `user:group` or `:group`, each a name or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// the user, where it is to be changed
    pub user: Option<String>,
    /// the group, where it is to be changed
    pub group: Option<String>,
}

impl Value for Owner {
    fn parse(text: &str) -> Result<Self, String> {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let owner = Owner { user: part(user), group: part(group) };
        if (owner.user.is_none() && owner.group.is_none()) || text.contains('\0') {
            return Err("write user, user:group or :group".to_owned());
        }
        Ok(owner)
    }

    fn show(&self) -> String {
        let user = self.user.as_deref().unwrap_or("");
        self.group.as_ref().map_or_else(|| user.to_owned(), |group| format!("{user}:{group}"))
    }
}

/// A text that can stand as the value of a response field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldText(String);

impl FieldText {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Value for FieldText {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == text && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            Ok(FieldText(text.to_owned()))
        } else {
            Err("write printable ASCII without spaces around it".to_owned())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// How many worker processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// as many as there are processors
    Auto,
    /// so many; 0 is none beside this process
    Count(usize),
}

/// More would not fit the board of what each is doing.
const MOST_WORKERS: usize = 500;

impl Value for Workers {
    const SHAPE: Shape = Shape::Number;

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Workers::Auto),
            Ok(count) if count <= MOST_WORKERS => Ok(Workers::Count(count)),
            _ => Err(format!("write a whole number from 0 to {MOST_WORKERS}, or auto")),
        }
    }

    fn show(&self) -> String {
        match self {
            Workers::Auto => "auto".to_owned(),
            Workers::Count(count) => count.to_string(),
        }
    }
}

/// A path as it stands in a request, with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPath(String);

impl UrlPath {
    /// The path.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Value for UrlPath {
    fn parse(text: &str) -> Result<Self, String> {
        match text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(UrlPath(text.to_owned())),
            false => Err("write a path that begins with a slash, such as /healthz".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Where in the URL space an application stands: empty, or `/something` without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPath(String);

impl RootPath {
    /// The path as SCRIPT_NAME wants it.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Value for RootPath {
    fn parse(text: &str) -> Result<Self, String> {
        let path = text.trim_end_matches('/');
        if (path.is_empty() || path.starts_with('/')) && !path.bytes().any(|b| b.is_ascii_control())
        {
            Ok(RootPath(path.to_owned()))
        } else {
            Err("write a path that begins with a slash, such as /shop".to_owned())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// standard output, written `-`
    Stdout,
    /// the end of this file
    File(PathBuf),
}

impl Value for Output {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Output::Stdout);
        }
        PathBuf::parse(text)
            .map(Output::File)
            .map_err(|_| "write a path, or - for standard output".to_owned())
    }

    fn show(&self) -> String {
        match self {
            Output::Stdout => "-".to_owned(),
            Output::File(path) => path.show(),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Stdout => f.write_str("standard output"),
            Output::File(path) => path.display().fmt(f),
        }
    }
}

impl Value for Trusted {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// The nearest of `names` to what was written, where one is near enough to be meant.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('_', "-");
    names
        .into_iter()
        .map(|name| (distance(&written, &name.to_ascii_lowercase().replace('_', "-")), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().min(written.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be put in, left out or changed to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// The path made absolute, so that it stays true when the application changes the directory.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Option<Duration> {
        Duration::parse(text).ok()
    }

    #[test]
    fn durations_are_seconds_or_carry_units() {
        assert_eq!(duration("30"), Some(Duration::from_secs(30)));
        assert_eq!(duration("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("0.25h"), Some(Duration::from_secs(900)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "-1", "1 s", "s", "1x", "30m1h", "1h30", ".", "1.", ".5", "1..2", "1e3", "400d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("99999999999999999999"), None);
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        type Any = Size<0, { u64::MAX }>;
        let bytes = |text| Any::parse(text).map(Any::bytes).ok();
        assert_eq!(bytes("8190"), Some(8190));
        assert_eq!(bytes("64k"), Some(65_536));
        assert_eq!(bytes("10M"), Some(10 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("2kb"), Some(2048));
        for text in ["", "k", "-1", "1x", "1.5M", "10iB", "99999999999T"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_out_of_bounds_is_refused() {
        assert!(Whole::<1, 10>::parse("0").is_err());
        assert!(Whole::<1, 10>::parse("11").is_err());
        assert!(Whole::<1, 10>::parse("+-1").is_err());
        assert!(Size::<1, 100>::parse("1k").is_err());
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["65s", "1h30m", "500ms", "90s", "0", "2m", "1d", "1s500ms", "60m"] {
            let value = Duration::parse(text).expect(text);
            assert_eq!(
                Duration::parse(&value.show()),
                Ok(value),
                "{text} shown as {}",
                value.show()
            );
        }
        assert_eq!(Duration::from_secs(65).show(), "65s");
        assert_eq!(Timeout::parse("0").expect("0").show(), "0");
        assert_eq!(Size::<0, { u64::MAX }>::parse("65536").expect("65536").show(), "64k");
        assert_eq!(Owner::parse(":www-data").expect("group").show(), ":www-data");
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(Permissions::parse("660"), Ok(Permissions(0o660)));
        assert_eq!(Permissions::parse("0o600"), Ok(Permissions(0o600)));
        assert!(Permissions::parse("rw").is_err());
        assert!(Permissions::parse("1777").is_err());
    }

    #[test]
    fn a_field_text_cannot_break_a_line() {
        assert!(FieldText::parse("a\r\nb").is_err());
        assert!(FieldText::parse("").is_ok());
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["threads", "keep-alive", "bind"];
        assert_eq!(nearest("thread", names), Some("threads"));
        assert_eq!(nearest("keep_alive", names), Some("keep-alive"));
        assert_eq!(nearest("colour", names), None);
    }
}
