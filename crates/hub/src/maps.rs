//! Hash maps and sets. In tests of this crate their order is the same in every run, so that a seed determines the whole
//! of a simulated run.

#[cfg(not(test))]
type Order = std::hash::RandomState;
#[cfg(test)]
type Order = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, Order>;
pub(crate) type HashSet<T> = std::collections::HashSet<T, Order>;
