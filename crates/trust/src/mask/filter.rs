//! Skips text that surely holds no secret, several times faster than an automaton can walk it.
//!
//! Of each pattern the first few groups of four bytes are noted in a bitmap. Where all patterns have at least `n`
//! bytes, it is enough to look at every `n - 3`rd place of the text: an occurrence cannot avoid all of them.

const GROUP: usize = 4;
const BITS: u32 = 18;
/// A longer stride gains nothing and fills the bitmap.
const STRIDE_MAX: usize = 12;

pub(super) struct Filter {
    stride: usize,
    bits: Box<[u64]>,
}

impl Filter {
    /// `None` where a pattern is too short, or where there are so many that every place would be a candidate.
    pub(super) fn new(patterns: &[Vec<u8>]) -> Option<Self> {
        let shortest = patterns.iter().map(Vec::len).min()?;
        // More groups, and too many places of any text would be candidates.
        const GROUPS_MAX: usize = 1 << (BITS - 6);
        let most = (GROUPS_MAX / patterns.len()).min(STRIDE_MAX);
        let stride = (shortest + 1).checked_sub(GROUP)?.min(most);
        if stride == 0 {
            return None;
        }
        let mut bits = vec![0u64; 1 << (BITS - 6)].into_boxed_slice();
        for group in patterns.iter().flat_map(|p| p.windows(GROUP).take(stride)) {
            let (word, bit) = place(group);
            bits[word] |= bit;
        }
        Some(Self { stride, bits })
    }

    /// The first place at or after `from`, in steps of the stride, where an occurrence may be: it begins at most
    /// [`Filter::before`] bytes earlier. `None` where there is none up to the end.
    pub(super) fn candidate(&self, text: &[u8], from: usize) -> Option<usize> {
        let places = text.get(from..)?.windows(GROUP).step_by(self.stride);
        let found = places
            .map(place)
            .position(|(word, bit)| self.bits[word] & bit != 0)?;
        Some(from + found * self.stride)
    }

    pub(super) fn before(&self) -> usize {
        self.stride - 1
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }
}

/// Where a group's bit is. The index is below the bitmap's length for every group.
fn place(group: &[u8]) -> (usize, u64) {
    const MULTIPLIER: u32 = 0x9E37_79B1;
    let value = u32::from_le_bytes([group[0], group[1], group[2], group[3]]);
    let hash = value.wrapping_mul(MULTIPLIER) >> (32 - BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}
