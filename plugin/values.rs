//! Single values of options, as clap is to take them.
//!
//! Decides which words are refused before a verb begins. What a list means is its verb's business.

use image_cloner::config;
use jiff::SignedDuration;
use std::time::Duration;

/// An item of a list. None is empty: an unset variable of a script would name nothing, and to most lists
/// nothing means everything.
pub(crate) fn item(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty: is a variable unset?".to_owned()),
        item => Ok(item.to_owned()),
    }
}

/// `true` and `false`, and the other words that variables take.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    config::switch(text.trim())
}

/// `30s`, `5m`, `1h30m`; a bare number is seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| "write it as 30s, 5m or 1h30m".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())
}
