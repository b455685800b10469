//! A line that a person types on the terminal, on standard error.
//!
//! Esc and Ctrl-C leave it at once: dialoguer's own input does not know Esc, and its confirmation waits for
//! enter after it.

use crate::harmless::harmless;
use console::{Key, Term};
use std::io;

/// Asks for a line, with a text to start from; none when it was left.
pub(crate) fn read(prompt: &str, initial: &str) -> io::Result<Option<String>> {
    let term = Term::stderr();
    let mut text = harmless(initial).into_owned();
    term.write_str(&format!("{prompt} {text}"))?;
    let answer = loop {
        match term.read_key()? {
            Key::Enter => break Some(text),
            Key::Escape | Key::CtrlC => break None,
            // Ctrl-D
            Key::Char('\u{4}') if text.is_empty() => break None,
            Key::Backspace if text.pop().is_some() => term.clear_chars(1)?,
            Key::Char(typed) if !typed.is_control() => {
                text.push(typed);
                term.write_str(&typed.to_string())?;
            }
            _ => {}
        }
    };
    term.write_line("")?;
    Ok(answer.map(|text| text.trim().to_owned()))
}
