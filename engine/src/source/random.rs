//! Random numbers that stay the same for ever.

/// Random numbers from a seed, the same in every release and on every machine.
///
/// What a generator makes is replayed from its numbers after a restart, which may be into a newer release; libraries of
/// random numbers keep the freedom to change theirs. This is SplitMix64 with a stream of its own per record
/// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014); it is not for secrets.
///
/// ```
/// use headwater::source::Random;
/// let mut random = Random::new(42, 0);
/// let dice: Vec<u64> = (0..5).map(|_| 1 + random.below(6)).collect();
/// assert_eq!(dice, [2, 4, 2, 2, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    gamma: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The numbers of a stream: those of other streams of the same seed have nothing to do with them.
    pub fn new(seed: u64, stream: u64) -> Self {
        let state = mix(seed.wrapping_add(mix(stream.wrapping_add(GOLDEN_GAMMA))));
        Self { state, gamma: mix_gamma(state.wrapping_add(GOLDEN_GAMMA)) }
    }

    /// Any number.
    #[inline]
    pub fn any(&mut self) -> u64 {
        self.state = self.state.wrapping_add(self.gamma);
        mix(self.state)
    }

    /// A number less than `end`, each as likely as the other to within one in 2⁶⁴ / `end`.
    ///
    /// # Panics
    /// Where `end` is 0.
    #[inline]
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is a number below the end");
        ((u128::from(self.any()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 to 1, without 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        // 53 bits, as many as a float's fraction holds.
        (self.any() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True this often, of 1.
    #[inline]
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`.
    ///
    /// # Panics
    /// Where there is none.
    #[inline]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// The finaliser of SplitMix64 (Stafford's variant 13).
#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// An odd step with enough changes between its bits, as SplittableRandom picks it.
#[inline]
fn mix_gamma(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits = (bits ^ (bits >> 33)) | 1;
    if (bits ^ (bits >> 1)).count_ones() < 24 { bits ^ 0xaaaa_aaaa_aaaa_aaaa } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_golden_gamma_it_is_splitmix64() {
        let mut random = Random { state: 1_234_567, gamma: GOLDEN_GAMMA };
        let published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!(published, [(); 4].map(|()| random.any()));
    }

    #[test]
    fn numbers_never_change() {
        let numbers = [(0, 0), (0, 1), (1, 0), (u64::MAX, u64::MAX)].map(|(seed, stream)| {
            let mut random = Random::new(seed, stream);
            (random.any(), random.below(1_000), (random.unit() * 1e6) as u64)
        });
        let expected = [
            (3_558_487_545_670_733_234, 163, 698_093),
            (2_682_361_652_688_214_951, 890, 146_216),
            (8_872_037_559_788_185_879, 10, 145_978),
            (4_805_883_801_632_643_184, 677, 134_800),
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn numbers_are_spread_evenly_within_and_across_streams() {
        let mut within = Random::new(7, 7);
        let mut counts = [[0_u32; 10]; 2];
        for n in 0..100_000 {
            counts[0][within.below(10) as usize] += 1;
            counts[1][Random::new(7, n).below(10) as usize] += 1;
        }
        for count in counts.as_flattened() {
            assert!((9_500..10_500).contains(count), "{counts:?}");
        }
    }
}
