//! What `ps` shows.
//!
//! The customary trick of writing over `argv` destroys what [`std::env::args`] reads and is limited
//! to the length of the original command line. Instead the arguments are, for the kernel,
//! moved elsewhere (`PR_SET_MM_MAP`, see `prctl(2)`; it needs no privilege): to a page of our own, which a
//! child then simply overwrites. A kernel without that (`CONFIG_CHECKPOINT_RESTORE`) leaves the
//! command line as it was; nothing depends on it.

use std::{fs, io};

use rustix::process::PrctlMmMap;

use crate::sys::{self, TitlePage};

/// The title of this process, of a fixed length.
#[derive(Debug)]
pub(crate) struct Title {
    page: Option<TitlePage>,
    name: String,
}

/// The longest name that is shown whole, in bytes.
const LONGEST_NAME: usize = 200;

impl Title {
    /// Shows `NAME [parent]`.
    pub(crate) fn parent(name: &str) -> Self {
        let name: String = name.chars().take(LONGEST_NAME / 4).collect();
        let text = format!("{name} [parent]");
        // Another thread could move the end of the heap meanwhile, which is part of what is set.
        let alone = crate::sys::threads::require_one();
        let page = alone.and_then(|()| TitlePage::new(text.as_bytes())).and_then(|page| {
            move_arguments(&page, text.len())?;
            Ok(page)
        });
        Self { page: page.ok(), name }
    }

    /// Shows `NAME [ending]` instead, which is as long: who is about to ask for a stop sees that there was one.
    pub(crate) fn show_ending(&mut self) {
        self.show("ending");
    }

    /// Shows `NAME [child]` instead, in a forked process.
    pub(crate) fn become_child(&mut self) {
        self.show("child");
    }

    /// Shows `NAME [hook]` instead, in a forked process.
    pub(crate) fn become_hook(&mut self) {
        self.show("hook");
    }

    /// Shows `NAME [demand]` instead, in a forked process.
    pub(crate) fn become_demand_process(&mut self) {
        self.show("demand");
    }

    /// Shows `NAME [status]` instead, in a forked process.
    pub(crate) fn become_status_process(&mut self) {
        self.show("status");
    }

    fn show(&mut self, role: &str) {
        if let Some(page) = &mut self.page {
            page.write(format!("{} [{role}]", self.name).as_bytes());
        }
    }
}

/// Makes the first `length` bytes of `page` the arguments, for the kernel.
fn move_arguments(page: &TitlePage, length: usize) -> io::Result<()> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let field = fields(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let start = page.address();
    let map = PrctlMmMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: sys::program_break(),
        start_stack: field(28)?,
        arg_start: start,
        arg_end: start + length as u64,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: std::ptr::null_mut(),
        auxv_size: 0,
        exe_fd: -1,
    };
    sys::set_memory_map(&map)
}

/// Returns the fields of `/proc/self/stat` by the numbers that `proc_pid_stat(5)` gives them.
///
/// The second one is the name of the program in parentheses, with anything in it.
fn fields(stat: &str) -> Option<impl Fn(usize) -> io::Result<u64>> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let fields: Vec<Option<u64>> = fields.iter().map(|field| field.parse().ok()).collect();
    Some(move |number: usize| {
        let field = number.checked_sub(3).and_then(|index| fields.get(index).copied().flatten());
        field.ok_or_else(|| io::ErrorKind::InvalidData.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_program_name() {
        let stat = "42 (a ) b (c) S 1 2 3 -1 5";
        let field = fields(stat).expect("parsed");
        assert_eq!(field(4).expect("a number"), 1);
        assert_eq!(field(8).expect("a number"), 5);
        assert!(field(7).is_err(), "a negative number is none");
        assert!(field(9).is_err());
        assert!(field(1).is_err());
    }
}
