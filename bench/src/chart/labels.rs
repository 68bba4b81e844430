//! Labels beside the lines they name, moved apart where they would overlap.

/// Places as near as possible (in the sense of least squares) to the wished ones, which are in order, such that
/// neighbours are at least `gap` apart and all are within `from..=to`, if that is long enough for them.
pub(super) fn apart(wished: &[f64], gap: f64, from: f64, to: f64) -> Vec<f64> {
    assert!(wished.is_sorted(), "labels are placed in order");
    // Without the gaps the task is to make the places non-decreasing: neighbours that are out of order are pooled at
    // their mean, until none are ("pool adjacent violators").
    let mut pools: Vec<(f64, usize)> = Vec::with_capacity(wished.len());
    for (index, place) in wished.iter().enumerate() {
        let mut pool = (place - index as f64 * gap, 1);
        while let Some(before) = pools.pop_if(|before| before.0 > pool.0) {
            let members = before.1 + pool.1;
            pool = ((before.0 * before.1 as f64 + pool.0 * pool.1 as f64) / members as f64, members);
        }
        pools.push(pool);
    }
    let last = (to - wished.len().saturating_sub(1) as f64 * gap).max(from);
    pools
        .into_iter()
        .flat_map(|(place, members)| std::iter::repeat_n(place.clamp(from, last), members))
        .enumerate()
        .map(|(index, place)| place + index as f64 * gap)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_room_stay_where_they_are() {
        assert_eq!(apart(&[10.0, 30.0, 50.0], 15.0, 0.0, 100.0), [10.0, 30.0, 50.0]);
        assert!(apart(&[], 15.0, 0.0, 100.0).is_empty());
    }

    #[test]
    fn crowded_labels_make_room_to_both_sides() {
        assert_eq!(apart(&[50.0, 50.0, 50.0], 15.0, 0.0, 100.0), [35.0, 50.0, 65.0]);
        assert_eq!(apart(&[40.0, 50.0, 90.0], 20.0, 0.0, 100.0), [35.0, 55.0, 90.0]);
    }

    #[test]
    fn labels_stay_inside() {
        assert_eq!(apart(&[1.0, 2.0, 3.0], 10.0, 0.0, 100.0), [0.0, 10.0, 20.0]);
        assert_eq!(apart(&[97.0, 98.0, 99.0], 10.0, 0.0, 100.0), [80.0, 90.0, 100.0]);
        assert_eq!(apart(&[1.0, 2.0, 3.0], 60.0, 0.0, 100.0), [0.0, 60.0, 120.0], "there is not enough room");
    }
}
