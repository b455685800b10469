//! What was probably meant by a word that means nothing.
//!
//! Decides which of the known words is near enough to be offered. Never takes one for the other.

/// The known word that was probably meant, where one is near enough.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // one slip in a short word, more in a long one
    let slips = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter_map(|known| {
            let candidate = known.to_lowercase();
            let distance = match () {
                // cut short, as `plat` for `platform`
                () if word.len() > 2 && candidate.starts_with(&word) => 1,
                () => strsim::osa_distance(&word, &candidate),
            };
            (distance <= slips).then_some((distance, known))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_through_and_another_word_is_not() {
        let known = ["registry", "skipNamespaces", "platform", "po", "sts"];
        let check = |word, expected| assert_eq!(nearest(word, known), expected, "{word}");
        check("regsitry", Some("registry"));
        check("Registry", Some("registry"));
        check("skip-namespaces", Some("skipNamespaces"));
        check("plat", Some("platform"));
        check("st", Some("sts"));
        check("colour", None);
        check("x", None);
        check("", None);
    }
}
