//! Big blobs from far away, read over several connections.

use super::line::{self, Line};
use super::patience::{arrive, run_the_clock};
use super::server::{Break, Reply, Request as Asked};
use super::*;
use std::collections::HashMap;
use std::sync::Mutex;

const MIB: usize = 1 << 20;
const MS: Duration = Duration::from_millis(1);

/// What is held of a run at most.
const ROOM: u64 = 8 << 20;

/// Bytes of a big layer; no two MiB of it are the same.
fn big(seed: u8, mib: usize) -> Vec<u8> {
    let mut layer = bytes(seed, 251).repeat(mib * MIB / 251 + 1);
    layer.truncate(mib * MIB);
    layer
}

/// Two registries, `a/b:1` with this layer in the one; all in a time that passes only while nothing is left to
/// do. Connections to the other end of the line bring 16 MiB/s each.
async fn far(layer: &[u8]) -> (Registry, Registry, Arc<Line>) {
    run_the_clock();
    // by the millisecond while anything goes over a line: what is late by the wall's clock is hardly late here
    tokio::spawn(async {
        loop {
            if line::is_busy() {
                arrive().await;
            }
            tokio::time::sleep(MS).await;
        }
    });
    let (from, to) = (Registry::start().await, Registry::start().await);
    let manifest = image(&from, "a/b", &[b"config", layer]);
    from.put_manifest("a/b", "1", MANIFEST, &manifest);
    let line = Line::new(MS * 20, MS * 4).over();
    from.at_the_end_of(&line);
    (from, to, line)
}

/// What was asked for of a layer, in its order: the Range headers, and `-` for all of it.
fn asked(registry: &Registry, layer: &[u8]) -> Vec<String> {
    let path = format!("/blobs/{}", digest(layer));
    let log = registry.log().into_iter().filter(|r| r.is("GET", &path));
    log.map(|r| r.header("range").unwrap_or("-").to_owned())
        .collect()
}

/// The bytes of a Range header: the first, and the one after the last where it says so.
fn span(range: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = last.parse().ok().map(|last: usize| last + 1);
    Some((first.parse().unwrap(), end))
}

/// Pieces that were asked for, one after the other without gap; gives where they end.
fn in_a_row(asked: &[String]) -> usize {
    let mut spans: Vec<_> = asked.iter().map(|range| span(range).unwrap()).collect();
    spans.sort_unstable();
    let mut at = spans[0].0;
    for (first, end) in spans {
        assert_eq!(first, at, "{asked:?}");
        at = end.unwrap();
    }
    at
}

async fn arrives(from: &Registry, to: &Registry, layer: &[u8]) -> Told {
    let told = Told::default();
    let copied = copier().copy(&request(from, to, "a/b:1"), &told).await;
    copied.unwrap();
    assert!(to.blob("a/b", &digest(layer)).unwrap() == layer);
    assert!(to.manifest("a/b", "1").is_some());
    told
}

/// Has the nth answer to a Range request changed.
fn amend_range(
    from: &Registry,
    nth: usize,
    mut change: impl FnMut(&Asked, Reply) -> Reply + Send + 'static,
) {
    let mut seen = 0;
    from.amend(move |r, reply| {
        seen += usize::from(r.header("range").is_some());
        if r.header("range").is_some() && seen == nth {
            change(r, reply)
        } else {
            reply
        }
    });
}

#[tokio::test]
async fn a_big_blob_from_afar_comes_over_several_connections() {
    let layer = big(2, 80);
    let (from, to, line) = far(&layer).await;

    let told = arrives(&from, &to, &layer).await;

    assert_eq!(told.carried.into_inner(), (80 * MIB + 6) as u64);
    let asked = asked(&from, &layer);
    assert_eq!(asked[0], "-");
    assert_eq!(in_a_row(&asked[1..]), layer.len());
    assert_eq!(line.most_ranges(), 4);
    let uploads = to.log().into_iter().filter(|r| r.is("PUT", "/uploads/"));
    assert_eq!(uploads.count(), 2, "each in one go");
}

#[tokio::test]
async fn what_is_near_or_small_or_fast_is_asked_for_once() {
    let cases = [
        ("near", 48, Line::new(MS * 5, MS * 4)),
        ("small", 39, Line::new(MS * 20, MS * 4)),
        ("fast", 48, Line::new(MS * 20, Duration::ZERO)),
    ];
    for (name, mib, line) in cases {
        let layer = big(3, mib);
        let (from, to, _) = far(&layer).await;
        from.at_the_end_of(&line.over());

        arrives(&from, &to, &layer).await;

        assert_eq!(asked(&from, &layer), ["-"], "{name}");
    }
}

#[tokio::test]
async fn a_line_that_is_full_is_left_to_one_connection() {
    let layer = big(4, 64);
    let (from, to, _) = far(&layer).await;
    let mut line = Line::new(MS * 20, MS * 4);
    line.shared = Some(tokio::sync::Mutex::default());
    let line = line.over();
    from.at_the_end_of(&line);

    arrives(&from, &to, &layer).await;

    let asked = asked(&from, &layer);
    let (last, pieces) = asked[1..].split_last().unwrap();
    assert_eq!(span(last), Some((in_a_row(pieces), None)));
    assert!(pieces.len() <= 6, "{asked:?}");
    assert_eq!(line.most_ranges(), 2);
}

#[tokio::test]
async fn no_more_connections_are_made_than_transfers_are_allowed() {
    for (concurrency, expected) in [(1, 0), (2, 2), (3, 3)] {
        let layer = big(4, 56);
        let (from, to, line) = far(&layer).await;
        let mut engine = copier();
        engine.copier = Copier::new(concurrency);

        copy(&engine, &request(&from, &to, "a/b:1")).await.unwrap();

        assert_eq!(line.most_ranges(), expected, "of {concurrency}");
    }
}

#[tokio::test]
async fn a_source_that_gives_all_instead_of_a_piece_is_read_on_by_one_connection() {
    let layer = big(5, 48);
    let (from, to, _) = far(&layer).await;
    let whole = layer.clone();
    amend_range(&from, 1, move |_, _| Reply::new(200).body(whole.clone()));

    arrives(&from, &to, &layer).await;

    let asked = asked(&from, &layer);
    assert_eq!((&asked[0][..], asked.len()), ("-", 2), "{asked:?}");
}

#[tokio::test]
async fn a_source_that_says_it_has_no_ranges_is_asked_for_none() {
    let layer = big(5, 48);
    let (from, to, _) = far(&layer).await;
    from.amend(|_, reply| reply.header("Accept-Ranges", "none"));

    arrives(&from, &to, &layer).await;

    assert_eq!(asked(&from, &layer), ["-"]);
}

#[tokio::test]
async fn a_piece_that_breaks_goes_on_where_it_broke() {
    let layer = big(6, 72);
    let (from, to, _) = far(&layer).await;
    // once it is known how many lanes are good
    amend_range(&from, 24, |_, reply| Reply {
        cut: Some(700_001),
        ..reply
    });

    arrives(&from, &to, &layer).await;

    let mut asked = asked(&from, &layer);
    let (first, end) = span(&asked[24]).unwrap();
    let rest = format!("bytes={}-{}", first + 700_001, end.unwrap() - 1);
    let at = asked.iter().position(|range| *range == rest);
    asked.remove(at.unwrap());
    assert_eq!(in_a_row(&asked[1..]), layer.len());
}

#[tokio::test]
async fn a_refused_piece_and_all_after_it_are_left_to_one_connection() {
    let refusals = [
        Reply::new(429).header("Retry-After", "3"),
        Reply::new(503),
        Reply::new(404),
        Reply::new(206).header("Content-Range", "bytes 0-9/10"),
    ];
    for refusal in refusals {
        let layer = big(7, 48);
        let (from, to, _) = far(&layer).await;
        let reply = refusal.clone();
        amend_range(&from, 4, move |_, _| reply.clone());

        arrives(&from, &to, &layer).await;

        let asked = asked(&from, &layer);
        let (last, pieces) = asked[1..].split_last().unwrap();
        let (refused, _) = span(&pieces[3]).unwrap();
        assert_eq!(span(last), Some((refused, None)), "{refusal:?}: {asked:?}");
        // besides those that were under way with it
        assert!(
            in_a_row(pieces) as u64 <= refused as u64 + ROOM,
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_flipped_byte_in_a_piece_is_found_and_the_blob_read_again_over_one_connection() {
    let layer = big(8, 48);
    let (from, to, _) = far(&layer).await;
    amend_range(&from, 2, |_, mut reply| {
        reply.body[MIB] ^= 1;
        reply
    });

    arrives(&from, &to, &layer).await;

    let asked = asked(&from, &layer);
    let again = asked.iter().rposition(|range| range == "-").unwrap();
    assert_eq!(in_a_row(&asked[1..again]), layer.len());
    assert_eq!(again, asked.len() - 1, "{asked:?}");
    let layer = Some(digest(&layer));
    let log = to.log().into_iter().filter(|r| r.method == "PUT");
    let puts = log.filter(|r| r.parameter("digest") == layer);
    assert_eq!(puts.count(), 1, "only what is right is sent to its end");
}

#[tokio::test]
async fn a_blob_that_is_wrong_each_time_never_leads_to_a_manifest() {
    let layer = big(8, 48);
    let (from, to, _) = far(&layer).await;
    let path = digest(&layer);
    from.amend(move |r, mut reply| {
        if r.is("GET", &path) {
            *reply.body.last_mut().unwrap() ^= 1;
        }
        reply
    });

    let error = copy(&copier(), &request(&from, &to, "a/b:1")).await;

    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("the bytes are sha256:")
    );
    assert_eq!(to.manifest("a/b", "1"), None);
}

#[tokio::test]
async fn an_upload_that_breaks_drops_what_was_read_ahead_of_it() {
    let layer = big(9, 80);
    let (from, to, _) = far(&layer).await;
    let mut breaks = true;
    to.breaks(move |r| {
        let here = r.length() > 40 * MIB && std::mem::take(&mut breaks);
        here.then_some(Break {
            after: 23 * MIB + 1000,
            reply: None,
            silent: false,
        })
    });

    let told = arrives(&from, &to, &layer).await;

    assert_eq!(told.carried.into_inner(), (80 * MIB + 6) as u64);
    let asked = asked(&from, &layer);
    let mut on = asked.iter().filter_map(|range| span(range));
    let on = on.rfind(|(_, end)| end.is_none());
    let on = on.map(|(first, _)| first);
    assert!(
        on.is_some_and(|on| (16 * MIB..=23 * MIB).contains(&on)),
        "{on:?} {asked:?}"
    );
}

#[tokio::test]
async fn pieces_come_from_where_the_registry_sends_each_of_them_without_credentials() {
    let layer = big(10, 48);
    let (from, to, line) = far(&layer).await;
    let store = Registry::start().await;
    store.put_blob("s", &layer);
    store.at_the_end_of(&line);
    let (path, location) = (
        format!("/v2/a/b/blobs/{}", digest(&layer)),
        format!("http://{}/v2/s/blobs/{}", store.host, digest(&layer)),
    );
    let mut signature = 0;
    from.hook(move |r| {
        if r.header("authorization") != Some("Basic dTpw") {
            return Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""));
        }
        (r.path == path).then(|| {
            signature += 1;
            Reply::new(307).header("Location", format!("{location}?signature={signature}"))
        })
    });
    let mut request = request(&from, &to, "a/b:1");
    request.source_credentials = vec![basic("u", "p")];

    copy(&copier(), &request).await.unwrap();

    assert!(to.blob("a/b", &digest(&layer)).unwrap() == layer);
    let given = store.log();
    assert!(given.iter().all(|r| r.header("authorization").is_none()));
    let mut signatures: Vec<_> = given.iter().map(|r| &r.query).collect();
    signatures.sort_unstable();
    signatures.dedup();
    assert_eq!(signatures.len(), given.len());
    assert_eq!(asked(&from, &layer).len(), given.len());
    assert!(line.most_ranges() >= 2);
}

#[tokio::test]
async fn a_copy_that_is_dropped_reads_no_further() {
    let layer = big(11, 80);
    let (from, to, line) = far(&layer).await;
    let (sender, mut third) = tokio::sync::mpsc::unbounded_channel();
    amend_range(&from, 3, move |_, reply| {
        sender.send(()).unwrap();
        reply
    });
    let (engine, asking) = (copier(), request(&from, &to, "a/b:1"));

    tokio::select! {
        copied = copy(&engine, &asking) => panic!("{copied:?}"),
        begun = third.recv() => begun.unwrap(),
    }
    let whole = line.whole_ranges();
    tokio::time::sleep(Duration::from_secs(60)).await;

    assert_eq!(asked(&from, &layer).len(), 4);
    assert_eq!(line.whole_ranges(), whole);
}

/// How far pieces of each blob were asked for, by path.
fn reaching(from: &Registry) -> Arc<Mutex<HashMap<String, u64>>> {
    let reached: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let reaching = Arc::clone(&reached);
    from.hook(move |r| {
        let end = r.header("range").and_then(|range| span(range)?.1)?;
        let mut reaching = reaching.lock().unwrap();
        let furthest = reaching.entry(r.path.clone()).or_default();
        *furthest = (end as u64).max(*furthest);
        None
    });
    reached
}

#[tokio::test]
async fn no_more_is_read_ahead_of_a_target_than_there_is_room_for_however_many_blobs() {
    let layers: Vec<_> = (20..23).map(|seed| big(seed, 72)).collect();
    let (from, to, line) = far(&layers[0]).await;
    for (layer, tag) in layers.iter().zip(["1", "2", "3"]) {
        let manifest = image(&from, "a/b", &[layer]);
        from.put_manifest("a/b", tag, MANIFEST, &manifest);
    }
    // some of each is taken, and nothing for two minutes then
    let mut breaks = 3;
    to.breaks(move |r| {
        let here = r.length() > 40 * MIB && breaks > 0;
        breaks -= usize::from(here);
        here.then_some(Break {
            after: 14 * MIB,
            reply: None,
            silent: true,
        })
    });
    let reached = reaching(&from);
    let told: Vec<_> = layers.iter().map(|_| Arc::new(Told::default())).collect();
    let ahead: Arc<Mutex<Option<u64>>> = Arc::default();
    let measured = Arc::clone(&ahead);
    let paths = layers
        .iter()
        .map(|l| format!("/v2/a/b/blobs/{}", digest(l)));
    let carried: Vec<_> = paths.zip(told.clone()).collect();
    to.hook(move |r| {
        if r.is("GET", "/uploads/") {
            let reached = reached.lock().unwrap();
            let ahead = carried.iter().map(|(path, told)| {
                let reached = reached.get(path).copied().unwrap_or_default();
                reached.saturating_sub(told.carried.load(Ordering::Relaxed))
            });
            measured.lock().unwrap().get_or_insert(ahead.sum());
        }
        None
    });
    let mut engine = copier();
    engine.copier = Copier::new(16);
    let requests = ["a/b:1", "a/b:2", "a/b:3"].map(|name| request(&from, &to, name));

    let copies = requests
        .iter()
        .zip(&told)
        .map(|(r, told)| engine.copy(r, told));
    futures::future::try_join_all(copies).await.unwrap();

    for layer in &layers {
        assert!(to.blob("a/b", &digest(layer)).unwrap() == *layer);
    }
    assert!(line.most_ranges() >= 2);
    let ahead = ahead.lock().unwrap().unwrap();
    // what was carried is told a moment later; with room for each of the three it would be twice as much and more
    assert!(ahead > 0 && ahead < ROOM + ROOM / 2, "{ahead} bytes");
}
