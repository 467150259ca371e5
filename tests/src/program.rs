//! A program file of a scene's own, to be replaced by others.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{Launch, Scene, reaper};

/// A copy of the misbehaving daemon that can be made another program.
#[derive(Debug)]
pub struct Program<'a> {
    scene: &'a Scene,
    path: PathBuf,
    original: Vec<u8>,
}

impl<'a> Program<'a> {
    pub(crate) fn new(scene: &'a Scene, original: &str) -> Self {
        let original = fs::read(original).expect("the program can be read");
        let program = Self { scene, path: scene.path("program"), original };
        program.install("");
        program
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of the file that is there now.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    pub fn inode(&self) -> u64 {
        fs::metadata(&self.path).expect("it is there").ino()
    }

    /// Returns what the file of a program holds that has these further arguments.
    #[must_use]
    pub fn content(&self, arguments: &str) -> Vec<u8> {
        let tail = format!("\nprobe arguments: {arguments}\n");
        [&self.original[..], tail.as_bytes()].concat()
    }

    /// Replaces it, in one instant, by one that has these further arguments.
    ///
    /// # Panics
    ///
    /// Panics if it cannot.
    pub fn install(&self, arguments: &str) {
        self.install_bytes(&self.content(arguments), 0o755);
    }

    /// Replaces it, in one instant, by a file of these bytes and this mode.
    ///
    /// # Panics
    ///
    /// Panics if it cannot.
    pub fn install_bytes(&self, bytes: &[u8], mode: u32) {
        let fresh = self.path.with_extension("new");
        reaper::between_spawns(|| {
            let mut file = File::create(&fresh).expect("a file can be made");
            file.write_all(bytes).expect("and written");
            file.set_permissions(fs::Permissions::from_mode(mode)).expect("and its mode set");
        });
        fs::rename(&fresh, &self.path).expect("and renamed");
    }

    /// Prepares to start it.
    pub fn launch(&self) -> Launch<'a> {
        let address = self.scene.address().to_string();
        Launch::new(self.scene, &self.path).args(["--listen", &address])
    }
}
