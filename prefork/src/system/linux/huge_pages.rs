//! Moving what a process has in memory into huge pages.
//!
//! A fork copies the page tables of what was written to: one entry for each page. With huge pages that is one for 512, and
//! forks become about ten times as fast where there is much. A block is moved if most of it is in use: else moving would
//! take memory that the process has not asked for.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use rustix::{io::Errno, param::page_size};

use crate::sys;

/// The size of an entry of `proc_pid_pagemap(5)`, of which there is one for each page.
const ENTRY: usize = 8;

/// Moves private memory of this process into huge pages; returns how many bytes are in such that were moved.
pub(crate) fn use_huge_pages() -> io::Result<u64> {
    let (block, page) = (block_size()?, page_size());
    let maps = fs::read_to_string("/proc/self/maps")?;
    let pages = File::open("/proc/self/pagemap")?;
    let mut moved = 0;
    let mut entries = vec![0; block / page * ENTRY];
    for start in maps.lines().filter_map(anonymous).flat_map(|(from, to)| blocks(from, to, block)) {
        let offset = (start / page * ENTRY) as u64;
        if pages.read_exact_at(&mut entries, offset).is_err() || !is_in_use(&entries) {
            continue;
        }
        match sys::move_to_huge_page(start, block) {
            Ok(()) => moved += block as u64,
            Err(Errno::INVAL) if moved == 0 => {
                return Err(unsupported());
            }
            // There is no huge page for it now, or something holds a page of it.
            Err(_) => {}
        }
    }
    Ok(moved)
}

fn block_size() -> io::Result<usize> {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    let size = text.ok().and_then(|text| text.trim().parse().ok());
    size.filter(|size| *size >= page_size()).ok_or_else(unsupported)
}

fn unsupported() -> io::Error {
    let problem =
        "the kernel moves no memory into huge pages: that takes Linux 6.1, built with them";
    io::Error::new(io::ErrorKind::Unsupported, problem)
}

/// Returns where the private memory of a line of `proc_pid_maps(5)` begins and ends, if it is of no file and can be written.
fn anonymous(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let name = fields.nth(3).unwrap_or_default();
    // The stack grows, and is as small as it can be.
    if permissions != "rw-p" || !(name.is_empty() || name == "[heap]" || name.starts_with("[anon:"))
    {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

/// Returns the beginnings of the whole blocks in a range.
fn blocks(from: usize, to: usize, block: usize) -> impl Iterator<Item = usize> {
    let first = from.div_ceil(block);
    (first..(to / block).max(first)).map(move |number| number * block)
}

/// Whether most of a block is in memory, by its entries as in `pagemap(5)`.
fn is_in_use(entries: &[u8]) -> bool {
    let is_present = |entry: &&[u8]| entry.last().is_some_and(|highest| highest & 0x80 != 0);
    let present = entries.chunks_exact(ENTRY).filter(is_present).count();
    present * 2 > entries.len() / ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_as_they_are() {
        for (line, expected) in [
            ("55b1b9568000-55b1b9589000 rw-p 00000000 00:00 0    [heap]", true),
            ("7f81adef1000-7f81adef4000 rw-p 00000000 00:00 0 ", true),
            ("7f81adef1000-7f81adef4000 rw-p 00000000 00:00 0    [anon:state]", true),
            ("7ffc0ac96000-7ffc0acb7000 rw-p 00000000 00:00 0    [stack]", false),
            ("7f81ade8c000-7f81adef1000 rw-s 00000000 00:01 5    /memfd:prefork-pages", false),
            ("7f81ae0f5000-7f81ae0f6000 rw-p 0001c000 fe:00 12   /usr/lib/libgcc_s.so.1", false),
            ("7f81ae0fd000-7f81ae0fe000 ---p 00000000 00:00 0 ", false),
            ("", false),
        ] {
            assert_eq!(anonymous(line).is_some(), expected, "{line}");
        }
        assert_eq!(anonymous("1000-3000 rw-p 0 00:00 0"), Some((0x1000, 0x3000)));
    }

    #[test]
    fn only_whole_blocks_are_moved() {
        for (from, to, expected) in [
            (0, 40, vec![0, 10, 20, 30]),
            (1, 40, vec![10, 20, 30]),
            (1, 39, vec![10, 20]),
            (1, 9, vec![]),
            (11, 19, vec![]),
        ] {
            assert_eq!(blocks(from, to, 10).collect::<Vec<_>>(), expected, "{from} to {to}");
        }
    }

    #[test]
    fn a_block_of_which_most_is_in_use_is_moved() {
        let entry = |present: bool| [0, 0, 0, 0, 0, 0, 0, if present { 0x80 } else { 0x7f }];
        let block = |present| (0..512).flat_map(|page| entry(page < present)).collect::<Vec<u8>>();
        assert!(!is_in_use(&block(256)));
        assert!(is_in_use(&block(257)));
    }

    #[test]
    fn state_is_moved_and_stays_what_it_is() {
        let state: Vec<u64> = (0..8 << 20).collect();
        match use_huge_pages() {
            Ok(moved) => assert!(moved >= 32 << 20, "{moved} of {} bytes", state.len() * 8),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => panic!("{error}"),
        }
        assert!(state.iter().enumerate().all(|(at, number)| at as u64 == *number));
    }
}
