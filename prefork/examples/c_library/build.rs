//! Compiles the library.

fn main() {
    println!("cargo::rerun-if-changed=src/words.c");
    cc::Build::new().file("src/words.c").warnings_into_errors(true).compile("words");
}
