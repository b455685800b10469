//! `kubectl image-cloner`: arguments, prompts, progress and printing.

fn main() {}
