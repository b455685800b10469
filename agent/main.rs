//! `image-cloner-agent`: arguments, probes, the metrics server; all that is decided is in the library.

fn main() {}
