//! Words of others, as a terminal may be given them.
//!
//! Decides which characters are no text. What a workload, a registry or a cluster says must not move the cursor,
//! colour a line or turn it round: whoever may write a workload would decide what its reader sees.

use std::borrow::Cow;

/// The same text, with what a terminal would obey written out as `\u{1b}`.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_obeyed(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn is_obeyed(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // marks, embeddings, overrides and isolates of a direction
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        character => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;
    use std::borrow::Cow;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        assert_eq!(
            harmless("nginx\u{1b}[2K\r\u{9b}1m\u{7f}\u{202e}x"),
            "nginx\\u{1b}[2K\\u{d}\\u{9b}1m\\u{7f}\\u{202e}x"
        );
        let text = "deployment/web  nginx:1 → größe\n\tund 漢字";
        assert!(matches!(harmless(text), Cow::Borrowed(same) if same == text));
    }
}
