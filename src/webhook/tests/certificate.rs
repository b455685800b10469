//! When certificates are made, prepared, shown.

use crate::webhook::certificate::Kept;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn names() -> Vec<String> {
    vec![
        "image-cloner-webhook.image-cloner-system.svc".to_owned(),
        "127.0.0.1".to_owned(),
    ]
}

fn birth() -> SystemTime {
    UNIX_EPOCH + 20_000 * DAY
}

fn authorities(kept: &Kept) -> usize {
    kept.authorities.matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_time_and_shown_when_it_is_trusted() {
    let kept = Kept::new(&names(), birth()).unwrap();
    let renewed = |kept: &Kept, at: SystemTime| kept.renewed(&names(), at).unwrap();
    assert!(renewed(&kept, birth()).is_none());
    assert!(renewed(&kept, birth() + 59 * DAY).is_none());

    let due = birth() + 60 * DAY + MINUTE;
    let prepared = renewed(&kept, due).unwrap();
    assert_eq!(prepared.shown.certificate, kept.shown.certificate);
    assert!(prepared.authorities.starts_with(&kept.authorities));
    assert_eq!(authorities(&prepared), 2);
    assert!(renewed(&prepared, due + MINUTE).is_none());
    assert!(prepared.succeeded(&names(), due).is_none());
    assert!(prepared.succeeded(&names(), due + 9 * MINUTE).is_none());

    let shown = prepared.succeeded(&names(), due + 10 * MINUTE).unwrap();
    let next = prepared.next.as_ref().unwrap();
    assert_eq!(shown.shown.certificate, next.certificate);
    assert!(shown.next.is_none());
    // who has not heard of it shows the old one still
    assert_eq!(shown.authorities, prepared.authorities);
    assert!(shown.succeeded(&names(), due + DAY).is_none());

    // the next time, the first one's authority is gone
    let again = renewed(&shown, due + 61 * DAY).unwrap();
    assert_eq!(authorities(&again), 2);
    assert!(!again.authorities.contains(&kept.authorities));
}

#[test]
fn what_is_of_no_use_is_made_anew() {
    let kept = Kept::new(&names(), birth()).unwrap();
    let check = |kept: &Kept, names: &[String], at: SystemTime| {
        let made = kept.renewed(names, at).unwrap().unwrap();
        assert_ne!(made.shown.certificate, kept.shown.certificate);
        assert_eq!(authorities(&made), 1);
        assert!(made.renewed(names, at).unwrap().is_none());
    };
    check(&kept, &names(), birth() + 91 * DAY);
    check(&kept, &names(), birth() - DAY);
    check(&kept, &["other.svc".to_owned()], birth());

    let mut broken = Kept::new(&names(), birth()).unwrap();
    broken.authorities = "nothing".to_owned();
    check(&broken, &names(), birth());
    let mut broken = Kept::new(&names(), birth()).unwrap();
    broken.shown.key = kept.shown.key.clone();
    check(&broken, &names(), birth());
}

#[test]
fn clocks_may_be_an_hour_apart() {
    let kept = Kept::new(&names(), birth()).unwrap();
    let behind = birth() - 59 * MINUTE;
    assert!(kept.renewed(&names(), behind).unwrap().is_none());
}
