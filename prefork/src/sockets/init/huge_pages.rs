//! State that all children share, made cheaper to fork.

use std::io;

use super::Init;
use crate::system::os;

impl Init {
    /// Moves what this process has in memory into huge pages, so that forks are cheaper; returns how many bytes were moved.
    ///
    /// To be called at the end of `after_init`, when the state is there that all children share, where that is much: a fork
    /// copies an entry for each page of memory, and one huge page, of 2 MiB on most machines, takes the place of 512. So with
    /// 200 MB of state a child is made in a tenth of the time. What is in memory stays what it is and where it is. Blocks of that size of which less than half
    /// is in use stay as they are, so no more than twice the memory is taken.
    ///
    /// A child that writes to a huge page has small ones there from then on, of which one is copied. See
    /// [tuning](crate::docs::tuning#one-client-a-child).
    ///
    /// # Errors
    ///
    /// Fails with [`Unsupported`](io::ErrorKind::Unsupported) before Linux 6.1 and where the kernel has no huge pages: then
    /// all stays as it is, and is no worse for it. Fails if `/proc` cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// let args = Args::new().one_shot(true).after_init(|init| {
    ///     let listener = init.listen("127.0.0.1:0")?;
    ///     let model: Vec<u64> = (0..1 << 20).collect();
    ///     // Forks are dearer without, and that is all.
    ///     let _ = init.use_huge_pages();
    ///     Ok((listener, model))
    /// });
    /// # drop(args);
    /// ```
    pub fn use_huge_pages(&self) -> io::Result<u64> {
        os::use_huge_pages()
    }
}
