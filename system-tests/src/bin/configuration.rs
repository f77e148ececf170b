//! Writes `docs/configuration.md` to standard output.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let text = system_tests::configuration::document();
    io::stdout().lock().write_all(text.as_bytes())
}
