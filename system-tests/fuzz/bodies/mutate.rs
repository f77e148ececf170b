//! Changes valid inputs at random, the same way in every run, and hands them to a body. For tests on
//! the stable compiler; the fuzzer changes inputs by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Runs `body` over `count` changed copies of `seeds`, and over the seeds as they are.
///
/// # Panics
/// If the body does; then it says with which input.
pub(crate) fn each(seed: u64, seeds: &[Vec<u8>], count: usize, body: fn(&[u8])) {
    let mut dice = Dice(seed);
    for input in seeds {
        watched(input, body);
    }
    for _ in 0..count {
        let mut input = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(4) {
            change(&mut input, seeds, &mut dice);
        }
        watched(&input, body);
    }
}

/// The inputs that are kept for `target` in `seeds`: valid ones to begin with, and what a fuzzer has
/// broken it with.
pub(crate) fn kept(target: &str) -> Vec<Vec<u8>> {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../system-tests/fuzz/seeds");
    let folder = std::fs::read_dir(Path::new(seeds).join(target)).expect("each target has seeds");
    let paths: Result<Vec<_>, _> = folder.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.unwrap_or_else(|error: std::io::Error| panic!("{error}"));
    // The order of a folder is nobody's; the tests' changes are to be the same in every run.
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).expect("a seed can be read");
    paths.iter().map(read).collect()
}

fn watched(input: &[u8], body: fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        let why = panic.downcast_ref::<String>().map_or("", String::as_str);
        panic!("{why}\nthe input was: {:?}", String::from_utf8_lossy(input));
    }
}

/// A small generator of repeatable numbers; quality does not matter here.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(usize::MAX) % bound.max(1)
    }

    /// A stretch of `len` bytes, mostly short.
    fn stretch(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(2) == 0 { 16 } else { len };
        let end = (start + self.below(most + 1)).min(len);
        start..end
    }
}

/// Pieces that parsers stumble over.
const PIECES: [&[u8]; 16] = [
    b"\n",
    b"\0",
    b"\"",
    b"\\u0000",
    b"\xff\xfe",
    b"{",
    b"}",
    b"[",
    b"null",
    b"-1",
    b"1e9",
    b"0.5",
    b"9223372036854775808",
    b"18446744073709551615",
    b"ffffffffffffffff",
    b"{\"frame\":{\"bytes\":\"",
];

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.stretch(input.len());
    match dice.below(9) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at.start) {
                *byte ^= 1 << dice.below(8);
            }
        }
        2 => {
            if let Some(digit) = digit_from(input, at.start) {
                input[digit] = b"0123456789abcdef"[dice.below(16)];
            }
        }
        3 => input.truncate(at.start),
        4 => drop(input.drain(at)),
        5 => {
            let copy = input[at.clone()].to_vec();
            input.splice(at.end..at.end, copy);
        }
        6 => {
            let piece = PIECES[dice.below(PIECES.len())];
            input.splice(at.start..at.start, piece.iter().copied());
        }
        7 => {
            let other = &seeds[dice.below(seeds.len())];
            let part = other[dice.stretch(other.len())].to_vec();
            input.splice(at, part);
        }
        _ => change_lines(input, dice),
    }
}

/// The next digit from `at` on.
fn digit_from(input: &[u8], at: usize) -> Option<usize> {
    let found = input.get(at..)?.iter().position(u8::is_ascii_digit)?;
    Some(at + found)
}

/// Removes, repeats or moves a whole line.
fn change_lines(input: &mut Vec<u8>, dice: &mut Dice) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
    let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
    if lines.is_empty() {
        return;
    }
    match dice.below(3) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one]),
        _ => lines.swap(one, other),
    }
    *input = lines.concat();
}

/// The input that stands for `files`, see `archive`.
pub(crate) fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (name, bytes) in files {
        data.push(b'@');
        data.extend_from_slice(name.as_bytes());
        data.push(b'\n');
        data.extend_from_slice(bytes);
        // A file that ends within a line is what a cut of the input makes.
        if bytes.last().is_some_and(|last| *last != b'\n') {
            data.push(b'\n');
        }
    }
    data
}
