//! Who has how many of the connections of a machine, and whether one more may be had. Numbers only.
//!
//! Several may ask for connections: those who come to the machine's ports, and each machine that is linked to it. Half of
//! all is set aside in equal parts, one for each who may ask; the other half is for whoever comes first. So nobody can
//! take from another what was set aside for it, and who is alone may have all.

use std::collections::BTreeMap;

/// Connections at a time.
pub(super) const CONNECTIONS_MAX: usize = 4096;

/// Connections that are kept free for what must not wait: control, output, commands.
const RESERVED: usize = 96;

/// Those that can be claimed.
const CLAIMABLE: usize = CONNECTIONS_MAX - RESERVED;

/// For whom a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Who asks: any number, the same for the same.
    pub by: u32,
    /// How many may ask in all, this one among them.
    pub among: u32,
}

/// What is had by whom.
#[derive(Debug, Default)]
pub(super) struct Claims {
    total: usize,
    by: BTreeMap<u32, usize>,
}

impl Claims {
    /// Takes one more, where it may be had. Without a claim it is of those that are kept free.
    pub(super) fn take(&mut self, claim: Option<Claim>) -> bool {
        let may_be_had = match claim {
            None => self.total < CONNECTIONS_MAX,
            Some(claim) => self.total + self.set_aside_from(claim) < CLAIMABLE,
        };
        if may_be_had {
            self.total += 1;
            if let Some(Claim { by, .. }) = claim {
                *self.by.entry(by).or_default() += 1;
            }
        }
        may_be_had
    }

    /// Gives one back.
    pub(super) fn give_back(&mut self, claim: Option<Claim>) {
        self.total = self.total.saturating_sub(1);
        let Some(Claim { by, .. }) = claim else { return };
        if let Some(count) = self.by.get_mut(&by) {
            *count = count.saturating_sub(1);
        }
        self.by.retain(|_, count| *count > 0);
    }

    /// What is kept from this one because it is set aside for others, and not had by them yet.
    fn set_aside_from(&self, claim: Claim) -> usize {
        let among = usize::try_from(claim.among).unwrap_or(usize::MAX).max(1);
        let part = CLAIMABLE / among / 2;
        let own = self.by.get(&claim.by).copied().unwrap_or(0);
        if own < part {
            return 0;
        }
        let others = self.by.iter().filter(|(by, _)| **by != claim.by).take(among - 1);
        let had: usize = others.map(|(_, count)| (*count).min(part)).sum();
        ((among - 1) * part).saturating_sub(had)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(claims: &mut Claims, claim: Option<Claim>) -> usize {
        std::iter::repeat_with(|| claims.take(claim)).take_while(|had| *had).count()
    }

    #[test]
    fn who_is_alone_has_all_but_what_is_kept_free() {
        let mut claims = Claims::default();
        let alone = Claim { by: 0, among: 1 };
        assert_eq!(take_all(&mut claims, Some(alone)), CLAIMABLE);
        assert_eq!(take_all(&mut claims, None), RESERVED);
        claims.give_back(None);
        assert!(!claims.take(Some(alone)) && claims.take(None));
        for _ in 0..=RESERVED {
            claims.give_back(Some(alone));
        }
        assert!(claims.take(Some(alone)) && !claims.take(Some(alone)));
    }

    #[test]
    fn who_takes_all_it_can_leaves_every_other_its_part() {
        let mut claims = Claims::default();
        let [greedy, second, third] = [3, 9, 27].map(|by| Claim { by, among: 4 });
        let part = CLAIMABLE / 8;
        assert_eq!(take_all(&mut claims, Some(greedy)), CLAIMABLE - 3 * part);
        assert_eq!(take_all(&mut claims, Some(second)), part);
        assert_eq!(take_all(&mut claims, Some(third)), part);
        // What was given back goes to who has less than its part.
        claims.give_back(Some(greedy));
        assert!(claims.take(Some(Claim { by: 81, among: 4 })));
    }

    #[test]
    fn a_part_that_nobody_has_left_is_set_aside_again() {
        let mut claims = Claims::default();
        let [one, other] = [0, 1].map(|by| Claim { by, among: 2 });
        assert_eq!(take_all(&mut claims, Some(other)), CLAIMABLE - CLAIMABLE / 4);
        assert_eq!(take_all(&mut claims, Some(one)), CLAIMABLE / 4);
        for _ in 0..CLAIMABLE / 4 {
            claims.give_back(Some(one));
        }
        assert!(!claims.take(Some(other)));
        assert_eq!(take_all(&mut claims, Some(one)), CLAIMABLE / 4);
    }

    proptest::proptest! {
        #[test]
        fn no_order_of_asking_exceeds_what_there_is_or_takes_a_part_away(
            asked in proptest::collection::vec((0_u32..5, 1_usize..1200, proptest::prelude::any::<bool>()), 0..40)
        ) {
            let mut claims = Claims::default();
            for (by, count, is_back) in asked {
                for _ in 0..count {
                    if is_back && claims.by.contains_key(&by) {
                        claims.give_back(Some(Claim { by, among: 5 }));
                    } else if !is_back {
                        let own = claims.by.get(&by).copied().unwrap_or(0);
                        let had = claims.take(Some(Claim { by, among: 5 }));
                        proptest::prop_assert!(had || own >= CLAIMABLE / 10);
                    }
                }
                proptest::prop_assert!(claims.total <= CLAIMABLE);
                proptest::prop_assert_eq!(claims.by.values().sum::<usize>(), claims.total);
            }
        }
    }
}
