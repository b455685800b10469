mod certificate;
mod decide;

use super::{AGAIN, LONGEST, Pauses, ROUND, SETTLED};

#[test]
fn the_second_look_comes_when_a_former_leader_has_no_request_left() {
    let mut pauses = Pauses::default();
    assert_eq!(
        [false, false, false].map(|well| pauses.after(well)),
        [AGAIN, 2 * AGAIN, 4 * AGAIN]
    );
    assert_eq!(
        [true, true, false, true].map(|well| pauses.after(well)),
        [SETTLED, ROUND, AGAIN, ROUND]
    );
    let longest = (0..100).map(|_| pauses.after(false)).max();
    assert_eq!(longest, Some(LONGEST));
}
