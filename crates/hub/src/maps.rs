//! Maps and sets whose order means nothing. In tests of this crate it is the same each time, so that a seed
//! decides the whole of a simulated run.

#[cfg(not(test))]
type Order = std::hash::RandomState;
#[cfg(test)]
type Order = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, Order>;
pub(crate) type HashSet<T> = std::collections::HashSet<T, Order>;
