//! Just enough reading of Rust to tell code from comments and literals, and to find where an item
//! ends.

use std::ops::Range;

/// The text twice, line by line the same: with only the code left in it, and only the comments.
pub fn mask(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = token(&chars, at);
        for &c in &chars[at..end] {
            let kept = if c.is_ascii() { c } else { ' ' };
            let keep = |here: bool| if here || c == '\n' { kept } else { ' ' };
            code.push(keep(kind == Token::Code));
            comments.push(keep(kind == Token::Comment));
        }
        at = end;
    }
    (code, comments)
}

#[derive(PartialEq)]
enum Token {
    Code,
    Comment,
    Literal,
}

/// What begins at `at`, and where it ends: a comment or literal whole, code a character at a time.
fn token(chars: &[char], at: usize) -> (Token, usize) {
    let (kind, end) = match &chars[at..] {
        ['/', '/', rest @ ..] => (Token::Comment, at + 2 + rest.iter().take_while(|c| **c != '\n').count()),
        ['/', '*', ..] => (Token::Comment, block_comment_end(chars, at)),
        ['"', ..] => (Token::Literal, string_end(chars, at + 1)),
        ['\'', '\\', _, rest @ ..] => (Token::Literal, at + 4 + rest.iter().take_while(|c| **c != '\'').count()),
        ['\'', _, '\'', ..] => (Token::Literal, at + 3),
        ['r', rest @ ..] => match raw_string(rest) {
            Some(length) => (Token::Literal, at + 1 + length),
            None => (Token::Code, at + 1),
        },
        _ => (Token::Code, at + 1),
    };
    (kind, end.min(chars.len()))
}

fn block_comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match &chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of a raw string without its `r`, if one begins here and not a raw identifier.
fn raw_string(chars: &[char]) -> Option<usize> {
    let hashes = chars.iter().take_while(|c| **c == '#').count();
    let body = chars.get(hashes..)?.strip_prefix(&['"'])?;
    let mut close = vec!['"'];
    close.resize(hashes + 1, '#');
    let length = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some(hashes + 1 + length + close.len())
}

/// Where the items under `#[cfg(test)]` lie.
pub fn test_items(code: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let mut items: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices(MARK) {
        if items.last().is_none_or(|last| last.end <= start) {
            items.push(start..item_end(code, start + MARK.len()));
        }
    }
    items
}

pub fn blank(code: &str, ranges: &[Range<usize>]) -> String {
    let keep = |at: usize| !ranges.iter().any(|range| range.contains(&at));
    code.char_indices().map(|(at, c)| if c == '\n' || keep(at) { c } else { ' ' }).collect()
}

/// The end of the item or statement that goes on at `from`: its semicolon or its closing brace.
pub fn item_end(code: &str, from: usize) -> usize {
    let (mut nested, mut braces) = (0, 0);
    for (at, c) in code.bytes().enumerate().skip(from) {
        match c {
            b'(' | b'[' => nested += 1,
            b')' | b']' if nested == 0 => return at,
            b')' | b']' => nested -= 1,
            b'{' => braces += 1,
            b'}' if braces <= 1 && nested == 0 => return at + 1,
            b'}' => braces -= 1,
            b';' if nested == 0 && braces == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The first line of each function, and how many lines it has.
pub fn functions(code: &str) -> Vec<(usize, usize)> {
    let named = |at: &usize| code[at + 2..].trim_start().starts_with(is_word);
    let lines = |at: usize| code[at..item_end(code, at)].lines().count();
    let starts = find_word(code, "fn").into_iter().filter(named);
    starts.map(|at| (line_of(code, at), lines(at))).collect()
}

/// Where `word` stands by itself. One that ends in `_` may go on.
pub fn find_word(code: &str, word: &str) -> Vec<usize> {
    let alone = |at: &usize| {
        let before = code[..*at].ends_with(is_word) && word.starts_with(is_word);
        let open = word.len() > 1 && word.ends_with('_');
        let after = code[at + word.len()..].starts_with(is_word) && word.ends_with(is_word) && !open;
        !before && !after
    };
    code.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}
