//! How many random cases a test runs.

use proptest::prelude::ProptestConfig;

/// For a property whose cases take long: so many of each 256, which is how many the others run. `PROPTEST_CASES` sets another number for those,
/// and with it, in this proportion, for all.
pub(crate) fn of_256(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = (u64::from(config.cases) * u64::from(cases)).div_ceil(256);
    ProptestConfig {
        cases: u32::try_from(cases).expect("so many are never done"),
        failure_persistence: None,
        ..config
    }
}
