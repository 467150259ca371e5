//! The memory of all slots.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, SealFlags, fchmod, fcntl_add_seals, ftruncate};

use super::layout::{Layout, MAX_SCHEMA, SCHEMA, SCHEMA_LENGTH, region};
use super::schema::{self, Schema};
use super::{Cells, Metrics, StoreError};
use crate::memfd;
use crate::sys::WordPages;

/// The memory in which processes count, a region for each slot.
///
/// The process that has made it declares what there is to be counted, and empties slots. It maps nothing: forks do not cost more.
///
/// # Fork
///
/// A child enters its slot, then drops its copy of this value, which closes the file. One that keeps the file could write to all slots.
#[derive(Debug)]
pub struct Store {
    pub(super) file: File,
    pub(super) layout: Layout,
    pub(super) schema: Schema,
    /// What is declared and not published yet.
    unpublished: Option<Vec<u8>>,
    /// Counts where a slot is entered.
    #[cfg(feature = "metrics")]
    recorder: Option<super::Recorder>,
}

impl Store {
    /// Makes it in memory that has no name, for so many slots.
    ///
    /// Nobody can make it smaller, so no update ends in SIGBUS.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kernel refuses, or helps and labels are too long together.
    pub fn in_memory(metrics: &Metrics, slots: usize) -> Result<Self, StoreError> {
        let file = memfd::descriptor("prefork-metrics")
            .map_err(|errno| StoreError::io("create")(errno.into()))?;
        // Others that may look into /proc/PID/fd of this process cannot open it again.
        fchmod(&file, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| StoreError::io("prepare")(errno.into()))?;
        let layout = Layout::new(metrics.memory, MAX_SCHEMA);
        let mut store = Self::new(file.into(), layout, Schema::new());
        store.grow(slots)?;
        layout.write(&store.file).map_err(StoreError::io("write"))?;
        store.declare(metrics)?;
        store.publish()?;
        fcntl_add_seals(&store.file, SealFlags::SHRINK | SealFlags::SEAL)
            .map_err(|errno| StoreError::io("seal")(errno.into()))?;
        Ok(store)
    }

    /// Goes on with what another program has made in this very process, for so many slots at the least. Families that are declared as they
    /// were are the same ones; regions keep their size. Nothing that others read changes before [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is no such memory, or as of [`in_memory`](Self::in_memory).
    pub fn adopt(file: OwnedFd, metrics: &Metrics, slots: usize) -> Result<Self, StoreError> {
        let mut store = Self::open(file)?;
        store.grow(slots)?;
        store.declare(metrics)?;
        Ok(store)
    }

    /// Opens it to read it, or to enter a slot.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is no such memory, or cannot be read.
    pub fn open(file: impl Into<OwnedFd>) -> Result<Self, StoreError> {
        let file = File::from(file.into());
        let is_file = file.metadata().map_err(StoreError::io("examine"))?.is_file();
        if !is_file {
            return Err(StoreError::Foreign { reason: "it is no file" });
        }
        let layout = Layout::read(&file)?;
        let schema = schema::read(&read_schema(&file, layout).map_err(StoreError::io("read"))?);
        Ok(Self::new(file, layout, schema))
    }

    const fn new(file: File, layout: Layout, schema: Schema) -> Self {
        Self {
            file,
            layout,
            schema,
            unpublished: None,
            #[cfg(feature = "metrics")]
            recorder: None,
        }
    }

    /// Makes sure that there are so many slots at the least.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kernel refuses.
    pub fn grow(&mut self, slots: usize) -> Result<(), StoreError> {
        let wanted = self.layout.offset(slots);
        let found = self.size().map_err(StoreError::io("examine"))?;
        if found < wanted {
            ftruncate(&self.file, wanted)
                .map_err(|errno| StoreError::io("extend")(errno.into()))?;
        }
        Ok(())
    }

    /// Takes a slot over in the process that it was assigned to, which goes on with what those before have counted.
    ///
    /// The region of this slot alone is mapped.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no such slot, or its region cannot be mapped.
    pub fn enter(&self, slot: usize) -> Result<Cells, StoreError> {
        self.enter_by(slot, WordPages::map)
    }

    /// Does the same for as long as the process lives: where the kernel can seal mappings (`mseal(2)`), no call of the process
    /// makes this one reach further.
    ///
    /// # Errors
    ///
    /// As of [`enter`](Self::enter).
    pub fn enter_for_life(&self, slot: usize) -> Result<Cells, StoreError> {
        self.enter_by(slot, WordPages::map_for_life)
    }

    fn enter_by(
        &self,
        slot: usize,
        map: impl FnOnce(&File, u64, usize) -> io::Result<WordPages>,
    ) -> Result<Cells, StoreError> {
        let slots = self.slots()?;
        if slot >= slots {
            return Err(StoreError::NoSuchSlot { slot, slots });
        }
        let length = usize::try_from(self.layout.region).unwrap_or(usize::MAX);
        let pages = map(&self.file, self.layout.offset(slot), length);
        let pages = pages.map_err(StoreError::io("map"))?;
        let cells = Cells::enter(pages, self.schema.clone(), slot);
        #[cfg(feature = "metrics")]
        self.recorder.iter().for_each(|recorder| recorder.attach(&cells));
        Ok(cells)
    }

    /// Notes that a slot is nobody's, after its process has been reaped: what it has counted stays, its gauges are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no such slot, or the kernel refuses.
    pub fn clear(&self, slot: usize) -> Result<(), StoreError> {
        let slots = self.slots()?;
        if slot >= slots {
            return Err(StoreError::NoSuchSlot { slot, slots });
        }
        let place = self.layout.offset(slot) + 8 * region::OCCUPANT as u64;
        self.file.write_all_at(&[0; 8], place).map_err(StoreError::io("write"))
    }

    /// Returns how many slots there are.
    pub(super) fn slots(&self) -> Result<usize, StoreError> {
        let regions = self.size().map_err(StoreError::io("examine"))?;
        let regions = regions.saturating_sub(self.layout.start) / self.layout.region;
        Ok(usize::try_from(regions).unwrap_or(usize::MAX).min(crate::format::MAX_SLOTS))
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Adds the families that are not there yet.
    pub(super) fn declare(&mut self, metrics: &Metrics) -> Result<(), StoreError> {
        let mut text = read_schema(&self.file, self.layout).map_err(StoreError::io("read"))?;
        for family in &metrics.all() {
            if !self.schema.iter().flatten().any(|known| known == family) {
                text.extend(schema::line(family).into_bytes());
            }
        }
        let (length, max) = (text.len() as u64, self.layout.capacity());
        if length > max {
            let [length, max] = [length, max].map(|it| usize::try_from(it).unwrap_or(usize::MAX));
            return Err(StoreError::Long { length, max });
        }
        self.schema = schema::read(&text);
        self.unpublished = Some(text);
        #[cfg(feature = "metrics")]
        self.recorder.clone_from(&metrics.recorder);
        Ok(())
    }

    /// Lets readers have the families that are declared since [`adopt`](Self::adopt). Before it, no slot may be entered.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kernel refuses.
    pub fn publish(&mut self) -> Result<(), StoreError> {
        if let Some(text) = self.unpublished.take() {
            // The length last: a reader finds nothing that is half there.
            let length = (text.len() as u64).to_le_bytes();
            self.file.write_all_at(&text, SCHEMA).map_err(StoreError::io("write"))?;
            self.file.write_all_at(&length, SCHEMA_LENGTH).map_err(StoreError::io("write"))?;
        }
        Ok(())
    }

    /// Opens it once more, for reading alone: for a process that shows what others count.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be opened, as where `/proc` is not mounted.
    pub fn reader(&self) -> Result<Self, StoreError> {
        Self::open(reopen(std::process::id(), self.file.as_raw_fd())?)
    }

    /// Opens that of another process for reading, by the number of its descriptor there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the descriptor is of something else, or this process is neither of the same user nor root.
    pub fn of_process(pid: u32, descriptor: i32) -> Result<Self, StoreError> {
        Self::open(reopen(pid, descriptor)?)
    }
}

/// Opens a file for reading that a process has open. Nothing is opened that is no file: opening a device may start it.
fn reopen(pid: u32, descriptor: i32) -> Result<OwnedFd, StoreError> {
    let open = |path: &str, flags| {
        rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| StoreError::io("open")(errno.into()))
    };
    let found = File::from(open(&format!("/proc/{pid}/fd/{descriptor}"), OFlags::PATH)?);
    if !found.metadata().map_err(StoreError::io("examine"))?.is_file() {
        return Err(StoreError::Foreign { reason: "it is no file" });
    }
    open(&format!("/proc/self/fd/{}", found.as_raw_fd()), OFlags::RDONLY)
}

impl AsFd for Store {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_schema(file: &File, layout: Layout) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    file.read_exact_at(&mut length, SCHEMA_LENGTH)?;
    let length = u64::from_le_bytes(length).min(layout.capacity()).min(MAX_SCHEMA);
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut text, SCHEMA)?;
    Ok(text)
}
