//! A checksum that a writer keeps up to date word by word.
//!
//! A record is proved whole by its checksum, so every change of state pays for one. A sum of
//! independent terms lets the writer take the old word's term out and put the new one in, instead
//! of going over the whole record. Each term is a bijection of its word, so a record in which one
//! word is from another moment never passes; the multiplier depends on the place, so words that
//! trade places do not pass either. Zero maps to zero: a page of zeros is a valid, empty record.
//!
//! It guards against accidents. Any process that can write the page can compute it.

/// 2^64 divided by the golden ratio, the usual multiplier with well spread bits.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The part that word number `index`, holding `word`, has in the sum.
pub(crate) const fn term(index: usize, word: u64) -> u64 {
    let multiplier = GOLDEN.wrapping_mul(index as u64 + 1) | 1;
    let folded = (word ^ (word >> 32)).wrapping_mul(multiplier);
    folded ^ (folded >> 29)
}

/// The checksum of all `words` but the one at `skip`, which holds the checksum itself.
pub(crate) fn sum(words: &[u64], skip: usize) -> u64 {
    let terms = words.iter().enumerate().filter(|&(index, _)| index != skip);
    terms.fold(0, |sum, (index, &word)| sum.wrapping_add(term(index, word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gives_zero_for_zeros() {
        assert_eq!(sum(&[0; 32], 1), 0);
    }

    /// For readers in other languages.
    #[test]
    fn gives_what_the_format_says() {
        assert!(
            include_str!("../docs/format.md")
                .contains(&format!("is `{:#018x}`", sum(&[1, 2, 3], 1)))
        );
    }

    proptest! {
        #[test]
        fn sees_any_single_changed_word(index in 0_usize..32, a: u64, b: u64) {
            prop_assert_eq!(term(index, a) == term(index, b), a == b);
        }

        #[test]
        fn sees_words_that_traded_places(a: u64, b: u64, i in 2_usize..32, j in 2_usize..32) {
            prop_assume!(a != b && i != j);
            let (mut one, mut other) = ([0_u64; 32], [0_u64; 32]);
            (one[i], one[j]) = (a, b);
            (other[i], other[j]) = (b, a);
            prop_assert_ne!(sum(&one, 1), sum(&other, 1));
        }
    }
}
